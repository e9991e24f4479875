"""Measures of triangle meshes as plain arrays: edges, areas, volumes, bodies, inside and outside.

Everywhere ``vertices`` is (V, 3) float, mm, and ``triangles`` (T, 3) int, counter-clockwise seen from
outside.
"""

from __future__ import annotations

import numpy as np

from ussim.errors import UssimError

MeshArrays = tuple[np.ndarray, np.ndarray]
"""Vertices and triangles."""


def count_bad_edges(triangles: np.ndarray, vertex_count: int) -> tuple[int, int]:
    """Return how many edges are open (used an odd number of times) and flipped (used one way too often).

    A surface tells in from out exactly if every edge is run through as often forwards as backwards. That also
    holds where two touching bodies share an edge of four faces, which a two-faces-per-edge test would refuse.
    """
    a = triangles.astype(np.int64)
    b = a[:, [1, 2, 0]]
    # Undirected edge in the high bits, direction in the lowest: one sort brings the users of an edge
    # together.
    keys = np.sort(((np.minimum(a, b) * vertex_count + np.maximum(a, b)) * 2 + (a > b)).ravel())
    if len(keys) % 2 == 0 and not (keys[0::2] & 1).any() and (keys[0::2] + 1 == keys[1::2]).all():
        return 0, 0
    edges, owner = np.unique(keys >> 1, return_inverse=True)
    total = np.bincount(owner, minlength=len(edges))
    backwards = np.bincount(owner[(keys & 1).astype(bool)], minlength=len(edges))
    is_open = total % 2 == 1
    return int(is_open.sum()), int((~is_open & (2 * backwards != total)).sum())


def merged_vertex_ids(vertices: np.ndarray) -> np.ndarray:
    """Return for every vertex (V, 3) the number of one vertex at exactly its place, (V,)."""
    x, y, z = vertices.T
    order = np.lexsort((z, y, x))
    placed = vertices[order]
    starts = np.concatenate([[True], (placed[1:] != placed[:-1]).any(axis=1)])
    ids = np.empty(len(vertices), dtype=np.int64)
    ids[order] = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    return ids


def count_bad_edges_by_place(vertices: np.ndarray, triangles: np.ndarray) -> tuple[int, int]:
    """Return how many edges are open and flipped once, if the mesh is open, vertices at the same place are one."""
    found = count_bad_edges(triangles, len(vertices))
    return count_bad_edges(merged_vertex_ids(vertices)[triangles], len(vertices)) if found[0] else found


def count_duplicate_faces(triangles: np.ndarray) -> int:
    """Return how many triangles have the same three vertices as an earlier one, in any order."""
    corners = np.sort(triangles, axis=1)
    corners = corners[np.lexsort(corners.T)]
    return int((corners[1:] == corners[:-1]).all(axis=1).sum())


def face_shapes(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each triangle its height over its longest edge, relative to that edge, and six times the
    volume it spans with the middle of the mesh; both (T,) float64.
    """
    centred = np.asarray(vertices, dtype=np.float64) - np.mean(vertices, axis=0, dtype=np.float64)
    a, b, c = (centred[triangles[:, corner]] for corner in range(3))
    ab, ac = b - a, c - a
    normal = np.cross(ab, ac)
    volume6 = np.einsum("ij,ij->i", a, normal)
    area2 = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    bc = ac - ab
    longest2 = np.max([np.einsum("ij,ij->i", edge, edge) for edge in (ab, ac, bc)], axis=0)
    flatness = np.divide(area2, longest2, out=np.zeros_like(area2), where=longest2 > 0)
    return flatness, volume6


def body_of_triangle(triangles: np.ndarray, vertex_count: int) -> np.ndarray:
    """Return for each triangle the number of the connected body it belongs to, (T,) int, from 0.

    Triangles are connected by edges: two bodies that touch in a vertex, as a lumen does whose end is flush with that of
    its wall, are two.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(triangles)
    a = triangles.astype(np.int64)
    b = a[:, [1, 2, 0]]
    edges = (np.minimum(a, b) * vertex_count + np.maximum(a, b)).ravel()
    owners = np.repeat(np.arange(count), 3)
    if vertex_count**2 * count < 2**63:  # both in one number, which sorts ten times as fast
        edges, owners = np.divmod(np.sort(edges * count + owners), max(count, 1))
    else:
        order = np.argsort(edges)
        edges, owners = edges[order], owners[order]
    same = edges[1:] == edges[:-1]
    ends = owners[:-1][same], owners[1:][same]
    graph = coo_matrix((np.ones(len(ends[0]), np.int8), ends), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def bounds(vertices: np.ndarray) -> np.ndarray:
    """Return the lowest and highest corner, (2, 3) float64."""
    return np.stack([vertices.min(axis=0), vertices.max(axis=0)]).astype(np.float64)


def pairs_that_meet(boxes: np.ndarray) -> list[tuple[int, int]]:
    """Return which of (n, 2, 3) bounding boxes touch or overlap each other, as pairs of numbers."""
    pairs = []
    for first in range(len(boxes)):
        meets = (boxes[first, 0] <= boxes[first + 1 :, 1]) & (boxes[first + 1 :, 0] <= boxes[first, 1])
        pairs += [(first, first + 1 + int(other)) for other in np.flatnonzero(meets.all(axis=1))]
    return pairs


def winding_number(point: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> float:
    """Return how often a closed mesh goes round a point: 1 inside an outward body, 0 outside.

    The solid angles of the triangles added up and divided by 4π, after van Oosterom & Strackee 1983.
    """
    a, b, c = (vertices[triangles[:, corner]].astype(np.float64) - point for corner in range(3))
    la, lb, lc = (np.sqrt(np.einsum("ij,ij->i", side, side)) for side in (a, b, c))
    triple = np.einsum("ij,ij->i", a, np.cross(b, c))
    dots = [np.einsum("ij,ij->i", p, q) for p, q in ((a, b), (b, c), (c, a))]
    below = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
    return float(np.arctan2(triple, below).sum() / (2 * np.pi))


def overlap_volume_mm3(meshes: list[MeshArrays]) -> float:
    """Return the volume that two closed outward meshes share, mm³, added up over all pairs.

    Raises:
        UssimError: A mesh whose bounds meet those of another is not closed.
    """
    pairs = pairs_that_meet(np.stack([bounds(vertices) for vertices, _ in meshes]))
    if not pairs:
        return 0.0
    import manifold3d as m3d

    solids = {}
    for number in {number for pair in pairs for number in pair}:
        vertices, triangles = meshes[number]
        # float64, so that the kernel's tolerance is below the rounding of the coordinates
        mesh = m3d.Mesh64(vertices.astype(np.float64, order="C"), triangles.astype(np.uint64, order="C"))
        solids[number] = m3d.Manifold(mesh)
        if solids[number].status() != m3d.Error.NoError:
            raise UssimError(f"mesh {number}: {solids[number].status().name}; allowed: closed meshes")
    return float(sum((solids[i] ^ solids[j]).volume() for i, j in pairs))
