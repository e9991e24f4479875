"""Small scenes for everybody's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from ussim.scene.point import PointTarget
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface

POINT = tuple[float, float, float]
SWEEP = """
[[sweep]]
name = "exam"
description = "across the ball"
[[sweep.key]]
position_mm = [-6.0, 0.0, 0.0]
axial = [0.0, 0.0, 1.0]
lateral = [1.0, 0.0, 0.0]
[[sweep.key]]
position_mm = [6.0, 0.0, 0.0]
axial = [0.0, 0.0, 1.0]
lateral = [1.0, 0.0, 0.0]

[[sweep]]
name = "away"
[[sweep.key]]
position_mm = [0.0, 0.0, 0.0]
axial = [0.0, 0.0, -1.0]
lateral = [1.0, 0.0, 0.0]
"""
"""Two sweeps for a scene below the origin: one across it, one that looks away."""


def surface(
    mesh: trimesh.Trimesh, *, name: str = "body", tissue: str = "liver", priority: int = 10, group: str = ""
) -> Surface:
    """A trimesh as a Surface."""
    return Surface(
        name=name, tissue=tissue, vertices_mm=mesh.vertices, triangles=mesh.faces, priority=priority, group=group
    )


def box_mesh(size_mm: POINT, centre: POINT = (0, 0, 0)) -> trimesh.Trimesh:
    """A closed box of 12 triangles."""
    mesh = trimesh.creation.box(extents=size_mm)
    mesh.apply_translation(centre)
    return mesh


def sphere_mesh(radius_mm: float, centre: POINT = (0, 0, 0), subdivisions: int = 3) -> trimesh.Trimesh:
    """A closed sphere of 20·4**subdivisions triangles; vertices lie on the sphere, faces just inside."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius_mm)
    mesh.apply_translation(centre)
    return mesh


def box(size_mm: POINT, centre: POINT = (0, 0, 0), **keys) -> Surface:
    """A box; keyword arguments as for ``surface``."""
    return surface(box_mesh(size_mm, centre), **{"name": "box", **keys})


def sphere(radius_mm: float, centre: POINT = (0, 0, 0), subdivisions: int = 3, **keys) -> Surface:
    """A sphere; keyword arguments as for ``surface``."""
    return surface(sphere_mesh(radius_mm, centre, subdivisions), **{"name": "sphere", **keys})


def layered_phantom(
    layers: Sequence[tuple[str, float]],
    *,
    start_mm: float = 2.0,
    width_mm: float = 300.0,
    background: str = "gel",
    inclusions: Sequence[Surface] = (),
    points: Sequence[PointTarget] = (),
) -> Scene:
    """Slabs stacked along z, the axial direction of a probe at the origin that looks along z.

    Every slab reaches below the bottom of the whole stack and wins over the ones above it, so no walls
    coincide.

    Args:
        layers: (tissue, thickness in mm) from the probe downwards.
        start_mm: z of the first slab's top; negative puts the probe inside it.
        width_mm: Size of the first slab along x and y.
        background: Tissue above and around.
        inclusions: Further surfaces; they need priorities above 100 to win over the slabs.
        points: Point targets.
    """
    bottom = start_mm + sum(thickness for _, thickness in layers)
    top, slabs = start_mm, []
    for number, (tissue, thickness) in enumerate(layers):
        width, low = width_mm + 2.0 * number, bottom + 1.0 * number
        slabs.append(
            box(
                (width, width, low - top),
                (0, 0, (top + low) / 2),
                name=f"layer_{number}_{tissue}",
                tissue=tissue,
                priority=number,
            )
        )
        top += thickness
    return Scene.from_surfaces([*slabs, *inclusions], background=background, name="layered phantom", points=points)


def write_scene(folder: Path, meshes: Mapping[str, trimesh.Trimesh], *, extra: str = "", **replaced: str) -> Path:
    """Write a valid scene.toml with one STL surface per mesh and return its path.

    Args:
        folder: Made if it is not there.
        meshes: Surface name → mesh; priorities count up from 10.
        extra: Text put at the end of the file: more keys of the last surface, or more tables.
        **replaced: TOML text that replaces the value of a key in every surface, such as ``tissue='"urine"'``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["format = 1", 'name = "test scene"']
    for number, (name, mesh) in enumerate(meshes.items()):
        (folder / f"{name}.stl").write_bytes(mesh.export(file_type="stl"))
        keys = {
            "name": f'"{name}"',
            "mesh": f'"{name}.stl"',
            "tissue": '"liver"',
            "priority": str(10 + number),
        }
        lines += ["[[surface]]", *(f"{key} = {value}" for key, value in (keys | replaced).items())]
    path = folder / "scene.toml"
    path.write_text("\n".join([*lines, extra, ""]), encoding="utf-8")
    return path


def facing_pose(position_mm: POINT = (0, 0, 0)) -> np.ndarray:
    """A (4, 4) pose of a probe that looks along z with its lateral axis along x."""
    pose = np.eye(4)
    pose[:3, 3] = position_mm
    return pose


def facets(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles (T, 3), outward normals (T, 3) and areas (T,) of triangles; normals without area are zero."""
    a, b, c = (vertices[triangles[:, corner]].astype(np.float64) for corner in range(3))
    normals = np.cross(b - a, c - a)
    areas = np.linalg.norm(normals, axis=1)
    return (a + b + c) / 3, normals / np.maximum(areas, 1e-30)[:, None], areas / 2


def share_along(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of a wall's area that has the other wall beside it, running along within 0.2 mm."""
    middle, normals, areas = facets(*one)
    there, facing, _ = facets(*other)
    distance, nearest = cKDTree(there).query(middle)
    offset = np.abs(((there[nearest] - middle) * normals).sum(axis=1))
    parallel = np.abs((normals * facing[nearest]).sum(axis=1)) > 0.9
    return areas[parallel & (offset < 0.2) & (distance < 3)].sum() / areas.sum()


def sweep_text(axial: str = "[0, 0, 1]", lateral: str = "[1, 0, 0]") -> str:
    """TOML of a sweep over 40 mm, with the axes of its last key as they are given."""
    return f"""
[[sweep]]
name = "exam"
description = "from side to side"
[[sweep.key]]
position_mm = [-20, 0, -30]
axial = [0, 0, 1]
lateral = [1, 0, 0]
[[sweep.key]]
position_mm = [20, 0, -30]
axial = {axial}
lateral = {lateral}
"""


def without_faces(mesh: trimesh.Trimesh, *faces: int) -> trimesh.Trimesh:
    """The same mesh with holes."""
    keep = np.ones(len(mesh.faces), dtype=bool)
    keep[list(faces)] = False
    return trimesh.Trimesh(mesh.vertices, mesh.faces[keep], process=False)
