"""Mending a surface that fails the check: what can be done without guessing at its shape, and a list of what was."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meshes.importing.bodies import unite_crossing
from ussim.scene.mesh_io import tidy_mesh
from ussim.scene.topology import body_of_triangle, count_bad_edges, face_shapes, winding_number

MERGE_SHARE = 1e-5
"""Vertices nearer than this share of the size of a surface become one."""
_AS_GOOD_AS_INFINITE = 1e100  # the square of what is larger is infinite


@dataclass
class _Work:
    """A mesh that is being mended."""

    vertices: np.ndarray
    triangles: np.ndarray
    changes: list[str] = field(default_factory=list)


def repair_surface(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Merge vertices, drop copies of faces, turn faces, fill holes, unite bodies: whatever of these is needed.

    A hole is filled with a fan from its middle; for a flat cut that is the missing wall, for a large ragged hole it is
    a guess, so its size is in the list. A body inside another stays one of its own. Check the result: not everything
    can be mended.

    Args:
        vertices: (V, 3), mm.
        triangles: (T, 3).

    Returns:
        vertices (W, 3) float64, triangles (U, 3) int32, and one clause for each thing that was changed.
    """
    work = _Work(np.asarray(vertices, dtype=np.float64), np.asarray(triangles, dtype=np.int64))
    _drop_bad_vertices(work)
    _merge_near_vertices(work)
    _drop_copies(work)
    _turn_faces(work)
    _fill_holes(work)
    _turn_bodies(work)
    _unite_bodies(work)
    vertices, triangles = tidy_mesh(work.vertices, work.triangles)
    return vertices, triangles, work.changes


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _drop_bad_vertices(work: _Work) -> None:
    good = (np.abs(work.vertices) < _AS_GOOD_AS_INFINITE).all(axis=1)
    keep = good[work.triangles].all(axis=1)
    if not keep.all():
        work.changes.append(f"removed {_plural(int((~keep).sum()), 'face')} with NaN or infinite coordinates")
    work.triangles = work.triangles[keep]
    work.vertices = np.where(good[:, None], work.vertices, 0.0)


def _merge_near_vertices(work: _Work) -> None:
    """Only where the mesh is open: elsewhere near vertices are a fine mesh."""
    if not count_bad_edges(work.triangles, len(work.vertices))[0]:
        return
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    work.vertices, work.triangles = tidy_mesh(work.vertices, work.triangles)
    reach = MERGE_SHARE * np.linalg.norm(np.ptp(work.vertices, axis=0))
    pairs = cKDTree(work.vertices).query_pairs(reach, output_type="ndarray")
    if not len(pairs):
        return
    count = len(work.vertices)
    graph = coo_matrix((np.ones(len(pairs), np.int8), pairs.T), shape=(count, count))
    groups, group = connected_components(graph, directed=False)
    first = np.full(groups, count)
    np.minimum.at(first, group, np.arange(count))
    triangles = first[group][work.triangles]
    flat = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
    work.triangles = triangles[~flat]
    work.changes.append(f"merged {_plural(count - groups, 'vertex', 'vertices')} within {reach:.2g} mm")


def _drop_copies(work: _Work) -> None:
    """Of faces with the same three vertices one stays; two that face each other both go."""
    triangles = work.triangles
    order = np.argsort(triangles, axis=1)
    corners = np.take_along_axis(triangles, order, axis=1)
    # A permutation of three is even if it is a rotation of 0, 1, 2.
    even = (order[:, 1] - order[:, 0]) % 3 == 1
    _, owner, first = _group_rows(corners)
    balance = np.bincount(owner, weights=np.where(even, 1.0, -1.0))
    keep = np.zeros(len(triangles), dtype=bool)
    keep[first[balance != 0]] = True
    turned = keep & (np.where(even, 1.0, -1.0) * balance[owner] < 0)
    if not keep.all():
        work.changes.append(f"removed {_plural(int((~keep).sum()), 'copy', 'copies')} of faces")
    triangles = np.where(turned[:, None], triangles[:, ::-1], triangles)
    work.triangles = triangles[keep]


def _group_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique rows, the number of each row's group, and the first row of each group."""
    unique, first, owner = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return unique, owner.ravel(), first


def _turn_faces(work: _Work) -> None:
    """Make neighbours agree about the outside, body by body."""
    if not count_bad_edges(work.triangles, len(work.vertices))[1]:
        return
    import trimesh

    mesh = trimesh.Trimesh(work.vertices, work.triangles, process=False)
    trimesh.repair.fix_winding(mesh)
    turned = int((np.asarray(mesh.faces) != work.triangles).any(axis=1).sum())
    if turned:
        # The walk over the faces starts anywhere: turn whichever are fewer.
        fewer = min(turned, len(work.triangles) - turned)
        faces = np.asarray(mesh.faces)
        work.triangles = (faces if fewer == turned else faces[:, ::-1]).astype(np.int64)
        work.changes.append(f"turned {_plural(fewer, 'face')} round")


def _fill_holes(work: _Work) -> None:
    loops = _boundary_loops(work.triangles)
    if not loops:
        return
    fans: list[np.ndarray] = []
    middles: list[np.ndarray] = []
    widest = 0.0
    for loop in loops:
        points = work.vertices[loop]
        middle = len(work.vertices) + len(middles)
        middles.append(points.mean(axis=0))
        fans.append(np.stack([loop, np.roll(loop, -1), np.full(len(loop), middle)], axis=1))
        widest = max(widest, float(np.ptp(points, axis=0).max()))
    work.vertices = np.concatenate([work.vertices, np.stack(middles)])
    work.triangles = np.concatenate([work.triangles, *fans])
    work.changes.append(f"filled {_plural(len(loops), 'hole')}, the largest {widest:.3g} mm across")


def _boundary_loops(triangles: np.ndarray) -> list[np.ndarray]:
    """Closed paths of vertices that, filled in, leave every edge run through as often one way as the other."""
    directed = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=-1).reshape(-1, 2)
    forward = directed[:, 0] < directed[:, 1]
    edges, owner, _ = _group_rows(np.sort(directed, axis=1))
    net = np.bincount(owner, weights=np.where(forward, 1.0, -1.0)).astype(int)
    onward: dict[int, list[int]] = {}
    for (low, high), surplus in zip(edges.tolist(), net.tolist(), strict=True):
        # A missing face runs against its neighbour.
        start, end = (high, low) if surplus > 0 else (low, high)
        onward.setdefault(start, []).extend([end] * abs(surplus))
    loops = []
    for start in sorted(onward):
        while onward[start]:
            loops.append(_walk(onward, start))
    return loops


def _walk(onward: dict[int, list[int]], start: int) -> np.ndarray:
    """Follow edges from a vertex until it comes back; as many lead into every vertex as out of it."""
    path = [start]
    while True:
        path.append(onward[path[-1]].pop())
        if path[-1] == start:
            return np.array(path[:-1])


def _bodies(work: _Work) -> list[np.ndarray]:
    """The triangles of every connected body."""
    labels = body_of_triangle(work.triangles, len(work.vertices))
    return [work.triangles[labels == number] for number in range(int(labels.max()) + 1)]


def _turn_bodies(work: _Work) -> None:
    """Turn bodies outward; what lies in another body turns with it, so that a cavity stays one."""
    if not len(work.triangles) or any(count_bad_edges(work.triangles, len(work.vertices))):
        return
    bodies = _bodies(work)
    volumes = [float(face_shapes(work.vertices, body)[1].sum()) for body in bodies]
    turned = 0
    for number, body in enumerate(bodies):
        point = work.vertices[body[0, 0]]
        around = [
            other
            for other, mesh in enumerate(bodies)
            if abs(volumes[other]) > abs(volumes[number]) and abs(winding_number(point, work.vertices, mesh)) > 0.5
        ]
        outermost = max(around, key=lambda other: abs(volumes[other]), default=number)
        if volumes[outermost] < 0:
            bodies[number] = body[:, ::-1]
            turned += 1
    if turned:
        work.triangles = np.concatenate(bodies)
        what = "the surface" if len(bodies) == 1 else _plural(turned, "body", "bodies")
        work.changes.append(f"turned {what} inside out")


def _unite_bodies(work: _Work) -> None:
    """Unite connected bodies that overlap, but none of which one lies inside another."""
    work.vertices, work.triangles, change = unite_crossing(work.vertices, work.triangles)
    if change:
        work.changes.append(change)
