"""Solids → closed triangle meshes: marching cubes, then manifold simplification to a triangle budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import manifold3d
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from meshes.errors import SurfaceError
from meshes.shapes import sdf
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid

_MAX_CELLS = 60_000_000  # 240 MB of float32: keeps a build well under its memory limit
_MOST_OVER = 1.2  # of a budget that no simplification meets
_LENS_SEGMENTS = 12  # round the equator
_ISLAND_MM3 = 0.3  # noise may pinch off specks and leave bubbles (of negative volume): both are dropped


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
        np.ascontiguousarray(vertices * step_mm + origin, dtype=np.float32),
        np.ascontiguousarray(triangles, dtype=np.uint32),
    )
    body = manifold3d.Manifold(mesh)
    if body.status() != manifold3d.Error.NoError:
        raise SurfaceError(f"{name}: marching cubes gave {body.status()} at a step of {step_mm:.2f} mm")
    return _without_islands(body, name)


def lens(solid: Solid, name: str = "lens") -> manifold3d.Manifold:
    """The surface of a rough ellipsoid without sampling a grid: a sphere, stretched, then moved onto the relief.

    Triangles are as stretched as the solid is: 72 of them hold a flat, long lens that marching cubes would need
    thousands for.

    Args:
        solid: rows of one ellipsoid first; relief far smaller than its half axes after it.
        name: for errors.

    Raises:
        SurfaceError: the result is not a closed manifold.
    """
    row = solid.rows[0]
    sphere = manifold3d.Manifold.sphere(1.0, _LENS_SEGMENTS).to_mesh()
    points = np.asarray(sphere.vert_properties, float) * row[15:18] @ row[6:15].reshape(3, 3) + row[3:6]
    furthest = 0.5 * float(row[15:18].min())
    for _ in range(2):
        off = np.clip(sdf.distance(solid, points), -furthest, furthest)
        points -= off[:, None] * sdf.normal(solid, points, 0.1 * furthest)
    triangles = np.ascontiguousarray(sphere.tri_verts, np.uint32)
    body = manifold3d.Manifold(manifold3d.Mesh(np.ascontiguousarray(points, np.float32), triangles))
    if body.status() != manifold3d.Error.NoError:
        raise SurfaceError(f"{name}: a lens at {np.round(row[3:6], 1)} gave {body.status()}")
    return body


def _raw(part: Part, step_mm: float) -> list[manifold3d.Manifold]:
    """The surface of a part before simplification: one body, or its lenses."""
    if part.lenses:
        return [lens(one, part.name) for one in part.lenses]
    return [surface(part.solid, step_mm, part.name)]


def _united(bodies: list[manifold3d.Manifold]) -> manifold3d.Manifold:
    return manifold3d.Manifold.batch_boolean(bodies, manifold3d.OpType.Add)


def _finished(bodies: list[manifold3d.Manifold], name: str) -> manifold3d.Manifold:
    """One body of a part after simplification; no two pieces overlap."""
    if len(bodies) > 1:
        return _united(bodies)
    return _apart(_without_islands(bodies[0], name))


def _without_islands(body: manifold3d.Manifold, name: str) -> manifold3d.Manifold:
    pieces = body.decompose()
    kept = [piece for piece in pieces if piece.volume() >= _ISLAND_MM3]
    if not kept:
        raise SurfaceError(f"{name}: nothing larger than {_ISLAND_MM3} mm³ is left")
    return body if len(kept) == len(pieces) else manifold3d.Manifold.compose(kept)


def _apart(body: manifold3d.Manifold) -> manifold3d.Manifold:
    """The same surface with pieces united that simplification has pushed into each other."""
    pieces = body.decompose()
    if len(pieces) < 2:
        return body
    united = manifold3d.Manifold.batch_boolean(pieces, manifold3d.OpType.Add)
    if abs(united.volume() - body.volume()) < 1e-3:
        return body
    return united.simplify(1e-2)


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
    reach: float,
    tolerance: float,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Mesh]:
    """Meshes the parts so that together they hold `triangle_budget` triangles ± `tolerance` (a fraction).

    Args:
        parts: what to mesh.
        triangle_budget: number of triangles of all parts together.
        steps_per_feature: least number of samples across the smallest feature of a part; made finer until the
            budget can be met.
        reach: simplification moves no surface by more than this fraction of its smallest feature.
        tolerance: allowed deviation from the budget, as a fraction.
        progress: called with the name of each part.

    Raises:
        SurfaceError: a part cannot be meshed, or the budget is out of reach.
    """
    finer = 1.0
    for _ in range(4):
        raw = []
        for part in parts:
            progress(part.name)
            raw.append(_raw(part, part.feature_mm / (steps_per_feature * finer)))
        total = _count(raw)
        if total >= 1.25 * triangle_budget:
            progress("simplifying")
            return [to_mesh(body) for body in _simplified(raw, parts, triangle_budget, reach, tolerance)]
        finer *= float(np.sqrt(1.55 * triangle_budget / total))  # triangles go with the square of the step
    raise SurfaceError(f"{total} triangles at the finest step, fewer than the {triangle_budget} asked for")


def _simplified(raw, parts, budget, reach, tolerance):
    """Finds the common strength by bisection of its logarithm; goes on from results that had far too many.

    Anatomies differ: where the reach keeps too many triangles, it grows by half, twice at most. What then keeps some
    more than the budget allows is taken: its surfaces are as true as those of the others, and a seed that cannot be
    built is of no use.
    """
    for _ in range(3):
        bodies, total = _bisected(raw, parts, budget, reach, tolerance)
        if abs(total - budget) <= tolerance * budget:
            break
        reach *= 1.5
    if not budget * (1 - tolerance) <= total <= budget * max(1 + tolerance, _MOST_OVER):
        raise SurfaceError(f"no simplification gives {budget} triangles ± {tolerance:.1%} (nearest {total})")
    return [_finished(pieces, part.name) for pieces, part in zip(bodies, parts, strict=True)]


def _bisected(raw, parts, budget, reach, tolerance):
    """Bodies within the budget, else those of the fewest triangles beyond it, and their total."""
    low, high = np.log(2e-4), np.log(6.0)
    start = raw
    nearest, fewest = raw, _count(raw)
    for _ in range(16):
        middle = 0.5 * (low + high)
        bodies = []
        for pieces, part in zip(start, parts, strict=True):
            deviation = _deviation(float(np.exp(middle)), part, reach)
            bodies.append([_reduced(piece, deviation) for piece in pieces])
        total = _count(bodies)
        if abs(total - budget) <= tolerance * budget:
            return bodies, total
        if budget < total < fewest:
            nearest, fewest = bodies, total
        if total > budget:
            low = middle
            if total > 1.5 * budget:  # nearer to the goal, a second round would take away too much
                start = bodies
        else:
            high = middle
    return nearest, fewest


def _count(bodies: list[list[manifold3d.Manifold]]) -> int:
    """Triangles of all parts, of lenses after they are united: where they cross there are more."""
    return sum((_united(pieces) if len(pieces) > 1 else pieces[0]).num_tri() for pieces in bodies)


def _deviation(strength: float, part: Part, reach: float) -> float:
    """How far simplification may move a part's surface, in mm: finer parts less, and none beyond its reach."""
    return min(strength * part.feature_mm**0.5, reach * part.feature_mm)


def _reduced(body, deviation_mm):
    """Simplifies in two rounds: one round with a large deviation leaves many short edges.

    Less where thin pieces would collapse.
    """
    for _ in range(4):
        result = body.simplify(0.4 * deviation_mm).simplify(deviation_mm)
        if result.volume() > 0.6 * body.volume():
            return result
        deviation_mm *= 0.5
    return body


def without_pinches(mesh: Mesh, gap_mm: float = 2e-3) -> Mesh:
    """Draws apart vertices that share one position, so that a reader who merges equal vertices keeps it closed.

    Where two sheets touch in a point or an edge, a manifold holds the vertex twice; each copy moves a little
    inwards along its own normal.
    """
    _, inverse, counts = np.unique(mesh.vertices_mm, axis=0, return_inverse=True, return_counts=True)
    shared = counts[inverse.ravel()] > 1
    if not shared.any():
        return mesh
    corners = mesh.vertices_mm[mesh.triangles].astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((len(mesh.vertices_mm), 3))
    for i in range(3):
        np.add.at(total, mesh.triangles[:, i], normals)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    vertices = mesh.vertices_mm.astype(float)
    vertices[shared] -= gap_mm * total[shared]
    return Mesh(vertices.astype(np.float32), mesh.triangles)


def without_specks(mesh: Mesh) -> Mesh:
    """Drops connected pieces of less than 0.3 mm³, bubbles included: simplification can cut some off."""
    count = len(mesh.vertices_mm)
    first = mesh.triangles[:, 0]
    ends = np.concatenate([mesh.triangles[:, 1], mesh.triangles[:, 2]])
    links = coo_matrix((np.ones(len(ends), bool), (np.concatenate([first, first]), ends)), (count, count))
    _, piece_of_vertex = connected_components(links, directed=False)
    corners = mesh.vertices_mm[mesh.triangles].astype(float)
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    piece = piece_of_vertex[first]
    kept = np.bincount(piece, volumes) >= _ISLAND_MM3
    if kept[piece].all():
        return mesh
    triangles = mesh.triangles[kept[piece]]
    used, renumbered = np.unique(triangles, return_inverse=True)
    return Mesh(mesh.vertices_mm[used], renumbered.reshape(triangles.shape).astype(np.int32))


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
