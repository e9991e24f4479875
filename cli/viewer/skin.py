"""Where a probe can be put: the outside of a scene, its closest points and normals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from ussim.errors import UssimError
from ussim.scene.scene import Scene

FOOTPRINT_MM = 12.0
"""Radius over which the normal of the skin is averaged: a probe's face rests on as much of it."""
_CANDIDATES = 6  # nearest vertices whose triangles are looked at
_AROUND = 6  # points of the footprint's edge
_CHUNK = 200_000  # triangles that a ray is tried on at once


@dataclass(frozen=True, eq=False)
class Skin:
    """The outermost surface of a scene.

    Attributes:
        vertices_mm: (V, 3) float64.
        triangles: (T, 3) int.
    """

    vertices_mm: np.ndarray
    triangles: np.ndarray

    @classmethod
    def of(cls, scene: Scene) -> Skin:
        """The surfaces that the largest one does not hold, and that one itself.

        Raises:
            UssimError: The scene has no surfaces.
        """
        if not scene.surfaces:
            raise UssimError(f"{scene.name}: has no surfaces, so no skin to put a probe on")
        boxes = [(one.vertices_mm.min(axis=0), one.vertices_mm.max(axis=0)) for one in scene.surfaces]
        low, high = max(boxes, key=lambda box: float(np.prod(box[1] - box[0])))
        outer = [
            one
            for one, (least, most) in zip(scene.surfaces, boxes, strict=True)
            if (least <= low).any() or (most >= high).any()
        ]
        offsets = np.cumsum([0, *(len(one.vertices_mm) for one in outer)])
        return cls(
            np.concatenate([one.vertices_mm for one in outer]).astype(np.float64),
            np.concatenate([one.triangles + offset for one, offset in zip(outer, offsets, strict=False)]),
        )

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.vertices_mm)

    @cached_property
    def _normals(self) -> np.ndarray:
        """Of the vertices, outward, (V, 3): means over their triangles, weighted by area."""
        a, b, c = (self.vertices_mm[self.triangles[:, corner]] for corner in range(3))
        across = np.cross(b - a, c - a)
        normals = np.zeros_like(self.vertices_mm)
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], across)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    @cached_property
    def _triangles_of_vertex(self) -> tuple[np.ndarray, np.ndarray]:
        """Triangles sorted by their corners, and where those of each vertex begin."""
        corners = self.triangles.ravel()
        order = np.argsort(corners, kind="stable")
        begins = np.searchsorted(corners[order], np.arange(len(self.vertices_mm) + 1))
        return order // 3, begins

    def _nearest(self, point_mm: np.ndarray) -> tuple[int, np.ndarray]:
        """Number of the closest triangle, and the closest point on it."""
        _, nearest = self._tree.query(point_mm, k=min(_CANDIDATES, len(self.vertices_mm)))
        sorted_triangles, begins = self._triangles_of_vertex
        near = np.unique(np.concatenate([sorted_triangles[begins[v] : begins[v + 1]] for v in np.atleast_1d(nearest)]))
        corners = self.vertices_mm[self.triangles[near]]
        points = trimesh.triangles.closest_point(corners, np.broadcast_to(point_mm, (len(near), 3)))
        best = int(np.argmin(np.linalg.norm(points - point_mm, axis=1)))
        return int(near[best]), points[best]

    def closest(self, point_mm: np.ndarray) -> np.ndarray:
        """The closest point of the skin, (3,)."""
        return self._nearest(point_mm)[1]

    def _normal_at(self, point_mm: np.ndarray) -> np.ndarray:
        """At the closest point: between those of the corners, so that it turns steadily over coarse triangles."""
        triangle, point = self._nearest(point_mm)
        corners = self.triangles[triangle]
        shares = trimesh.triangles.points_to_barycentric(self.vertices_mm[corners][None], point[None])[0]
        return _unit(np.clip(np.nan_to_num(shares, nan=1 / 3), 0, 1) @ self._normals[corners])

    def normal(self, point_mm: np.ndarray) -> np.ndarray:
        """The outward normal at the closest point, averaged over a probe's footprint; (3,) of length 1."""
        middle = self._normal_at(point_mm)
        first = _unit(np.cross(middle, np.eye(3)[int(np.argmin(np.abs(middle)))]))
        second = np.cross(middle, first)
        around = [
            self._normal_at(point_mm + FOOTPRINT_MM * (np.cos(angle) * first + np.sin(angle) * second))
            for angle in np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
        ]
        return _unit(np.sum([middle, *around], axis=0))

    def first_hit(self, origin_mm: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
        """Where a ray first meets the skin, (3,); None where it misses."""
        nearest, (a, b, c) = np.inf, (self.vertices_mm[self.triangles[:, corner]] for corner in range(3))
        for begin in range(0, len(self.triangles), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            edge, other = b[part] - a[part], c[part] - a[part]
            across = np.cross(direction, other)
            determinant = np.einsum("ij,ij->i", edge, across)
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = 1 / determinant
                start = origin_mm - a[part]
                u = np.einsum("ij,ij->i", start, across) * inverse
                turned = np.cross(start, edge)
                v = turned @ direction * inverse
                t = np.einsum("ij,ij->i", other, turned) * inverse
                hits = (determinant != 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-6)
            if hits.any():
                nearest = min(nearest, float(t[hits].min()))
        return origin_mm + nearest * direction if np.isfinite(nearest) else None


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-12 else np.array([0.0, -1.0, 0.0])
