"""Checks of surfaces: can the tracer tell in from out, and are size and place those of a body in millimetres?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ussim.scene.topology import (
    MeshArrays,
    body_of_triangle,
    bounds,
    count_bad_edges,
    count_duplicate_faces,
    face_shapes,
    overlap_volume_mm3,
    winding_number,
)

if TYPE_CHECKING:
    from ussim.scene.surface import Surface

# A triangle whose height is this fraction of its longest edge is a line to the last bit of float32.
FLATTEST_TRIANGLE = 1e-7
# No scene is this small or large in mm; one that is was made in metres or in micrometres.
SMALLEST_SCENE_MM = 2.0
LARGEST_SCENE_MM = 10_000.0
# One surface in metres among others in mm is small, also beside them, and close to the origin; a point target is only
# small, and so is a vessel of a mouse.
SMALLEST_SURFACE_MM = 1.0
SMALLEST_SHARE = 0.01
CLOSE_TO_ORIGIN_MM = 2.0
# From here on float32 coordinates lie 1 µm apart, as far as a ray is moved off a wall that it has met.
FARTHEST_FROM_ORIGIN_MM = 8192.0
# Less shared volume than this (a cube of 0.05 mm) is rounding.
SMALLEST_OVERLAP_MM3 = 1e-4


@dataclass(frozen=True)
class SurfaceReport:
    """What the checks found in one surface.

    Attributes:
        name: The surface.
        tissue: What fills it.
        priority: Its priority.
        group: Its group.
        vertices: Number of vertices.
        triangles: Number of triangles; 0 if the mesh could not be loaded.
        bad_vertices: Vertices with NaN or infinite coordinates.
        open_edges: Edges that an odd number of triangles share: holes.
        flipped_edges: Edges whose triangles disagree about which side is outside.
        degenerate_faces: Triangles without an area.
        duplicate_faces: Triangles with the same three vertices as another.
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
    duplicate_faces: int = 0
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
        """True if the surface has triangles and all of them agree about which side is outside."""
        return self.triangles > 0 and not self.flipped_edges

    @property
    def outward(self) -> bool:
        """True if the enclosed volume is positive."""
        return self.volume_mm3 > 0

    @property
    def verdict(self) -> str:
        """All problems in one line; without any, ``ok`` and what is worth knowing."""
        if self.degenerate_faces and not self.problems:
            # Harmless: a ray never hits them, and the surface is closed all the same.
            plural = "s" if self.degenerate_faces > 1 else ""
            return f"ok; {self.degenerate_faces} degenerate face{plural} without area, which no ray hits"
        return "; ".join(self.problems) or "ok"

    def with_problem(self, problem: str) -> SurfaceReport:
        """Return the same report with one more problem."""
        return replace(self, problems=(*self.problems, problem))


def check_surfaces(surfaces: Sequence[Surface]) -> list[SurfaceReport]:
    """Check every surface by itself, then their sizes, places and overlaps together.

    What is not looked for: one connected body that passes through itself.

    Args:
        surfaces: Any number.

    Returns:
        One report each, in the same order.
    """
    reports = [_check_one(surface) for surface in surfaces]
    reports = _check_units(surfaces, reports)
    reports = _check_places(surfaces, reports)
    return _check_overlaps(surfaces, reports)


def _check_one(surface: Surface) -> SurfaceReport:
    """Measure one surface and judge it by itself."""
    report = SurfaceReport(
        surface.name,
        surface.tissue,
        surface.priority,
        surface.group,
        vertices=len(surface.vertices_mm),
        triangles=len(surface.triangles),
    )
    if not report.triangles:
        return report.with_problem(f"{_label(surface)}: no triangles; allowed: a closed triangle mesh")
    bad = int((~np.isfinite(surface.vertices_mm).all(axis=1)).sum())
    open_edges, flipped = count_bad_edges(surface.triangles, report.vertices)
    report = replace(report, bad_vertices=bad, open_edges=open_edges, flipped_edges=flipped)
    if bad:
        return report.with_problem(
            f"{_label(surface)}: {bad} vertices with NaN or infinite coordinates; allowed: finite numbers "
            "in mm; export the mesh again"
        )
    flatness, volume6 = face_shapes(surface.vertices_mm, surface.triangles)
    low, high = bounds(surface.vertices_mm)
    width, depth, height = (float(size) for size in high - low)
    report = replace(
        report,
        degenerate_faces=int((flatness < FLATTEST_TRIANGLE).sum()),
        duplicate_faces=count_duplicate_faces(surface.triangles),
        volume_mm3=float(volume6.sum() / 6),
        extent_mm=(width, depth, height),
    )
    problems = _topology_problems(report) or _body_problems(surface, volume6 / 6)
    return replace(report, problems=tuple(f"{_label(surface)}: {problem}" for problem in problems))


def _topology_problems(report: SurfaceReport) -> list[str]:
    problems = []
    if report.open_edges:
        problems.append(
            f"not watertight, {report.open_edges} open edges; allowed: closed surfaces, whose every edge "
            "joins two faces; close the holes (in Blender: Mesh, Clean Up, Fill Holes)"
        )
    if report.flipped_edges:
        problems.append(
            f"inconsistent winding, {report.flipped_edges} edges whose faces disagree about the outside; "
            "allowed: counter-clockwise faces seen from outside; recalculate the normals (in Blender: Mesh, "
            "Normals, Recalculate Outside)"
        )
    if report.duplicate_faces:
        problems.append(
            f"{report.duplicate_faces} duplicate faces (the same three vertices as another); allowed: none; "
            "remove the copies"
        )
    return problems


def _body_problems(surface: Surface, volumes_mm3: np.ndarray) -> list[str]:
    """Judge the connected bodies of a closed surface; ``volumes_mm3`` (T,) is what each triangle adds.

    Inside or outside of a surface is one bit of a ray, so its bodies must not overlap each other. A body that
    is inside out is a cavity, and right, if it lies inside another body.
    """
    volume = volumes_mm3.sum()
    labels = body_of_triangle(surface.triangles, len(surface.vertices_mm))
    count = int(labels.max()) + 1
    if count == 1:
        return [] if volume > 0 else [_inside_out("the surface", volume)]
    by_body = np.bincount(labels, weights=volumes_mm3, minlength=count)
    order = np.argsort(labels, kind="stable")
    parts = np.split(surface.triangles[order], np.cumsum(np.bincount(labels))[:-1])
    bodies = [_compact(surface.vertices_mm, part) for part in parts]
    groups, stray = _assign_cavities(bodies, by_body)
    if stray:
        return [_inside_out(f"{len(stray)} of {count} connected bodies", by_body[stray].sum())]
    return _group_problems(groups)


def _inside_out(what: str, volume: float) -> str:
    return (
        f"inside out: {what} enclose{'s' if what == 'the surface' else ''} {volume:.4g} mm³; allowed: "
        "positive volume, faces counter-clockwise seen from outside; flip the normals"
    )


def _compact(vertices: np.ndarray, triangles: np.ndarray) -> MeshArrays:
    used, renumbered = np.unique(triangles, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)


def _assign_cavities(bodies: list[MeshArrays], volumes_mm3: np.ndarray) -> tuple[list[list[MeshArrays]], list[int]]:
    """Return each outward body with the cavities in it, and the inverted bodies that lie in none."""
    boxes = [bounds(vertices) for vertices, _ in bodies]
    outward = [number for number, volume in enumerate(volumes_mm3) if volume > 0]
    members = {number: [bodies[number]] for number in outward}
    stray = []
    for number in np.flatnonzero(volumes_mm3 <= 0):
        point = bodies[number][0][0].astype(np.float64)
        homes = [
            other
            for other in outward
            if (boxes[other][0] < point).all()
            and (point < boxes[other][1]).all()
            and winding_number(point, *bodies[other]) > 0.5
        ]
        if homes:
            members[min(homes, key=lambda home: volumes_mm3[home])].append(bodies[number])
        else:
            stray.append(int(number))
    return list(members.values()), stray


def _group_problems(groups: list[list[MeshArrays]]) -> list[str]:
    """Return the problem of bodies, each with its cavities, that overlap within one surface."""
    overlap = overlap_volume_mm3([_join(group) for group in groups])
    if overlap > SMALLEST_OVERLAP_MM3:
        return [
            f"its connected bodies overlap each other by {overlap:.4g} mm³; allowed: bodies that do not "
            "overlap; make them surfaces of different priority, or unite them (in Blender: Boolean, Union), which "
            "loses what lies inside another"
        ]
    return []


def _join(bodies: list[MeshArrays]) -> MeshArrays:
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in bodies[:-1])])
    return (
        np.concatenate([vertices for vertices, _ in bodies]),
        np.concatenate([triangles + offset for (_, triangles), offset in zip(bodies, offsets, strict=True)]),
    )


def _check_units(surfaces: Sequence[Surface], reports: list[SurfaceReport]) -> list[SurfaceReport]:
    """Add a problem to every surface whose size belongs to another unit."""
    boxes = _boxes(surfaces, reports)
    if not boxes:
        return reports
    scene = _box_around(boxes)
    scene_mm = float((scene[1] - scene[0]).max())
    reports = list(reports)
    for number, box in boxes.items():
        size = float((box[1] - box[0]).max())
        tiny = size < min(SMALLEST_SURFACE_MM, SMALLEST_SHARE * scene_mm) and np.abs(box).max() < CLOSE_TO_ORIGIN_MM
        if scene_mm < SMALLEST_SCENE_MM or tiny:
            problem = f"its extent is {size:.3g} mm, which looks like metres; set scale = 1000"
        elif size > LARGEST_SCENE_MM:
            problem = f"its extent is {size:.3g} mm, which looks like micrometres; set scale = 0.001"
        else:
            continue
        allowed = f"allowed: millimetres, a scene of {SMALLEST_SCENE_MM:g} to {LARGEST_SCENE_MM:g} mm"
        reports[number] = reports[number].with_problem(f"{_label(surfaces[number])}: {problem}; {allowed}")
    return reports


def _check_places(surfaces: Sequence[Surface], reports: list[SurfaceReport]) -> list[SurfaceReport]:
    """Add a problem to every otherwise sound surface whose coordinates are too large to be fine."""
    boxes = _boxes(surfaces, reports)
    if not boxes:
        return reports
    shift = ", ".join(f"{0 - round(middle)}" for middle in _box_around(boxes).mean(axis=0))
    reports = list(reports)
    for number, box in boxes.items():
        far = float(np.abs(box).max())
        if reports[number].ok and far >= FARTHEST_FROM_ORIGIN_MM:
            reports[number] = reports[number].with_problem(
                f"{_label(surfaces[number])}: its coordinates reach {far:.6g} mm, where float32 steps by "
                f"{1000 * np.spacing(np.float32(far)):.2g} µm; allowed: below {FARTHEST_FROM_ORIGIN_MM:g} mm; move all "
                f"surfaces and sweeps together, for example by [{shift}] mm (transform), or correct the scale"
            )
    return reports


def _boxes(surfaces: Sequence[Surface], reports: list[SurfaceReport]) -> dict[int, np.ndarray]:
    """Bounds (2, 3) of the surfaces that have some, by number."""
    measured = [number for number, report in enumerate(reports) if report.triangles and not report.bad_vertices]
    return {number: bounds(surfaces[number].vertices_mm) for number in measured}


def _box_around(boxes: dict[int, np.ndarray]) -> np.ndarray:
    """Bounds (2, 3) of all together."""
    corners = np.concatenate(list(boxes.values()))
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _check_overlaps(surfaces: Sequence[Surface], reports: list[SurfaceReport]) -> list[SurfaceReport]:
    """Add a problem to the later one of every two sound surfaces that share a priority and overlap."""
    reports = list(reports)
    sound = [number for number, report in enumerate(reports) if report.ok]
    for first, second in combinations(sound, 2):
        a, b = surfaces[first], surfaces[second]
        if a.priority != b.priority:
            continue
        overlap = overlap_volume_mm3([(a.vertices_mm, a.triangles), (b.vertices_mm, b.triangles)])
        if overlap > SMALLEST_OVERLAP_MM3:
            reports[second] = reports[second].with_problem(
                f"priority = {b.priority}: overlaps surface '{a.name}' of the same priority by "
                f"{overlap:.4g} mm³; allowed: surfaces of one priority that do not overlap; give the one "
                "that shall win a higher priority"
            )
    return reports


def _label(surface: Surface) -> str:
    return f"mesh = '{surface.path.name}'" if surface.path else "mesh"
