"""Which unit is a mesh in? Few files say, and some say what their author never looked at; the size does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshes.importing.mesh_files import FileSurface
from ussim.errors import UssimError

MM_PER_UNIT = {"um": 0.001, "mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}
IN_WORDS = {
    "um": "micrometres", "mm": "millimetres", "cm": "centimetres", "dm": "decimetres", "m": "metres", "in": "inches",
    "ft": "feet",
}  # fmt: skip
# The largest side of a scanned body is 3 cm to 3 m. That leaves one unit for every size but a very small one,
# and sets these bounds, in the unit of the file.
_LARGEST_IN_M = 3.0
_LARGEST_IN_CM = 30.0
_LARGEST_IN_MM = 10_000.0
# In between a small thing in a small unit is as likely as a body in a large one.
_TOSS_UP = (2.0, 30.0)
_LARGEST_SCALE = 1e6


@dataclass(frozen=True)
class Units:
    """The unit of a user's meshes.

    Attributes:
        name: A key of :data:`MM_PER_UNIT`, or another in words.
        scale: Factor to millimetres.
        why: One clause that says how it is known.
        doubt: A sentence for the user where the size allows of other units too; else empty.
    """

    name: str
    scale: float
    why: str
    doubt: str = ""

    @property
    def in_words(self) -> str:
        """As in a sentence."""
        return IN_WORDS.get(self.name, self.name)


def find_units(surfaces: Sequence[FileSurface], wanted: str | None = None, scale: float | None = None) -> Units:
    """The unit as an option says, else as the files state, else as their size suggests.

    Args:
        surfaces: All there are, in the unit of their files.
        wanted: A key of :data:`MM_PER_UNIT`, or None.
        scale: Millimetres of one unit, or None.

    Raises:
        UssimError: Both are given, the files contradict each other, or no vertex has a place.
    """
    if wanted is not None and scale is not None:
        raise UssimError("--units and --scale are given; allowed: one of them")
    if scale is not None:
        if not 0 < scale <= _LARGEST_SCALE:
            raise UssimError(f"--scale {scale:g}: allowed: above 0, to {_LARGEST_SCALE:g} mm per unit")
        return Units(f"{scale:g} mm", scale, "as given with --scale")
    if wanted is not None:
        return Units(wanted, MM_PER_UNIT[wanted], "as given with --units")
    return _stated_units(surfaces) or guess_units(_extent(surfaces))


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
    if not _TOSS_UP[0] < extent <= _TOSS_UP[1]:
        why = f"guessed from the size: {extent:.4g} long, which in {IN_WORDS[name]} is a body of {size}"
        return Units(name, MM_PER_UNIT[name], why)
    others = [other for other in ("m", "cm", "mm", "in") if other != name and (other != "m" or extent <= _LARGEST_IN_M)]
    why = f"which is a guess: {extent:.4g} long, in {IN_WORDS[name]} {size}"
    sizes = " or ".join(f"{extent:.4g} {other}" for other in (name, *others[:-1]))
    doubt = (
        f"{sizes} (or {extent:.4g} inches)? The size does not tell: taken for {name}; say --units {'|'.join(others)} "
        "if that is wrong"
    )
    return Units(name, MM_PER_UNIT[name], why, doubt)


def _stated_units(surfaces: Sequence[FileSurface]) -> Units | None:
    """What files say; it holds for those too that say nothing, and that is told."""
    stating = [one for one in surfaces if one.stated.unit]
    if not stating:
        return None
    first = stating[0]
    for other in stating:
        if abs(other.stated.unit_mm - first.stated.unit_mm) > 1e-6 * first.stated.unit_mm:
            raise UssimError(
                f"{first.source} states that its unit is {first.stated.unit}, {other.source} that it is "
                f"{other.stated.unit}; allowed: one unit for all (say which with --units or --scale)"
            )
    why = f"as the header of {first.source} says"
    if len(stating) < len(surfaces):
        why += "; assumed for the files that say nothing"
    return Units(first.stated.unit, first.stated.unit_mm, why)


def _extent(surfaces: Sequence[FileSurface]) -> float:
    """Largest side of the box around everything that is somewhere."""
    corners = np.concatenate([one.vertices for one in surfaces])
    corners = corners[np.isfinite(corners).all(axis=1)]
    if not len(corners):
        raise UssimError("no vertex has finite coordinates; export the meshes again")
    extent = float(np.ptp(corners, axis=0).max())
    if extent == 0:
        raise UssimError("all vertices lie in one point; export the meshes again")
    return extent
