"""What the comments of a mesh file say about its unit and its axes.

Units as Materialise's programs, Rhino and others write them (``1 unit = 25.4 mm``, ``units: cm``), axes as 3D Slicer
does (``SPACE=LPS``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce

from ussim.errors import UssimError

_UNITS_MM = {"um": 0.001, "mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0, "in": 25.4, "ft": 304.8}
_SPELLED = {
    "um": ("µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
    "mm": ("millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("centimeter", "centimeters", "centimetre", "centimetres"),
    "dm": ("decimeter", "decimeters", "decimetre", "decimetres"),
    "m": ("meter", "meters", "metre", "metres"),
    "in": ("inch", "inches"),
    "ft": ("foot", "feet"),
}
_NAMES = {word: name for name, words in _SPELLED.items() for word in (name, *words)}
_WORD = "|".join(sorted(map(re.escape, _NAMES), key=len, reverse=True))
_ONE_UNIT = re.compile(rf"\b1\s*(?:\w+\s+)?units?\s*=\s*([0-9.]+(?:e[+-]?\d+)?)\s*({_WORD})\b", re.IGNORECASE)
_UNIT = re.compile(rf"\bunits?\s*(?:[:=]|\bis\b|\bare\b|\bin\b)\s*\W?({_WORD})\b", re.IGNORECASE)
_SPACE = re.compile(r"\bspace\s*[:=]\s*([a-z][a-z-]*)", re.IGNORECASE)
_LONG_AXES = {
    "left-posterior-superior": "LPS",
    "right-anterior-superior": "RAS",
    "left-anterior-superior": "LAS",
}
_MOST_LETTERS = 100_000
_TOWARDS = {"R": 1.0, "L": -1.0, "A": 1.0, "P": -1.0, "S": 1.0, "I": -1.0}


@dataclass(frozen=True)
class Stated:
    """Attributes:
    unit: What one unit of length is, in words; empty if the file does not say.
    unit_mm: The same in mm; 0 if the file does not say.
    axes: Where x, y and z of a patient point to: three letters such as ``LPS``; empty if the file does not say.
    """

    unit: str = ""
    unit_mm: float = 0.0
    axes: str = ""

    def __or__(self, other: Stated) -> Stated:
        """Both together.

        Raises:
            UssimError: They contradict each other.
        """
        if self.unit and other.unit and abs(self.unit_mm - other.unit_mm) > 1e-6 * self.unit_mm:
            raise UssimError(f"states two units, {self.unit} and {other.unit}; allowed: one")
        if self.axes and other.axes and self.axes != other.axes:
            raise UssimError(f"states two frames, {self.axes} and {other.axes}; allowed: one")
        unit, unit_mm = (self.unit, self.unit_mm) if self.unit else (other.unit, other.unit_mm)
        return Stated(unit, unit_mm, self.axes or other.axes)

    @property
    def signs(self) -> tuple[float, float, float]:
        """Factors of x, y and z that turn the axes to the right, the front and up."""
        if not self.axes:
            return 1.0, 1.0, 1.0
        x, y, z = (_TOWARDS[letter] for letter in self.axes)
        return x, y, z


NOTHING_STATED = Stated()


def read_stated(comments: str) -> Stated:
    """What comments say, where they say anything.

    Raises:
        UssimError: They contradict each other, or name axes in another order than right-left, front-back, up-down.
    """
    comments = comments[:_MOST_LETTERS]
    found = [_one_unit(float(number), word) for number, word in _ONE_UNIT.findall(comments) if _is_number(number)]
    found += [_one_unit(1.0, word) for word in _UNIT.findall(comments)]
    found += [Stated(axes=_axes(word)) for word in _SPACE.findall(comments)]
    return reduce(lambda all_before, one: all_before | one, found, NOTHING_STATED)


def _is_number(text: str) -> bool:
    try:
        return 0 < float(text) < 1e6
    except ValueError:
        return False


def _one_unit(number: float, word: str) -> Stated:
    name = _NAMES[word.lower()]
    size = number * _UNITS_MM[name]
    same = next((other for other, mm in _UNITS_MM.items() if abs(mm - size) < 1e-6 * size), None)
    return Stated(same or f"units of {size:g} mm", size)


def _axes(word: str) -> str:
    axes = _LONG_AXES.get(word.lower(), word.upper())
    if not re.fullmatch("[RL][AP][SI]", axes):
        raise UssimError(
            f"states the frame {word[:30]}; allowed: RAS, LPS and others of x along right-left, y along front-back, "
            "z along up-down"
        )
    return axes
