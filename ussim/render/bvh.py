"""Surface-area-heuristic tree over triangles, as flat arrays for CPU and GPU kernels.

The tree is built binary (binned surface-area heuristic: Wald 2007, "On fast construction of SAH-based
bounding volume hierarchies"), then collapsed to ``WIDTH`` children a node in the cheapest way (dynamic
programming: Ylitie, Karras & Laine 2017, "Efficient incoherent ray traversal on GPUs through compressed wide
BVHs"). A leaf is one block of up to ``WIDTH`` triangles. A ray tests all the lanes of a node, or of a block,
together: a CPU in vector registers, a GPU thread one by one.

Usage, in a kernel of either kind (``closest_hit`` comes from :func:`ussim.render.physics.intersect.build`)::

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

from ussim.errors import UssimError
from ussim.jit import compiled

WIDTH = 8
"""Children of a node, and triangles of a leaf block."""

STACK_SIZE = 96
"""Entries of each of the two scratch arrays of a traversal; the last ``WIDTH`` take one test's distances."""

_BINS = 32
_MEDIAN_DEPTH = 64  # a binary tree deeper than this is split by count from here on
_PADDING = np.float32(2e-6)
_LARGEST_MM = 1e9  # areas of boxes must not overflow float32


class Bvh(NamedTuple):
    """A tree of ``N`` nodes and ``B`` leaf blocks. One flat tuple: numba's ``prange`` rejects nested ones.

    A child is a node if it is > 0, a leaf if it is < 0: block ``~child // 8`` with ``~child % 8 + 1``
    triangles. Child 0 (the root is nobody's child) means that there is none here nor in the lanes behind.

    Attributes:
        boxes: Boxes of the children, float32 of shape (N, 6, 8), mm: rows x_min, x_max, y_min, y_max, z_min,
            z_max. A missing child has an empty box (min = +inf, max = -inf).
        children: int32 of shape (N, 8).
        corners: Triangles of a block, float32 of shape (B, 9, 8), mm: rows ax, ay, az, bx, by, bz, cx, cy,
            cz. Missing triangles are NaN, which no test accepts.
        primitives: Original index of each triangle, int32 of shape (B, 8); -1 where missing.
    """

    boxes: np.ndarray
    children: np.ndarray
    corners: np.ndarray
    primitives: np.ndarray


def build_bvh(vertices_mm: np.ndarray, triangles: np.ndarray) -> Bvh:
    """Builds the tree. The same input gives the same arrays, on one thread whatever the machine.

    Args:
        vertices_mm: (V, 3) float32, mm.
        triangles: (T, 3) int32, rows of ``vertices_mm``. Triangles without area are kept and never hit. Of none
            at all, as in a uniform medium, comes a tree without leaves.

    Returns:
        The tree.

    Raises:
        UssimError: A vertex that is not finite, an index outside the vertices, or wrong shapes.
    """
    vertices, faces = _checked(vertices_mm, triangles)
    if len(faces) == 0:
        return _bare_tree()
    bvh, need = _build(vertices, faces, _MEDIAN_DEPTH)
    if need > STACK_SIZE - WIDTH:
        # Very uneven input made a lopsided tree. Halving by count throughout is balanced: even 2**28
        # triangles then need fewer than 70 entries.
        bvh, need = _build(vertices, faces, 0)
    return bvh


def _bare_tree() -> Bvh:
    boxes = np.full((1, 6, WIDTH), np.inf, np.float32)
    boxes[:, 1::2] = -np.inf
    corners = np.full((1, 9, WIDTH), np.nan, np.float32)
    return Bvh(boxes, np.zeros((1, WIDTH), np.int32), corners, np.full((1, WIDTH), -1, np.int32))


def _build(vertices: np.ndarray, faces: np.ndarray, median_depth: int) -> tuple[Bvh, int]:
    """The tree, and the most stack entries that a traversal of it can need."""
    prims = _primitive_boxes(vertices, faces)
    order = np.arange(len(faces), dtype=np.int32)
    boxes, links = _split(prims, order, median_depth)
    wide, children, leaves = _collapse(boxes, links, _plan(boxes, links))
    corners, primitives = _gather(leaves, order, vertices, faces)
    return Bvh(wide, children, corners, primitives), _stack_need(children)


def _checked(vertices_mm: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices = np.ascontiguousarray(vertices_mm, dtype=np.float32)
    faces = np.ascontiguousarray(triangles, dtype=np.int32)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise UssimError(f"vertices_mm: shape {vertices.shape}, must be (V, 3)")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise UssimError(f"triangles: shape {faces.shape}, must be (T, 3)")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise UssimError(f"triangles: index {faces.min()} to {faces.max()}, must be 0 to {len(vertices) - 1}")
    bad = np.flatnonzero(~(np.abs(vertices) <= _LARGEST_MM).all(axis=1))
    if len(bad) > 0:
        raise UssimError(
            f"vertices_mm: row {bad[0]} is {vertices[bad[0]].tolist()}, must be within ±{_LARGEST_MM:g} mm"
        )
    return vertices, faces


@compiled(error_model="numpy")
def _primitive_boxes(vertices, faces):
    """(T, 6) float32: lower corner, then upper corner."""
    boxes = np.empty((len(faces), 6), np.float32)
    for i in range(len(faces)):
        for k in range(3):
            a, b, c = vertices[faces[i, 0], k], vertices[faces[i, 1], k], vertices[faces[i, 2], k]
            boxes[i, k] = min(a, min(b, c))
            boxes[i, k + 3] = max(a, max(b, c))
    return boxes


@compiled(error_model="numpy")
def _half_area(x, y, z):
    return x * y + y * z + z * x


@compiled(error_model="numpy")
def _bin(prims, i, axis, low, scale, bins):
    """Bin of the (doubled) centroid of a primitive."""
    c = prims[i, axis] + prims[i, axis + 3]
    return min(np.int32((c - low[axis]) * scale[axis]), np.int32(bins - 1))


@compiled(error_model="numpy")
def _fill_bins(prims, begin, end, low, scale, bins, counts, bounds):
    """Counts the primitives in every bin of every axis, and bounds them."""
    counts[:] = 0
    bounds[:, :, :3] = np.inf
    bounds[:, :, 3:] = -np.inf
    for i in range(begin, end):
        for axis in range(3):
            b = np.uint32(_bin(prims, i, axis, low, scale, bins))
            counts[axis, b] += 1
            for k in range(3):
                bounds[axis, b, k] = min(bounds[axis, b, k], prims[i, k])
                bounds[axis, b, k + 3] = max(bounds[axis, b, k + 3], prims[i, k + 3])


@compiled(error_model="numpy")
def _best_split(counts, bounds, scale, bins, right_cost):
    """Cheapest plane over three axes: (axis, last bin of the left side), axis -1 if the centroids coincide.

    The cost of a side is its area times its number of leaf blocks, not of triangles: a block is tested whole.
    """
    best_axis, best_bin, best_cost = -1, 0, np.float32(np.inf)
    for axis in range(3):
        if scale[axis] == np.float32(0):
            continue
        right = _sweep_right(counts[axis], bounds[axis], bins, right_cost)
        left = 0
        x0 = y0 = z0 = np.float32(np.inf)
        x1 = y1 = z1 = np.float32(-np.inf)
        for b in range(bins - 1):
            left += counts[axis, b]
            right -= counts[axis, b]
            x0, x1 = min(x0, bounds[axis, b, 0]), max(x1, bounds[axis, b, 3])
            y0, y1 = min(y0, bounds[axis, b, 1]), max(y1, bounds[axis, b, 4])
            z0, z1 = min(z0, bounds[axis, b, 2]), max(z1, bounds[axis, b, 5])
            if left == 0 or right == 0:
                continue
            cost = _half_area(x1 - x0, y1 - y0, z1 - z0) * _blocks(left) + right_cost[b + 1]
            if cost < best_cost:
                best_axis, best_bin, best_cost = axis, b, cost
    return best_axis, best_bin


@compiled(error_model="numpy")
def _blocks(count):
    return np.float32((count + WIDTH - 1) // WIDTH)


@compiled(error_model="numpy")
def _sweep_right(counts, bounds, bins, right_cost):
    """Cost of everything from bin b on, for every b; returns the count of all bins."""
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
            right_cost[b] = _half_area(x1 - x0, y1 - y0, z1 - z0) * _blocks(right)
    return right + counts[0]


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _split(prims, order, median_depth):
    """Binary tree. Reorders ``prims`` and ``order`` so that every node is a range of them.

    Returns:
        boxes (M, 6) float32 and links (M, 2) int32: the index of the left child (the right one follows it)
        and 0, or the first primitive and the number of primitives of a leaf.
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
        axis, last_left = -1, 0
        if depth < median_depth:
            _fill_bins(prims, begin, end, low, scale, bins, counts[:, :bins], bounds[:, :bins])
            axis, last_left = _best_split(counts, bounds, scale, bins, right_cost)
        if axis >= 0:
            middle = _partition(prims, order, begin, end, axis, low, scale, bins, last_left)
        else:
            blocks = (end - begin + WIDTH - 1) // WIDTH
            middle = begin + (blocks + 1) // 2 * WIDTH
        links[node, 0], links[node, 1] = made, 0
        for side in range(2):
            todo[pending + side, 0] = made + 1 - side
            todo[pending + side, 1] = begin if side == 1 else middle
            todo[pending + side, 2] = middle if side == 1 else end
            todo[pending + side, 3] = depth + 1
        pending += 2
        made += 2
    return boxes[:made].copy(), links[:made].copy()


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def _plan(boxes, links):
    """How many of ``j`` wide children of a common parent the left half of a binary node should get.

    Returns:
        (M, WIDTH + 1) uint8: row n, column j; 0 where node n had better be one child. The cost of a wide tree
        is the summed area of its nodes: the leaves are the same in every plan.
    """
    roots = np.zeros((len(links), WIDTH + 1), np.uint8)
    cost = np.zeros((len(links), WIDTH + 1), np.float32)
    for n in range(len(links) - 1, -1, -1):  # children come after their parent
        if links[n, 1] > 0:
            continue
        left, right = cost[links[n, 0]], cost[links[n, 0] + 1]
        for j in range(2, WIDTH + 1):
            cost[n, j] = np.inf
            for k in range(1, j):
                if left[k] + right[j - k] < cost[n, j]:
                    cost[n, j], roots[n, j] = left[k] + right[j - k], k
        area = _half_area(boxes[n, 3] - boxes[n, 0], boxes[n, 4] - boxes[n, 1], boxes[n, 5] - boxes[n, 2])
        cost[n, 1] = area + cost[n, WIDTH]
        for j in range(2, WIDTH):
            if cost[n, 1] <= cost[n, j]:
                cost[n, j], roots[n, j] = cost[n, 1], 0
    return roots


@compiled(error_model="numpy")
def _collapse(boxes, links, roots):
    """Makes the wide nodes, parents before children, siblings side by side.

    Returns:
        boxes (N, 6, WIDTH), children (N, WIDTH), and the (B, 2) range of primitives of every leaf block.
    """
    total = len(links)
    wide = np.empty((total, 6, WIDTH), np.float32)
    children = np.zeros((total, WIDTH), np.int32)
    leaves = np.empty((total, 2), np.int32)
    source = np.zeros(total, np.int32)
    todo = np.zeros(total, np.int32)
    slots = np.empty(WIDTH, np.int32)
    # Rounding shifts a corner, as a ray sees it, by a few ulps of its distance: the boxes must cover that.
    pad = np.float32(0)
    for k in range(6):
        pad = max(pad, abs(boxes[0, k]) * _PADDING)
    nodes, blocks, pending = 1, 0, 1
    while pending > 0:
        pending -= 1
        node = todo[pending]
        used = _open(links, roots, source[node], slots)
        for s in range(WIDTH):
            for k in range(3):
                wide[node, 2 * k, s] = boxes[slots[s], k] - pad if s < used else np.inf
                wide[node, 2 * k + 1, s] = boxes[slots[s], k + 3] + pad if s < used else -np.inf
        for s in range(used):
            m = slots[s]
            if links[m, 1] > 0:
                leaves[blocks, 0], leaves[blocks, 1] = links[m, 0], links[m, 1]
                children[node, s] = ~(blocks * WIDTH + links[m, 1] - 1)
                blocks += 1
            else:
                source[nodes], todo[pending], children[node, s] = m, nodes, nodes
                pending += 1
                nodes += 1
    return wide[:nodes].copy(), children[:nodes].copy(), leaves[:blocks].copy()


@compiled(error_model="numpy")
def _open(links, roots, m, slots):
    """Fills ``slots`` with the binary nodes that become the children of wide node ``m``; returns how many."""
    todo, share = np.empty(WIDTH + 1, np.int32), np.empty(WIDTH + 1, np.int32)
    todo[0], share[0] = m, WIDTH
    used, pending = 0, 1
    while pending > 0:
        pending -= 1
        n, j = todo[pending], share[pending]
        k = np.int32(roots[n, j])
        if k == 0:
            slots[used] = n
            used += 1
            continue
        todo[pending], share[pending] = links[n, 0] + 1, j - k
        todo[pending + 1], share[pending + 1] = links[n, 0], k
        pending += 2
    return used


@compiled(error_model="numpy")
def _gather(leaves, order, vertices, faces):
    """Corners and original indices of the triangles of every leaf block."""
    corners = np.full((len(leaves), 9, WIDTH), np.nan, np.float32)
    primitives = np.full((len(leaves), WIDTH), -1, np.int32)
    for b in range(len(leaves)):
        for i in range(leaves[b, 1]):
            p = order[leaves[b, 0] + i]
            primitives[b, i] = p
            for v in range(3):
                for k in range(3):
                    corners[b, 3 * v + k, i] = vertices[faces[p, v], k]
    return corners, primitives


@compiled(error_model="numpy")
def _stack_need(children):
    """Most entries that can wait in a traversal: all siblings but one, at every level of the worst path."""
    need = np.ones(len(children), np.int32)
    for node in range(len(children) - 1, -1, -1):
        deepest, used = 1, 0
        for s in range(WIDTH):
            used += children[node, s] != 0
            if children[node, s] > 0:
                deepest = max(deepest, need[children[node, s]])
        need[node] = used - 1 + deepest
    return need[0]
