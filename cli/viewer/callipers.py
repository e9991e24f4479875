"""Callipers on the image plane, what a growth chart says to a measure, and what the mesh says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.optimize import brentq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, QhullError

from meshes.fetus.growth import WEEKS_RANGE, chart
from ussim.scene.scene import Scene

Point = tuple[float, float]
"""(x, z) in the image plane [mm]."""

DISTANCE, ELLIPSE = "distance", "ellipse"
KINDS = {
    DISTANCE: "Distance",
    ELLIPSE: "Ellipse",
    "bpd": "BPD: biparietal diameter",
    "hc": "HC: head circumference",
    "ac": "AC: abdominal circumference",
    "fl": "FL: femur length",
}
_ELLIPSES = (ELLIPSE, "hc", "ac")
_SURFACES = {"bpd": "skull", "hc": "skull", "ac": "fetal_skin", "fl": "limb_bones"}
"""What a surface's name holds that a measure is taken of."""
_OUTLINE = 72
_MERGE_MM = 1e-3  # ends of segments that meet


@dataclass(frozen=True)
class Measured:
    """A measure on an image.

    Attributes:
        kind: One of ``KINDS``.
        points_mm: Two ends of a distance; of an ellipse the ends of its long axis and a point beside it.
    """

    kind: str
    points_mm: tuple[Point, ...]

    @property
    def needs(self) -> int:
        """How many points it takes."""
        return points_of(self.kind)

    @property
    def half_axes_mm(self) -> tuple[float, float]:
        """Of an ellipse: along its first two points, and across."""
        (ax, az), (bx, bz), (px, pz) = self.points_mm
        half = math.hypot(bx - ax, bz - az) / 2
        across = abs((bx - ax) * (pz - az) - (bz - az) * (px - ax)) / max(2 * half, 1e-9)
        # the point may lie anywhere on the outline: along² / half² + across² / b² = 1
        along = ((px - ax) * (bx - ax) + (pz - az) * (bz - az)) / max(2 * half, 1e-9) - half
        inside = max(1 - (along / max(half, 1e-9)) ** 2, 1e-3)
        return half, across / math.sqrt(inside)

    @property
    def value_mm(self) -> float:
        """Length or circumference."""
        if self.kind not in _ELLIPSES:
            return math.dist(*self.points_mm)
        a, b = self.half_axes_mm
        h = ((a - b) / max(a + b, 1e-9)) ** 2
        return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))  # Ramanujan

    def outline_mm(self) -> list[Point]:
        """What is drawn."""
        if self.kind not in _ELLIPSES:
            return list(self.points_mm)
        (ax, az), (bx, bz), _ = self.points_mm
        a, b = self.half_axes_mm
        x, z = (ax + bx) / 2, (az + bz) / 2
        ux, uz = (bx - ax) / max(2 * a, 1e-9), (bz - az) / max(2 * a, 1e-9)
        turns = np.linspace(0, 2 * np.pi, _OUTLINE)
        return [
            (x + a * np.cos(t) * ux - b * np.sin(t) * uz, z + a * np.cos(t) * uz + b * np.sin(t) * ux) for t in turns
        ]

    @property
    def middle_mm(self) -> Point:
        """Between its first two points."""
        (ax, az), (bx, bz) = self.points_mm[:2]
        return (ax + bx) / 2, (az + bz) / 2


def points_of(kind: str) -> int:
    """How many points a measure takes."""
    return 3 if kind in _ELLIPSES else 2


def age_of(kind: str, value_mm: float) -> str:
    """Gestational age at which the chart's mean is a value, in words; empty for what has no chart."""
    if kind not in _SURFACES:
        return ""
    low, high = WEEKS_RANGE
    least, most = chart(kind, low)[0], chart(kind, high)[0]
    if not least <= value_mm <= most:
        return f"outside of {low:g} to {high:g} weeks ({least:.0f} to {most:.0f} mm)"
    weeks = brentq(lambda age: chart(kind, age)[0] - value_mm, low, high)
    whole, days = divmod(round(7 * weeks), 7)
    return f"{whole} w {days} d"


def true_mm(scene: Scene, pose: np.ndarray, measured: Measured) -> float | None:
    """What a measure would be if it were taken of the mesh where the image plane cuts it.

    Circumferences and the biparietal diameter are those of the convex hull of the cut, the femur's length that of
    the whole bone nearest to the callipers. None where the scene has no such surface, or the plane misses it.
    """
    wanted = _SURFACES.get(measured.kind)
    found = [one for one in scene.surfaces if wanted and wanted in one.name]
    if not found:
        return None
    x, z = measured.middle_mm
    middle = pose[:3, 3] + x * pose[:3, 0] + z * pose[:3, 2]
    if measured.kind == "fl":
        return _length_mm(found[0].vertices_mm, found[0].triangles, middle)
    cut = _cut(found[0].vertices_mm, found[0].triangles, pose)
    hull = _hull_around(cut, (x, z)) if len(cut) else None
    if hull is None:
        return None
    return _least_width_mm(hull) if measured.kind == "bpd" else _perimeter_mm(hull)


def _cut(vertices: np.ndarray, triangles: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Segments (n, 2, 2) in the image plane in which it cuts a mesh."""
    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    lines = trimesh.intersections.mesh_plane(mesh, plane_normal=pose[:3, 1], plane_origin=pose[:3, 3])
    local = (np.asarray(lines).reshape(-1, 3) - pose[:3, 3]) @ pose[:3, :3]
    return local[:, [0, 2]].reshape(-1, 2, 2)


def _hull_around(segments: np.ndarray, middle: Point) -> np.ndarray | None:
    """Corners in order, (n, 2), of the convex hull of the outline nearest to a point, by the middles of outlines."""
    ends = segments.reshape(-1, 2)
    _, number = np.unique(np.round(ends / _MERGE_MM).astype(np.int64), axis=0, return_inverse=True)
    pairs = number.reshape(-1, 2)
    count = int(number.max()) + 1
    _, piece = connected_components(coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count)))
    of_end = piece[number.reshape(-1)]
    best, nearest = None, np.inf
    for one in np.unique(of_end):
        points = ends[of_end == one]
        away = float(np.linalg.norm(points.mean(axis=0) - middle)) - float(np.linalg.norm(np.ptp(points, axis=0))) / 2
        try:
            hull = ConvexHull(points)
        except QhullError:
            continue
        if away < nearest:
            best, nearest = points[hull.vertices], away
    return best


def _perimeter_mm(corners: np.ndarray) -> float:
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).sum())


def _least_width_mm(corners: np.ndarray) -> float:
    """Least distance of two parallel lines that hold all corners: one of them lies on an edge."""
    edges = np.roll(corners, -1, axis=0) - corners
    edges = edges[np.linalg.norm(edges, axis=1) > 1e-9]
    across = np.column_stack([-edges[:, 1], edges[:, 0]]) / np.linalg.norm(edges, axis=1, keepdims=True)
    return float(np.ptp(corners @ across.T, axis=0).min())


def _length_mm(vertices: np.ndarray, triangles: np.ndarray, point: np.ndarray) -> float:
    """Greatest distance between two points of the body of a mesh that is nearest to a point."""
    count = len(vertices)
    rows = np.concatenate([triangles[:, 0], triangles[:, 1]])
    columns = np.concatenate([triangles[:, 1], triangles[:, 2]])
    _, piece = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), (count, count)))
    nearest = piece[int(np.argmin(np.linalg.norm(vertices - point, axis=1)))]
    points = vertices[piece == nearest].astype(float)
    hull = points[ConvexHull(points).vertices]
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=2).max())


def table(measured: Sequence[tuple[Measured, float | None]]) -> str:
    """Measures and true values as Markdown."""
    if not measured:
        return "Nothing is measured yet."
    lines = ["| | measure | mm | age by the chart | the mesh, mm |", "|---|---|---|---|---|"]
    for number, (one, true) in enumerate(measured, start=1):
        value = one.value_mm
        in_mesh = "–" if true is None else f"{true:.1f} ({100 * (value / true - 1):+.1f} %)"
        name = KINDS[one.kind].partition(":")[0]
        lines.append(f"| {number} | {name} | {value:.1f} | {age_of(one.kind, value) or '–'} | {in_mesh} |")
    return "\n".join(lines)
