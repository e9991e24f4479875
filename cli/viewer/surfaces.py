"""What of a scene is drawn in 3-D: its surfaces with few triangles, and the probe."""

from __future__ import annotations

from dataclasses import dataclass, replace

import manifold3d
import numpy as np
import trimesh
from PIL import ImageColor

from ussim.probe.probe import Probe
from ussim.scene.scene import Scene

MOST_TRIANGLES = 9_000
"""Of all surfaces together that are shown in the beginning; software draws some 10,000 at 15 pictures a second."""
_TOLERANCES_MM = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_ELEVATIONAL_MM = 14.0
_HANDLE_MM = (26.0, 18.0, 90.0)  # width, thickness, length
_ARC_POINTS = 24
_SKIN, _GLASS = 0.25, 0.35
_BONE_MRAYL = 2.5


@dataclass(frozen=True, eq=False)
class Shape:
    """A surface as it is drawn.

    Attributes:
        name: Of the surface.
        group: What it is shown and hidden with.
        vertices_mm, triangles: With few triangles.
        colour: RGB of its tissue.
        opacity: None is opaque.
        is_shown: In the beginning.
    """

    name: str
    group: str
    vertices_mm: np.ndarray
    triangles: np.ndarray
    colour: tuple[int, ...]
    opacity: float | None
    is_shown: bool


def shapes_of(scene: Scene, most_triangles: int = MOST_TRIANGLES) -> list[Shape]:
    """All surfaces, those that are shown and those that are not simplified until they have few triangles together.

    The body's outside is barely seen. Of what lies in it, bones are seen, and what holds the rest of its group as if
    of glass; the rest is hidden at first, and so is a mother around her fetus.
    """
    sizes = [float(np.prod(np.ptp(one.vertices_mm, axis=0))) for one in scene.surfaces]
    media = [scene.media[medium] for medium in scene.surface_media]
    groups = {one.group for one in scene.surfaces}
    outside = int(np.argmax(sizes))
    wholes = {
        group: max((i for i, one in enumerate(scene.surfaces) if one.group == group and i != outside), default=-1,
                   key=lambda i: sizes[i])
        for group in groups
    }  # fmt: skip
    shapes = []
    for number, (surface, medium) in enumerate(zip(scene.surfaces, media, strict=True)):
        group, is_bone = surface.group or "surfaces", medium.impedance_mrayl > _BONE_MRAYL
        is_around = surface.group == "mother" and "fetus" in groups
        if number == outside:
            place, opacity, is_shown = "skin", _SKIN, True
        elif is_around:
            place, opacity, is_shown = group, _GLASS, False
        elif number == wholes[surface.group]:
            place, opacity, is_shown = group, _GLASS, True
        else:
            place, opacity, is_shown = (group, None, True) if is_bone else (f"{group}, inside", None, not surface.group)
        colour = ImageColor.getrgb(medium.color)[:3]
        shapes.append(Shape(surface.name, place, surface.vertices_mm, surface.triangles, colour, opacity, is_shown))
    return [
        *_with_few_triangles([one for one in shapes if one.is_shown], most_triangles),
        *_with_few_triangles([one for one in shapes if not one.is_shown], most_triangles),
    ]


def _with_few_triangles(shapes: list[Shape], most: int) -> list[Shape]:
    """Simplified until they have few triangles together, large ones more of them than small ones."""
    weights = np.array([np.linalg.norm(np.ptp(one.vertices_mm, axis=0)) for one in shapes])
    budgets = most * weights / weights.sum()
    simple = []
    for one, budget in zip(shapes, budgets, strict=True):
        vertices, triangles = _simplified(one.vertices_mm, one.triangles, budget)
        simple.append(replace(one, vertices_mm=vertices, triangles=triangles))
    return simple


def _simplified(vertices: np.ndarray, triangles: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
    body = manifold3d.Manifold(manifold3d.Mesh(np.array(vertices, np.float32), np.array(triangles, np.uint32)))
    for tolerance in _TOLERANCES_MM:
        if len(triangles) <= most:
            break
        simple = body.simplify(tolerance)
        if simple.status() != manifold3d.Error.NoError or simple.is_empty():
            break
        found = simple.to_mesh()
        vertices, triangles = found.vert_properties[:, :3], found.tri_verts
    return np.array(vertices, np.float32), np.array(triangles, np.int32)


def probe_shape(probe: Probe) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [mm] and triangles of a probe in its own frame: its face and a handle behind it."""
    half = probe.angular_pitch_rad * probe.scanlines / 2
    reach = probe.linear_pitch_mm * probe.scanlines / 2
    at = np.linspace(-1, 1, _ARC_POINTS)
    x = at * reach + probe.apex_radius_mm * np.sin(at * half)
    if np.ptp(x) < probe.face_width_mm / 2:  # a phased array: lines start at one point of a face as wide as this
        x = at * probe.face_width_mm / 2
    z = probe.apex_radius_mm * (np.cos(at * half) - 1)
    face = [
        (a, side * _ELEVATIONAL_MM / 2, c - back)
        for a, c in zip(x, z, strict=True)
        for side in (-1, 1)
        for back in (0, 12)
    ]
    head = trimesh.PointCloud(face).convex_hull
    width, thickness, length = _HANDLE_MM
    handle = trimesh.creation.box((width, thickness, length))
    handle.apply_translation((0, 0, float(z.min()) - 12 - length / 2 + 2))
    whole = trimesh.util.concatenate([head, handle])
    return np.asarray(whole.vertices, np.float32), np.asarray(whole.faces, np.int32)
