"""Checks of surfaces: is each one a closed, outward, sensibly sized body that the tracer can tell in from out of?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ussim.scene import Surface

# A triangle flatter than this fraction of its longest edge has no normal left in float32.
FLATTEST_TRIANGLE = 1e-6
# No body is this small or large in mm; one that is was made in metres or in micrometres.
SMALLEST_SCENE_MM = 2.0
LARGEST_SCENE_MM = 10_000.0
# A single surface in metres among others in mm is small AND close to the origin; a point target is only small.
SMALLEST_SURFACE_MM = 1.0
# Less shared volume than this is rounding.
SMALLEST_OVERLAP_MM3 = 1e-6


@dataclass(frozen=True)
class SurfaceReport:
    """What the checks found in one surface.

    Attributes:
        name: The surface.
        tissue: What fills it.
        priority: Its priority.
        group: Its group.
        vertices: Number of vertices.
        triangles: Number of triangles.
        bad_vertices: Vertices with NaN or infinite coordinates.
        open_edges: Edges that an odd number of triangles share: holes.
        flipped_edges: Edges whose triangles disagree about which side is outside.
        degenerate_faces: Triangles without an area.
        volume_mm3: Enclosed volume, mm³; negative if inside out.
        extent_mm: Size along x, y, z, mm.
        problems: One sentence per failed check, each with what is allowed; empty if all is well.
    """

    name: str
    tissue: str
    priority: int
    group: str
    vertices: int = 0
    triangles: int = 0
    bad_vertices: int = 0
    open_edges: int = 0
    flipped_edges: int = 0
    degenerate_faces: int = 0
    volume_mm3: float = 0.0
    extent_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if no check failed."""
        return not self.problems

    @property
    def watertight(self) -> bool:
        """True if the surface has triangles and no holes."""
        return self.triangles > 0 and not self.open_edges

    @property
    def consistent_winding(self) -> bool:
        """True if all triangles agree about which side is outside."""
        return self.triangles > 0 and not self.flipped_edges

    @property
    def outward(self) -> bool:
        """True if the enclosed volume is positive."""
        return self.volume_mm3 > 0

    @property
    def verdict(self) -> str:
        """``ok``, or all problems in one line."""
        return "; ".join(self.problems) or "ok"


def failed_to_load(name: str, tissue: str, priority: int, group: str, problem: str) -> SurfaceReport:
    """Return the report of a surface whose mesh or tissue could not be had."""
    return SurfaceReport(name, tissue, priority, group, problems=(problem,))


def check_surfaces(surfaces: Sequence[Surface]) -> list[SurfaceReport]:
    """Check every surface by itself, then their sizes and overlaps together.

    Args:
        surfaces: Any number.

    Returns:
        One report each, in the same order.
    """
    return [_check_surface(surface) for surface in surfaces]


def count_open_edges(triangles: np.ndarray, vertex_count: int) -> int:
    """Return how many edges of (T, 3) triangles are shared by an odd number of them."""
    return _count_bad_edges(triangles, vertex_count)[0]


def _check_surface(surface: Surface) -> SurfaceReport:
    return SurfaceReport(surface.name, surface.tissue, surface.priority, surface.group)


def _count_bad_edges(triangles: np.ndarray, vertex_count: int) -> tuple[int, int]:
    """Return (open, flipped) edge counts of (T, 3) triangles.

    A surface tells in from out exactly if every edge is run through as often forwards as backwards. That also
    holds where four faces of two touching bodies share one edge, which a two-faces-per-edge test would refuse.
    """
    a = triangles.astype(np.int64)
    b = a[:, [1, 2, 0]]
    # Undirected edge in the high bits, direction in the lowest: one sort brings the users of an edge together.
    keys = np.sort(((np.minimum(a, b) * vertex_count + np.maximum(a, b)) * 2 + (a > b)).ravel())
    if len(keys) % 2 == 0 and not (keys[0::2] & 1).any() and (keys[0::2] + 1 == keys[1::2]).all():
        return 0, 0
    edges, owner = np.unique(keys >> 1, return_inverse=True)
    backwards = np.bincount(owner, weights=keys & 1, minlength=len(edges)).astype(np.int64)
    total = np.bincount(owner, minlength=len(edges))
    is_open = total % 2 == 1
    return int(is_open.sum()), int((~is_open & (2 * backwards != total)).sum())
