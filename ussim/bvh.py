"""Surface-area-heuristic tree over triangles, as flat arrays for CPU and GPU kernels.

The tree is built binary (binned surface-area heuristic, after Wald 2007, "On fast construction of SAH-based
bounding volume hierarchies"), then collapsed so that every node has up to ``WIDTH`` children: the ray tests all of
them at once, and a leaf is one block of up to ``WIDTH`` triangles that are also tested at once. A CPU does
both in vector registers; a GPU thread walks the same four lanes one by one.

Usage, in a kernel of either kind (``closest_hit`` comes from :func:`ussim.physics.intersect.build`)::

    bvh = build_bvh(vertices_mm, triangles)
    stack = np.empty(STACK_SIZE, np.int32)              # CUDA: cuda.local.array(STACK_SIZE, int32)
    stack_t = np.empty(STACK_SIZE, np.float32)          # CUDA: cuda.local.array(STACK_SIZE, float32)
    t, primitive = closest_hit(
        bvh.boxes, bvh.children, bvh.corners, bvh.primitives,
        ox, oy, oz, dx, dy, dz, t_min, t_max, skip_primitive, stack, stack_t,
    )
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ussim.errors import UssimError

WIDTH = 4
"""Children of a node and triangles of a leaf."""

STACK_SIZE = 64
"""Entries of the two scratch arrays a traversal needs: ``build_bvh`` never makes a tree that needs more."""

_BINS = 32
_SCRATCH = WIDTH  # the end of the stack is where a vectorised box test leaves its distances
_PADDING = np.float32(4e-7)
_SORTED_DEPTH = 64  # below this depth split by count, which bounds the depth


class Bvh(NamedTuple):
    """A tree of ``N`` nodes and ``B`` leaf blocks. One flat tuple: numba's ``prange`` rejects nested ones.

    A child is a node when it is ≥ 0, else the leaf block ``~child >> 2`` with ``(~child & 3) + 1`` triangles.

    Attributes:
        boxes: Boxes of the children, float32 of shape (N, 6, 4), mm: rows x_min, x_max, y_min, y_max, z_min, z_max.
            A missing child has an empty box (min = +inf, max = -inf).
        children: int32 of shape (N, 4); 0 (the root, nobody's child) where missing.
        corners: Triangles of a block, float32 of shape (B, 9, 4), mm: rows ax, ay, az, bx, by, bz, cx, cy, cz.
            Missing triangles are NaN, which no test accepts.
        primitives: Original index of each triangle, int32 of shape (B, 4); -1 where missing.
    """

    boxes: np.ndarray
    children: np.ndarray
    corners: np.ndarray
    primitives: np.ndarray


def build_bvh(vertices_mm: np.ndarray, triangles: np.ndarray) -> Bvh:
    """Builds the tree. The same input gives the same arrays, whatever the machine's number of cores.

    Args:
        vertices_mm: (V, 3) float32, mm.
        triangles: (T, 3) int32, rows of ``vertices_mm``. Degenerate triangles are kept and never hit.

    Returns:
        The tree.

    Raises:
        UssimError: No triangle, a vertex that is not finite, an index outside the vertices, or wrong shapes.
    """
    vertices, faces = _checked(vertices_mm, triangles)
    order = np.arange(len(faces), dtype=np.int32)
    for depth_of_median in (_SORTED_DEPTH, 0):
        prims = _primitive_boxes(vertices, faces)
        order[:] = np.arange(len(faces), dtype=np.int32)
        boxes, links = _split(prims, order, depth_of_median)
        del prims
        wide_boxes, children, corners, primitives, need = _collapse(boxes, links, order, vertices, faces)
        if need <= STACK_SIZE - _SCRATCH:
            break
    return Bvh(wide_boxes, children, corners, primitives)


def _checked(vertices_mm: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices = np.ascontiguousarray(vertices_mm, dtype=np.float32)
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise UssimError(f"vertices_mm: shape {vertices.shape}, must be (V, 3)")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise UssimError(f"triangles: shape {faces.shape}, must be (T, 3)")
    if len(faces) == 0:
        raise UssimError("triangles: none given, a scene needs at least 1")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise UssimError(f"triangles: index {faces.min()} to {faces.max()}, must be 0 to {len(vertices) - 1}")
    if not np.isfinite(vertices).all():
        row = int(np.flatnonzero(~np.isfinite(vertices).all(axis=1))[0])
        raise UssimError(f"vertices_mm: row {row} is {vertices[row].tolist()}, must be finite")
    return vertices, faces


@njit(cache=True, error_model="numpy")
def _primitive_boxes(vertices, faces):
    """(T, 6) float32: lower corner, then upper corner."""
    boxes = np.empty((len(faces), 6), np.float32)
    for i in range(len(faces)):
        for k in range(3):
            a, b, c = vertices[faces[i, 0], k], vertices[faces[i, 1], k], vertices[faces[i, 2], k]
            boxes[i, k] = min(a, min(b, c))
            boxes[i, k + 3] = max(a, max(b, c))
    return boxes


@njit(cache=True, error_model="numpy", inline="always")
def _half_area(x, y, z):
    return x * y + y * z + z * x


@njit(cache=True, error_model="numpy")
def _best_split(prims, begin, end, low, scale, bins, counts, bounds, right_cost):
    """Cheapest plane over three axes: (axis, last bin of the left side), axis -1 if the centroids coincide.

    The cost of a side is its area times its number of leaf blocks, not of triangles: a block is tested whole.
    """
    counts[:] = 0
    for axis in range(3):
        for b in range(bins):
            for k in range(3):
                bounds[axis, b, k] = np.inf
                bounds[axis, b, k + 3] = -np.inf
    for i in range(begin, end):
        for axis in range(3):
            c = prims[i, axis] + prims[i, axis + 3]
            b = np.uint32(min(np.int32((c - low[axis]) * scale[axis]), np.int32(bins - 1)))
            counts[axis, b] += 1
            for k in range(3):
                bounds[axis, b, k] = min(bounds[axis, b, k], prims[i, k])
                bounds[axis, b, k + 3] = max(bounds[axis, b, k + 3], prims[i, k + 3])
    best_axis, best_bin, best_cost = -1, 0, np.float32(np.inf)
    for axis in range(3):
        if scale[axis] == np.float32(0):
            continue
        _sweep_right(counts[axis], bounds[axis], bins, right_cost)
        left = 0
        x0 = y0 = z0 = np.float32(np.inf)
        x1 = y1 = z1 = np.float32(-np.inf)
        for b in range(bins - 1):
            left += counts[axis, b]
            x0, x1 = min(x0, bounds[axis, b, 0]), max(x1, bounds[axis, b, 3])
            y0, y1 = min(y0, bounds[axis, b, 1]), max(y1, bounds[axis, b, 4])
            z0, z1 = min(z0, bounds[axis, b, 2]), max(z1, bounds[axis, b, 5])
            if left == 0 or left == end - begin:
                continue
            cost = _half_area(x1 - x0, y1 - y0, z1 - z0) * np.float32((left + 3) >> 2) + right_cost[b + 1]
            if cost < best_cost:
                best_axis, best_bin, best_cost = axis, b, cost
    return best_axis, best_bin


@njit(cache=True, error_model="numpy")
def _sweep_right(counts, bounds, bins, right_cost):
    """Cost of everything from bin b on, for every b."""
    right = 0
    x0 = y0 = z0 = np.float32(np.inf)
    x1 = y1 = z1 = np.float32(-np.inf)
    for b in range(bins - 1, 0, -1):
        right += counts[b]
        x0, x1 = min(x0, bounds[b, 0]), max(x1, bounds[b, 3])
        y0, y1 = min(y0, bounds[b, 1]), max(y1, bounds[b, 4])
        z0, z1 = min(z0, bounds[b, 2]), max(z1, bounds[b, 5])
        right_cost[b] = np.float32(np.inf)
        if right > 0:
            right_cost[b] = _half_area(x1 - x0, y1 - y0, z1 - z0) * np.float32((right + 3) >> 2)


@njit(cache=True, error_model="numpy")
def _partition(prims, order, begin, end, axis, low, scale, bins, last_left):
    """Moves the primitives of the left side to the front; returns where the right side begins."""
    i, j = begin, end - 1
    while True:
        while i <= j and _bin(prims, i, axis, low, scale, bins) <= last_left:
            i += 1
        while i <= j and _bin(prims, j, axis, low, scale, bins) > last_left:
            j -= 1
        if i >= j:
            return i
        for k in range(6):
            prims[i, k], prims[j, k] = prims[j, k], prims[i, k]
        order[i], order[j] = order[j], order[i]


@njit(cache=True, error_model="numpy", inline="always")
def _bin(prims, i, axis, low, scale, bins):
    c = prims[i, axis] + prims[i, axis + 3]
    return min(np.int32((c - low[axis]) * scale[axis]), np.int32(bins - 1))


@njit(cache=True, error_model="numpy")
def _split(prims, order, depth_of_median):
    """Binary tree. Reorders ``prims`` and ``order`` so that every node is a range of them.

    Returns:
        boxes (M, 6) float32 and links (M, 2) int32: the index of the left child (the right one follows it) and
        0, or the first primitive and the number of primitives of a leaf.
    """
    total = len(order)
    boxes = np.empty((2 * total, 6), np.float32)
    links = np.empty((2 * total, 2), np.int32)
    counts = np.empty((3, _BINS), np.int32)
    bounds = np.empty((3, _BINS, 6), np.float32)
    right_cost = np.empty(_BINS, np.float32)
    low, high, scale = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    todo = np.empty((total + 1, 4), np.int32)  # node, begin, end, depth
    todo[0, 0], todo[0, 1], todo[0, 2], todo[0, 3] = 0, 0, total, 0
    pending, made = 1, 1
    while pending > 0:
        pending -= 1
        node, begin, end, depth = todo[pending, 0], todo[pending, 1], todo[pending, 2], todo[pending, 3]
        _measure(prims, begin, end, boxes[node], low, high)
        if end - begin <= WIDTH:
            links[node, 0], links[node, 1] = begin, end - begin
            continue
        bins = min(_BINS, 4 + (end - begin) // 8)
        for k in range(3):
            extent = high[k] - low[k]
            scale[k] = np.float32(bins) / extent if extent > np.float32(1e-30) else np.float32(0)
        axis = -1
        if depth < depth_of_median:
            axis, last_left = _best_split(prims, begin, end, low, scale, bins, counts, bounds, right_cost)
        if axis >= 0:
            middle = _partition(prims, order, begin, end, axis, low, scale, bins, last_left)
        else:
            middle = begin + (((end - begin + 7) >> 3) << 2)  # whole blocks on the left
        links[node, 0], links[node, 1] = made, 0
        for side in range(2):
            todo[pending + side, 0] = made + 1 - side
            todo[pending + side, 1] = begin if side == 1 else middle
            todo[pending + side, 2] = middle if side == 1 else end
            todo[pending + side, 3] = depth + 1
        pending += 2
        made += 2
    return boxes[:made].copy(), links[:made].copy()


@njit(cache=True, error_model="numpy")
def _measure(prims, begin, end, box, low, high):
    """Box of a range of primitives, and the range of their (doubled) centroids."""
    for k in range(3):
        a = c0 = np.float32(np.inf)
        b = c1 = np.float32(-np.inf)
        for i in range(begin, end):
            c = prims[i, k] + prims[i, k + 3]
            a, b = min(a, prims[i, k]), max(b, prims[i, k + 3])
            c0, c1 = min(c0, c), max(c1, c)
        box[k], box[k + 3] = a, b
        low[k], high[k] = c0, c1


@njit(cache=True, error_model="numpy")
def _collapse(boxes, links, order, vertices, faces):
    """Pulls grandchildren up, largest first, until every node has ``WIDTH`` children; gathers the leaf blocks."""
    leaves = 0
    for m in range(len(links)):
        leaves += links[m, 1] > 0
    wide = np.empty((leaves, 6, WIDTH), np.float32)
    children = np.empty((leaves, WIDTH), np.int32)
    corners = np.full((leaves, 9, WIDTH), np.nan, np.float32)
    primitives = np.full((leaves, WIDTH), -1, np.int32)
    parent = np.full(leaves, -1, np.int32)
    source = np.empty(leaves, np.int32)
    todo = np.empty(leaves + WIDTH, np.int32)
    # Rounding moves a corner, seen from the ray, by some ulps of the coordinates: the boxes must cover that.
    size = np.float32(0)
    for k in range(6):
        size = max(size, abs(boxes[0, k]))
    pad = size * _PADDING
    slots = np.empty(WIDTH, np.int32)
    nodes = blocks = 0
    todo[0], pending = 0, 1
    source[0] = 0
    nodes = 1
    while pending > 0:
        pending -= 1
        node = todo[pending]
        used = _open(boxes, links, source[node], slots)
        for s in range(WIDTH):
            for k in range(3):
                wide[node, 2 * k, s], wide[node, 2 * k + 1, s] = np.inf, -np.inf
            children[node, s] = 0
        for s in range(used):
            m = slots[s]
            for k in range(3):
                wide[node, 2 * k, s] = boxes[m, k] - pad
                wide[node, 2 * k + 1, s] = boxes[m, k + 3] + pad
            count = links[m, 1]
            if count == 0:
                children[node, s] = nodes
                parent[nodes], source[nodes] = node, m
                todo[pending] = nodes
                pending += 1
                nodes += 1
                continue
            children[node, s] = ~(blocks * WIDTH + count - 1)
            for i in range(count):
                p = order[links[m, 0] + i]
                primitives[blocks, i] = p
                for v in range(3):
                    for k in range(3):
                        corners[blocks, 3 * v + k, i] = vertices[faces[p, v], k]
            blocks += 1
    need = _stack_need(children, parent, nodes)
    return wide[:nodes].copy(), children[:nodes].copy(), corners[:blocks], primitives[:blocks], need


@njit(cache=True, error_model="numpy")
def _open(boxes, links, m, slots):
    """Fills ``slots`` with the binary nodes that become the children of binary node ``m``; returns how many."""
    slots[0] = m
    used = 1
    while used < WIDTH:
        best, best_area = -1, np.float32(-1)
        for s in range(used):
            n = slots[s]
            area = _half_area(boxes[n, 3] - boxes[n, 0], boxes[n, 4] - boxes[n, 1], boxes[n, 5] - boxes[n, 2])
            if links[n, 1] == 0 and area > best_area:
                best, best_area = s, area
        if best < 0:
            break
        left = links[slots[best], 0]
        slots[best], slots[used] = left, left + 1
        used += 1
    return used


@njit(cache=True, error_model="numpy")
def _stack_need(children, parent, nodes):
    """Most entries a traversal can have waiting: parents come before their children in the arrays."""
    need = np.zeros(nodes, np.int32)
    for node in range(nodes - 1, -1, -1):
        used = 0
        for s in range(WIDTH):
            used += children[node, s] != 0
        need[node] = used - 1 + max(need[node], 1)
        if parent[node] >= 0:
            need[parent[node]] = max(need[parent[node]], need[node])
    return need[0]
