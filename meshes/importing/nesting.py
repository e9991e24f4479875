"""What lies in what, and the priorities that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from ussim.scene.check import SMALLEST_OVERLAP_MM3
from ussim.scene.topology import MeshArrays, bounds, face_shapes, winding_number

PRIORITY_STEP = 10
# A surface of which at least this share lies in another is part of it.
_PART_SHARE = 0.5
_PROBE_POINTS = 8
_SAMPLE_POINTS = 32
# Sample points are moved into their surface by this share of its size, so that of two coinciding walls the inner
# one counts as inside.
_INSET = 1e-4


@dataclass(frozen=True)
class Nesting:
    """How surfaces lie in each other.

    Attributes:
        volumes_mm3: (n,) enclosed volume of each.
        share_inside: (n, n), share of surface i (by area) that lies inside surface j; 0 where j is smaller.
        overlaps: (n, n) bool, symmetric: the two share volume.
        touching: Pairs (i, j, share) whose walls coincide over that share of i's vertices.
    """

    volumes_mm3: np.ndarray
    share_inside: np.ndarray
    overlaps: np.ndarray
    touching: tuple[tuple[int, int, float], ...]

    def containers(self, index: int) -> list[int]:
        """The surfaces in which a surface lies, the smallest first."""
        found = np.flatnonzero(self.share_inside[index] >= _PART_SHARE)
        return sorted((int(one) for one in found), key=lambda one: self.volumes_mm3[one])

    def contents(self, index: int) -> list[int]:
        """The surfaces that lie in a surface."""
        return [int(one) for one in np.flatnonzero(self.share_inside[:, index] >= _PART_SHARE)]

    @cached_property
    def outermost(self) -> int:
        """The surface that holds most others; the largest of those."""
        count = len(self.volumes_mm3)
        return max(range(count), key=lambda one: (len(self.contents(one)), self.volumes_mm3[one], -one))

    @property
    def has_no_body(self) -> bool:
        """True if even the outermost surface holds less than half of the others."""
        others = len(self.volumes_mm3) - 1
        return 2 * len(self.contents(self.outermost)) < others

    def apart_from(self, index: int) -> list[int]:
        """The surfaces that no chain of surfaces which lie in or overlap each other joins to a surface."""
        joined, ahead = {index}, [index]
        while ahead:
            near = {int(one) for one in np.flatnonzero(self.overlaps[ahead.pop()])} - joined
            joined |= near
            ahead += near
        return [one for one in range(len(self.volumes_mm3)) if one not in joined]

    @cached_property
    def levels(self) -> np.ndarray:
        """(n,) int: length of the longest chain of larger surfaces that each lies in or overlaps.

        Nested surfaces count their depth; of two that overlap the smaller is higher; those apart may share a level.
        """
        levels = np.zeros(len(self.volumes_mm3), dtype=int)
        order = np.argsort(-self.volumes_mm3, kind="stable")
        for place, one in enumerate(order):
            below = [levels[other] for other in order[:place] if self.overlaps[one, other]]
            levels[one] = max(below, default=-1) + 1
        return levels

    @property
    def priorities(self) -> np.ndarray:
        """(n,) int: a priority for each level, with room between them."""
        return PRIORITY_STEP * (self.levels + 1)


def find_nesting(meshes: Sequence[MeshArrays]) -> Nesting:
    """Find out which surface lies inside which.

    Inside is judged at points spread evenly over the area of a surface, by the winding number of the other one, which
    is exact for closed surfaces however they are meshed. Whether two surfaces overlap that do not lie in each other is
    answered by the volume of their intersection.

    Args:
        meshes: vertices (V, 3), mm, and triangles (T, 3) of closed, outward surfaces.
    """
    count = len(meshes)
    boxes = np.stack([bounds(vertices) for vertices, _ in meshes])
    volumes = np.array([face_shapes(*mesh)[1].sum() / 6 for mesh in meshes])
    share = np.zeros((count, count))
    overlaps = np.zeros((count, count), dtype=bool)
    solids = _Solids(meshes)
    for first, second in combinations(range(count), 2):
        small, large = sorted((first, second), key=lambda one: (volumes[one], -one))
        if (boxes[small, 0] > boxes[large, 1]).any() or (boxes[large, 0] > boxes[small, 1]).any():
            continue
        share[small, large] = _share_inside(meshes[small], meshes[large])
        overlap = share[small, large] > 0 or solids.overlap_mm3(small, large) > SMALLEST_OVERLAP_MM3
        overlaps[small, large] = overlaps[large, small] = overlap
    return Nesting(volumes, share, overlaps, tuple(_touching(meshes, boxes)))


def _share_inside(inner: MeshArrays, outer: MeshArrays) -> float:
    """Share of the area of one surface that lies inside another one.

    A few points first: most pairs are clear then.
    """
    points = _spread_points(*inner)
    few = points[:: len(points) // _PROBE_POINTS]
    inside = np.array([winding_number(point, *outer) > 0.5 for point in few])
    if not inside.any() or len(few) == len(points):
        return float(inside.mean())
    return float(np.mean([winding_number(point, *outer) > 0.5 for point in points]))


def _spread_points(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Points just inside a surface, one for each of 32 equal shares of its area in the order of its triangles."""
    corners = vertices[triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    total = np.cumsum(areas)
    chosen = np.searchsorted(total, (np.arange(_SAMPLE_POINTS) + 0.5) / _SAMPLE_POINTS * total[-1])
    size = np.linalg.norm(vertices.max(axis=0) - vertices.min(axis=0))
    inwards = -normals[chosen] / np.maximum(areas[chosen, None], 1e-30)
    return corners[chosen].mean(axis=1) + _INSET * size * inwards


class _Solids:
    """Intersections of closed meshes; a mesh is handed to the kernel once, when first asked for."""

    def __init__(self, meshes: Sequence[MeshArrays]):
        self._meshes = meshes
        self._solids: dict[int, Any] = {}

    def overlap_mm3(self, first: int, second: int) -> float:
        """The volume two meshes share; infinite where the kernel cannot tell, so that they count as overlapping."""
        a, b = self._solid(first), self._solid(second)
        return float("inf") if a is None or b is None else (a ^ b).volume()

    def _solid(self, index: int) -> Any:
        import manifold3d as m3d

        if index not in self._solids:
            vertices, triangles = self._meshes[index]
            mesh = m3d.Mesh64(vertices.astype(np.float64, order="C"), triangles.astype(np.uint64, order="C"))
            solid = m3d.Manifold(mesh)
            self._solids[index] = solid if solid.status() == m3d.Error.NoError else None
        return self._solids[index]


def _touching(meshes: Sequence[MeshArrays], boxes: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of surfaces that have vertices in the same places: they were cut against each other."""
    from scipy.spatial import cKDTree

    found = []
    trees: dict[int, cKDTree] = {}
    for first, second in combinations(range(len(meshes)), 2):
        if (boxes[first, 0] > boxes[second, 1]).any() or (boxes[second, 0] > boxes[first, 1]).any():
            continue
        few, many = sorted((first, second), key=lambda one: (len(meshes[one][0]), one))
        tree = trees.setdefault(many, cKDTree(meshes[many][0]))
        near = 1e-6 * np.linalg.norm(boxes[many, 1] - boxes[many, 0])
        share = float(np.isfinite(tree.query(meshes[few][0], distance_upper_bound=near)[0]).mean())
        if share > 0.02:
            found.append((few, many, share))
    return found
