"""A closed surface of triangles and what fills it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ussim.errors import UssimError


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangulated surface and what fills it.

    Attributes:
        name: Unique in its scene.
        path: The mesh file, or None if it was made in memory.
        tissue: Name of the tissue inside.
        priority: Where surfaces overlap the higher one wins; equal ones must not overlap.
        group: Free word such as ``fetus`` or ``mother``.
        vertices_mm: (V, 3) float32, mm, scene coordinates.
        triangles: (T, 3) int32, counter-clockwise seen from outside.

    Raises:
        UssimError: An array has another shape, or a triangle uses a vertex that does not exist.
    """

    name: str
    path: Path | None
    tissue: str
    priority: int
    group: str
    vertices_mm: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        for key, dtype in (("vertices_mm", np.float32), ("triangles", np.int32)):
            array = np.ascontiguousarray(getattr(self, key), dtype=dtype)
            if array.ndim != 2 or array.shape[1] != 3:
                raise UssimError(f"surface '{self.name}': {key} has shape {array.shape}; allowed: (n, 3)")
            object.__setattr__(self, key, array)
        count = len(self.vertices_mm)
        if len(self.triangles) and not 0 <= self.triangles.min() <= self.triangles.max() < count:
            raise UssimError(f"surface '{self.name}': triangles use vertices outside the allowed 0 to {count - 1}")
