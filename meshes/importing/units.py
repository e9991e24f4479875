"""Which unit is a mesh in? Files do not say, or say what their author never looked at; the size does."""

from __future__ import annotations

from dataclasses import dataclass

MM_PER_UNIT = {"um": 0.001, "mm": 1.0, "cm": 10.0, "m": 1000.0}
IN_WORDS = {"um": "micrometres", "mm": "millimetres", "cm": "centimetres", "m": "metres"}
# The largest side of a scanned body is 3 cm to 3 m. That leaves one unit for every size but a very small one,
# and sets these bounds, in the unit of the file.
_LARGEST_IN_M = 3.0
_LARGEST_IN_CM = 30.0
_LARGEST_IN_MM = 10_000.0


@dataclass(frozen=True)
class Units:
    """The unit of a user's meshes.

    Attributes:
        name: A key of :data:`MM_PER_UNIT`.
        why: One clause that says how it is known.
    """

    name: str
    why: str

    @property
    def scale(self) -> float:
        """Factor to millimetres."""
        return MM_PER_UNIT[self.name]


def guess_units(extent: float) -> Units:
    """The unit in which the largest side of all meshes together is that of a body.

    Args:
        extent: Largest side of the box around all meshes, in the unit of the files.
    """
    if extent <= _LARGEST_IN_M:
        name = "m"
    elif extent <= _LARGEST_IN_CM:
        name = "cm"
    elif extent <= _LARGEST_IN_MM:
        name = "mm"
    else:
        name = "um"
    size = f"{extent * MM_PER_UNIT[name]:.4g} mm"
    return Units(name, f"guessed from the size: {extent:.4g} long, which in {IN_WORDS[name]} is a body of {size}")


def given_units(name: str) -> Units:
    """A unit that the user has named: a key of :data:`MM_PER_UNIT`."""
    return Units(name, "as given with --units")
