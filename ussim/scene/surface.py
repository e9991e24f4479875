"""A closed surface of triangles and what fills it."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ussim.errors import UssimError
from ussim.scene.mesh_io import tidy_mesh


@dataclass(frozen=True, eq=False, kw_only=True)
class Surface:
    """A triangulated surface and what fills it; :meth:`from_mesh` makes one of a mesh in memory.

    Attributes:
        name: Unique in its scene.
        tissue: Name of the tissue inside.
        vertices_mm: (V, 3) float32, mm, scene coordinates.
        triangles: (T, 3) int32, counter-clockwise seen from outside.
        priority: Where surfaces overlap the higher one wins; equal ones must not overlap.
        group: Free word such as ``fetus`` or ``mother``.
        path: The mesh file, or None if it was made in memory.

    Raises:
        UssimError: An array has another shape or holds no numbers, a triangle uses a vertex that does not exist, or
            the priority is no whole number.
    """

    name: str
    tissue: str
    vertices_mm: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)
    priority: int = 0
    group: str = ""
    path: Path | None = None

    def __post_init__(self) -> None:
        vertices = self._rows("vertices_mm", "iuf", "numbers")
        triangles = self._rows("triangles", "iu", "whole numbers")
        count = len(vertices)
        if len(triangles) and not 0 <= triangles.min() <= triangles.max() < count:
            raise UssimError(f"surface '{self.name}': triangles use vertices outside the allowed 0 to {count - 1}")
        try:
            priority = operator.index(self.priority)
        except TypeError:
            raise UssimError(f"surface '{self.name}': priority = {self.priority!r}; allowed: a whole number") from None
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is found as such
            object.__setattr__(self, "vertices_mm", np.ascontiguousarray(vertices, dtype=np.float32))
        object.__setattr__(self, "triangles", np.ascontiguousarray(triangles, dtype=np.int32))
        object.__setattr__(self, "priority", priority)

    @classmethod
    def from_mesh(
        cls, mesh: Any, *, name: str, tissue: str, priority: int = 0, group: str = "", scale: float = 1.0
    ) -> Surface:
        """Make a surface of a mesh in memory, treated as one from a file is.

        Vertices that no triangle uses are dropped. If the mesh is open as it is, vertices at exactly the same place
        become one. Nothing else is repaired: :meth:`~ussim.scene.scene.Scene.check` says what is wrong.

        Args:
            mesh: What has ``vertices`` and ``faces``, such as a ``trimesh.Trimesh``; or a pair of arrays, vertices
                (V, 3) and triangles (T, 3), counter-clockwise seen from outside.
            name: Unique in its scene.
            tissue: Name of the tissue inside.
            priority: Where surfaces overlap the higher one wins; equal ones must not overlap.
            group: Free word such as ``fetus`` or ``mother``.
            scale: Factor to millimetres: 1000 for a mesh in metres.

        Raises:
            UssimError: It is no mesh, holds coordinates that are not finite, or has no triangle.
        """
        try:
            vertices, triangles = (mesh.vertices, mesh.faces) if hasattr(mesh, "faces") else mesh
        except (AttributeError, TypeError, ValueError):
            raise UssimError(
                f"surface '{name}': mesh is a {type(mesh).__name__}; allowed: what has vertices and faces, or a pair "
                "of arrays (vertices, triangles)"
            ) from None
        if not (isinstance(scale, int | float | np.number) and 0 < scale < np.inf):
            raise UssimError(f"surface '{name}': scale = {scale!r}; allowed: a number above 0")
        given = cls(name=name, tissue=tissue, vertices_mm=vertices, triangles=triangles, priority=priority, group=group)
        if not len(given.triangles):
            raise UssimError(f"surface '{name}': no triangles; allowed: a closed triangle mesh")
        placed = replace(given, vertices_mm=np.asarray(vertices, dtype=np.float64) * scale)
        placed.require_finite()
        vertices, triangles = tidy_mesh(placed.vertices_mm, placed.triangles)
        return replace(placed, vertices_mm=vertices, triangles=triangles)

    def require_finite(self) -> None:
        """Refuse vertices that are nowhere.

        Raises:
            UssimError: A coordinate is NaN or infinite; says how many vertices and which first.
        """
        bad = np.flatnonzero(~np.isfinite(self.vertices_mm).all(axis=1))
        if len(bad):
            raise UssimError(
                f"surface '{self.name}': {len(bad)} vertices with NaN or infinite coordinates, the first of them "
                f"{bad[0]}; allowed: finite numbers in mm"
            )

    def _rows(self, key: str, kinds: str, allowed: str) -> np.ndarray:
        """An array of the object, once it is known to be one of (n, 3) numbers."""
        try:
            array = np.asarray(getattr(self, key))
        except ValueError:  # rows of several lengths
            raise UssimError(f"surface '{self.name}': {key} is no array; allowed: {allowed} of shape (n, 3)") from None
        if array.ndim != 2 or array.shape[1] != 3:
            raise UssimError(f"surface '{self.name}': {key} has shape {array.shape}; allowed: (n, 3)")
        if array.dtype.kind not in kinds:
            raise UssimError(f"surface '{self.name}': {key} holds {array.dtype}; allowed: {allowed}")
        return array
