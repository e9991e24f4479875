"""Solids → closed triangle meshes: marching cubes, then manifold simplification to a triangle budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import manifold3d
import numpy as np
from skimage.measure import marching_cubes

from meshes import sdf
from meshes.errors import SurfaceError
from meshes.part import Part
from meshes.solids import Solid

_MAX_CELLS = 60_000_000  # 240 MB of float32: keeps a build well under its memory limit
_ISLAND_MM3 = 0.3  # noise may pinch off specks: smaller components are dropped


@dataclass(frozen=True)
class Mesh:
    """A closed surface: vertices (V, 3) float32 in mm, triangles (T, 3) int32 wound outward."""

    vertices_mm: np.ndarray
    triangles: np.ndarray


def surface(solid: Solid, step_mm: float, name: str = "solid") -> manifold3d.Manifold:
    """Samples a solid and returns its zero surface as a manifold.

    Raises:
        SurfaceError: the solid is empty, reaches out of its box, or is not a closed manifold.
    """
    extent = solid.high_mm - solid.low_mm
    if not np.all(np.isfinite(extent)) or np.any(extent <= 0):
        raise SurfaceError(f"{name}: the solid has no finite box (low {solid.low_mm}, high {solid.high_mm})")
    step_mm = max(step_mm, float((np.prod(extent) / _MAX_CELLS) ** (1 / 3)))
    grid, origin = sdf.sample(solid, step_mm)
    if not grid.min() < 0:
        raise SurfaceError(f"{name}: the solid is empty at a step of {step_mm:.2f} mm")
    rim = min(grid[[0, -1]].min(), grid[:, [0, -1]].min(), grid[:, :, [0, -1]].min())
    if rim <= 0:
        raise SurfaceError(f"{name}: the solid reaches out of its box by {-rim:.2f} mm")
    grid[grid == 0] = np.float32(1e-6)  # a zero at a cell corner makes zero-area triangles
    vertices, triangles, _, _ = marching_cubes(grid, 0.0, gradient_direction="descent")
    mesh = manifold3d.Mesh(
        np.ascontiguousarray(vertices * step_mm + origin, dtype=np.float32), np.ascontiguousarray(triangles, dtype=np.uint32)
    )
    body = manifold3d.Manifold(mesh)
    if body.status() != manifold3d.Error.NoError:
        raise SurfaceError(f"{name}: marching cubes gave {body.status()} at a step of {step_mm:.2f} mm")
    return _without_islands(body, name)


def _without_islands(body: manifold3d.Manifold, name: str) -> manifold3d.Manifold:
    pieces = body.decompose()
    kept = [piece for piece in pieces if abs(piece.volume()) >= _ISLAND_MM3]
    if not kept:
        raise SurfaceError(f"{name}: nothing larger than {_ISLAND_MM3} mm³ is left")
    return body if len(kept) == len(pieces) else manifold3d.Manifold.compose(kept)


def to_mesh(body: manifold3d.Manifold) -> Mesh:
    """Plain arrays of a manifold."""
    mesh = body.to_mesh()
    return Mesh(
        np.asarray(mesh.vert_properties[:, :3], dtype=np.float32).copy(),
        np.asarray(mesh.tri_verts, dtype=np.int32).copy(),
    )


def mesh_parts(
    parts: Sequence[Part],
    triangle_budget: int,
    steps_per_feature: float,
    tolerance: float,
    reach: float,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Mesh]:
    """Meshes the parts so that together they hold `triangle_budget` triangles ± `tolerance` (a fraction).

    Every part is simplified with the same geometric tolerance (but never more than `reach` times its
    smallest feature), so that triangles go where the shape needs them.

    Raises:
        SurfaceError: a part cannot be meshed, or the budget is out of reach.
    """
    finer = 1.0
    for _ in range(4):
        raw = []
        for part in parts:
            progress(f"{part.name}")
            raw.append(surface(part.solid, part.feature_mm / steps_per_feature / finer, part.name))
        total = sum(body.num_tri() for body in raw)
        if total >= 1.05 * triangle_budget:
            return [to_mesh(body) for body in _simplified(raw, parts, triangle_budget, tolerance, reach)]
        finer *= 1.1 * np.sqrt(1.1 * triangle_budget / total)
    raise SurfaceError(f"{total} triangles at the finest step, fewer than the {triangle_budget} asked for")


def _simplified(raw, parts, budget, tolerance, reach):
    """Finds the common tolerance by bisection of its logarithm."""
    low, high = np.log(1e-4), np.log(3.0)
    start = raw
    for _ in range(14):
        middle = 0.5 * (low + high)
        bodies = [
            body.simplify(min(float(np.exp(middle)), reach * part.feature_mm))
            for body, part in zip(start, parts, strict=True)
        ]
        total = sum(body.num_tri() for body in bodies)
        if abs(total - budget) <= tolerance * budget:
            return bodies
        if total > budget:
            low = middle
        else:
            high = middle
    raise SurfaceError(f"no simplification gives {budget} triangles ± {tolerance:.0%} (nearest {total})")


def write_ply(mesh: Mesh, path: Path) -> None:
    """Writes a binary little-endian PLY with float32 vertices and int32 faces."""
    faces = np.empty(len(mesh.triangles), dtype=[("n", "u1"), ("v", "<i4", 3)])
    faces["n"], faces["v"] = 3, mesh.triangles
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment millimetres, outward winding\n"
        f"element vertex {len(mesh.vertices_mm)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    path.write_bytes(header.encode("ascii") + mesh.vertices_mm.astype("<f4").tobytes() + faces.tobytes())
