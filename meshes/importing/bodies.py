"""The bodies of one mesh: what is a hollow, and what lies inside another and is a thing of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ussim.scene.check import SMALLEST_OVERLAP_MM3
from ussim.scene.mesh_io import tidy_mesh
from ussim.scene.topology import (
    MeshArrays,
    body_of_triangle,
    bounds,
    count_bad_edges,
    face_shapes,
    pairs_that_meet,
    winding_number,
)

# Of a body that lies inside another, at least this share does: the rest is rounding, or a vessel that looks out.
_INSIDE_SHARE = 0.9
# Of two that fill the same space to this share, one is a copy.
_COPY_SHARE = 0.999


@dataclass(frozen=True)
class Overlaps:
    """How outward bodies, each with its hollows, share space.

    Attributes:
        bodies: Vertices and triangles of each.
        crossing: Pairs of which neither lies inside the other.
        nested: Pairs (inner, outer).
        overlap_mm3: What the crossing pairs share, together.
    """

    bodies: list[MeshArrays] = field(repr=False)
    crossing: list[tuple[int, int]]
    nested: list[tuple[int, int]]
    overlap_mm3: float


def find_overlaps(vertices: np.ndarray, triangles: np.ndarray) -> Overlaps | None:
    """Take a mesh apart into its bodies; None if it is not closed, one body, or beyond the kernel of solids.

    Args:
        vertices: (V, 3), mm.
        triangles: (T, 3).
    """
    if not len(triangles) or not np.isfinite(vertices).all() or any(count_bad_edges(triangles, len(vertices))):
        return None
    groups = _with_hollows(vertices, triangles)
    if len(groups) < 2:
        return None
    import manifold3d as m3d

    meshes = [tidy_mesh(vertices, group) for group in groups]
    solids = [m3d.Manifold(m3d.Mesh64(v.astype(np.float64), t.astype(np.uint64))) for v, t in meshes]
    if any(solid.status() != m3d.Error.NoError for solid in solids):
        return None
    volumes = [solid.volume() for solid in solids]
    crossing, nested, total = [], [], 0.0
    for first, second in pairs_that_meet(np.stack([bounds(one) for one, _ in meshes])):
        small, large = sorted((first, second), key=lambda one: volumes[one])
        shared = (solids[first] ^ solids[second]).volume()
        if shared >= _INSIDE_SHARE * volumes[small] and shared < _COPY_SHARE * volumes[large]:
            nested.append((small, large))
        elif shared > SMALLEST_OVERLAP_MM3:
            crossing.append((first, second))
            total += shared
    return Overlaps(meshes, crossing, nested, total)


def split_nested(vertices: np.ndarray, triangles: np.ndarray) -> list[MeshArrays]:
    """Surfaces of their own for bodies that lie inside others, and for those others, by falling volume.

    Bodies that neither hold one nor lie in one stay together. A hollow, which is a body that faces inward, stays with
    the body around it. Without a body inside another the mesh is given back as it is.

    Args:
        vertices: (V, 3), mm.
        triangles: (T, 3).
    """
    overlaps = find_overlaps(vertices, triangles)
    if overlaps is None or not overlaps.nested:
        return [(vertices, triangles)]
    apart = {number for pair in overlaps.nested for number in pair}
    together = [mesh for number, mesh in enumerate(overlaps.bodies) if number not in apart]
    meshes = [overlaps.bodies[number] for number in sorted(apart)] + ([_joined(together)] if together else [])
    return sorted(meshes, key=lambda mesh: -float(face_shapes(*mesh)[1].sum()))


def unite_crossing(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Unite bodies that overlap; what lies inside another, and hollows, are kept.

    Returns:
        vertices (W, 3) float64, triangles (U, 3) int64, and what was done; empty if nothing.
    """
    overlaps = find_overlaps(vertices, triangles)
    if overlaps is None or not overlaps.crossing:
        return vertices, triangles, ""
    inner = {small for small, _ in overlaps.nested}
    united = [number for number in range(len(overlaps.bodies)) if number not in inner]
    if len(united) < 2:
        return vertices, triangles, ""
    import manifold3d as m3d

    solids = [
        m3d.Manifold(m3d.Mesh64(v.astype(np.float64), t.astype(np.uint64)))
        for v, t in (overlaps.bodies[number] for number in united)
    ]
    whole = m3d.Manifold.batch_boolean(solids, m3d.OpType.Add).to_mesh64()
    mesh = np.asarray(whole.vert_properties[:, :3], dtype=np.float64), np.asarray(whole.tri_verts, dtype=np.int64)
    joined = _joined([mesh, *(overlaps.bodies[number] for number in sorted(inner))])
    return *joined, f"united {len(united)} bodies that overlapped by {overlaps.overlap_mm3:.3g} mm³"


def _with_hollows(vertices: np.ndarray, triangles: np.ndarray) -> list[np.ndarray]:
    """The triangles of every outward body and of the inward ones in it, of the smallest where several hold one.

    Nothing if an inward body lies in none.
    """
    labels = body_of_triangle(triangles, len(vertices))
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum([0, *np.bincount(labels)])
    bodies = [triangles[order[start:end]] for start, end in pairwise(ends)]
    volumes = np.bincount(labels, weights=face_shapes(vertices, triangles)[1])
    groups = {number: [body] for number, body in enumerate(bodies) if volumes[number] > 0}
    for number, body in enumerate(bodies):
        if number in groups:
            continue
        point = vertices[body[0, 0]]
        homes = [home for home in groups if winding_number(point, vertices, bodies[home]) > 0.5]
        if not homes:
            return []
        groups[min(homes, key=lambda home: volumes[home])].append(body)
    return [np.concatenate(group) for group in groups.values()]


def _joined(meshes: list[MeshArrays]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    return (
        np.concatenate([vertices for vertices, _ in meshes]),
        np.concatenate([triangles + offset for (_, triangles), offset in zip(meshes, offsets, strict=False)]),
    )
