"""Point targets: scatterers far smaller than the beam, each at a place of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ussim.errors import UssimError
from ussim.scene.surface import Surface
from ussim.scene.topology import bounds, winding_number

STRONGEST_DB = 100.0
WEAKEST_DB = -100.0


@dataclass(frozen=True)
class PointTarget:
    """A point that scatters; checked when it is made.

    Attributes:
        position_mm: Where it lies in the scene; any row of three numbers, kept as a tuple of floats.
        strength_db: Peak of its echo on the axis of a scanline, before attenuation, over the mean level of tissue of
            unit scatterers (``scatter_density`` 1, ``scatter_std`` 1): the scale of ``imaging.reference_db``.

    Raises:
        UssimError: The position is not three finite numbers, or the strength is out of range.
    """

    position_mm: tuple[float, float, float]
    strength_db: float = 0.0

    def __post_init__(self) -> None:
        try:
            position = tuple(float(value) for value in self.position_mm)
        except (TypeError, ValueError):
            position = ()
        if len(position) != 3 or not all(map(math.isfinite, position)):
            raise UssimError(f"position_mm = {self.position_mm}: allowed: three finite numbers [x, y, z]")
        object.__setattr__(self, "position_mm", position)
        is_number = isinstance(self.strength_db, int | float | np.number)
        if not (is_number and WEAKEST_DB <= self.strength_db <= STRONGEST_DB):
            raise UssimError(
                f"strength_db = {self.strength_db}: allowed: at least {WEAKEST_DB:g}, at most {STRONGEST_DB:g}"
            )
        object.__setattr__(self, "strength_db", float(self.strength_db))


def require_inside(points: Iterable[PointTarget], surfaces: Sequence[Surface]) -> None:
    """Refuse a point that lies in the background, where nothing holds it.

    Raises:
        UssimError: Something else than points; a point outside, by its number from 1, and where surfaces are.
    """
    boxes = [(surface, bounds(surface.vertices_mm)) for surface in surfaces if len(surface.vertices_mm)]
    for number, point in enumerate(points, start=1):
        if not isinstance(point, PointTarget):
            raise UssimError(f"point {number}: a {type(point).__name__} is no point; allowed: a PointTarget")
        place = np.array(point.position_mm)
        if any(
            (low < place).all()
            and (place < high).all()
            and winding_number(place, surface.vertices_mm, surface.triangles) > 0.5
            for surface, (low, high) in boxes
        ):
            continue
        allowed = "there is none"
        if boxes:
            low, high = np.min([low for _, (low, _) in boxes], axis=0), np.max([high for _, (_, high) in boxes], axis=0)
            spans = (f"{axis} {a:.6g} to {b:.6g}" for axis, a, b in zip("xyz", low, high, strict=True))
            allowed = f"all lie within {', '.join(spans)} mm"
        raise UssimError(
            f"point {number}: position_mm = {list(point.position_mm)} lies outside every surface; allowed: inside of "
            f"one; {allowed}"
        )
