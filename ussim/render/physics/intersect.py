"""Closest hit of a ray with the triangles of a :class:`ussim.render.bvh.Bvh`: one traversal for CPU and CUDA.

The triangle test is that of Woop, Benthin & Wald 2013, "Watertight ray/triangle intersection": corners are
sheared into a frame whose z axis is the ray, so triangles that share a corner see the same rounded point,
and the sign of an edge function is never wrong, only possibly zero, which both neighbours accept. In float32
that holds as long as both products of an edge function are rounded the same way: no product may be fused into a
multiply-add, which :mod:`ussim.jit` and the CUDA compiler are told.

Only three small functions exist twice, because their lanes (the children of a node, the triangles of a block)
are tested one by one here, and all at once in vector registers on a CPU: :mod:`ussim.render.physics.lanes`. Both
ways give the same bits.
"""

from __future__ import annotations

import numpy as np

from ussim.jit import device, inlined_device
from ussim.render.bvh import STACK_SIZE, WIDTH

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TINY = np.float32(1e-18)
_NONE = np.uint32(0)
_BIT = np.uint32(1)
_LANES = np.uint32(WIDTH)
DISTANCES = STACK_SIZE - WIDTH
"""Where in ``stack_t`` the lanes leave their distances."""


def lowest_bit(bits):
    """Index of the lowest set bit."""
    bit = np.uint32(bits & np.uint32(~bits + _BIT))
    lane = np.uint32(0)
    if bit & np.uint32(0xAA):
        lane = np.uint32(1)
    if bit & np.uint32(0xCC):
        lane = np.uint32(lane + np.uint32(2))
    if bit & np.uint32(0xF0):
        lane = np.uint32(lane + np.uint32(4))
    return lane


def boxes_hit(boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t):
    """Bit i is set if the ray enters box i of a node in [t_min, t_max]. Slabs: Kay & Kajiya 1986."""
    fx, fy, fz = np.uint32(1 - nx), np.uint32(5 - ny), np.uint32(9 - nz)
    hits = _NONE
    for i in range(WIDTH):
        lane = np.uint32(i)
        if children[node, lane] == 0:
            break
        near = max(max((boxes[node, nx, lane] - ox) * rx, (boxes[node, ny, lane] - oy) * ry),
                   max((boxes[node, nz, lane] - oz) * rz, t_min))  # fmt: skip
        far = min(min((boxes[node, fx, lane] - ox) * rx, (boxes[node, fy, lane] - oy) * ry),
                  min((boxes[node, fz, lane] - oz) * rz, t_max))  # fmt: skip
        if near <= far:
            stack_t[np.uint32(lane + DISTANCES)] = near
            hits = np.uint32(hits | np.uint32(_BIT << lane))
    return hits


def triangles_hit(corners, block, count, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t):
    """Bit i is set if the ray hits triangle i of a block in [t_min, t_max]."""
    lx, ly, lz = np.uint32(kx + 3), np.uint32(ky + 3), np.uint32(kz + 3)
    mx, my, mz = np.uint32(kx + 6), np.uint32(ky + 6), np.uint32(kz + 6)
    hits = _NONE
    for i in range(count):
        lane = np.uint32(i)
        az = corners[block, kz, lane] - pz
        bz = corners[block, lz, lane] - pz
        cz = corners[block, mz, lane] - pz
        ax = (corners[block, kx, lane] - px) - sx * az
        ay = (corners[block, ky, lane] - py) - sy * az
        bx = (corners[block, lx, lane] - px) - sx * bz
        by = (corners[block, ly, lane] - py) - sy * bz
        cx = (corners[block, mx, lane] - px) - sx * cz
        cy = (corners[block, my, lane] - py) - sy * cz
        u = cx * by - cy * bx
        v = ax * cy - ay * cx
        w = bx * ay - by * ax
        total = (u + v) + w
        if (min(u, min(v, w)) >= _ZERO or max(u, max(v, w)) <= _ZERO) and total != _ZERO:
            t = ((u * az + v * bz) + w * cz) * sz / total
            if t >= t_min and t <= t_max:
                stack_t[np.uint32(lane + DISTANCES)] = t
                hits = np.uint32(hits | np.uint32(_BIT << lane))
    return hits


@device
def nearest_child(boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack, stack_t, top):
    """The nearest child that the ray enters, or 0; the others wait on the stack, the farthest lowest."""
    n = np.uint32(node)
    hits = boxes_hit(boxes, children, n, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t)
    if hits == _NONE:
        return np.int32(0), top
    lane = lowest_bit(hits)
    hits = np.uint32(hits & np.uint32(hits - _BIT))
    nearest = children[n, lane]
    if hits == _NONE:
        return nearest, top
    t_nearest = stack_t[np.uint32(lane + DISTANCES)]
    bottom = top
    while hits != _NONE:
        lane = lowest_bit(hits)
        hits = np.uint32(hits & np.uint32(hits - _BIT))
        child, t_child = children[n, lane], stack_t[np.uint32(lane + DISTANCES)]
        if t_child < t_nearest:
            nearest, child = child, nearest
            t_nearest, t_child = t_child, t_nearest
        slot = top
        while slot > bottom and stack_t[np.uint32(slot - 1)] < t_child:
            stack[np.uint32(slot)] = stack[np.uint32(slot - 1)]
            stack_t[np.uint32(slot)] = stack_t[np.uint32(slot - 1)]
            slot = np.int32(slot - 1)
        stack[np.uint32(slot)], stack_t[np.uint32(slot)] = child, t_child
        top = np.int32(top + 1)
    return nearest, top


@device
def nearest_in_block(corners, primitives, leaf, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t, primitive, skip, stack_t):
    """The nearest hit so far, after one block of triangles."""
    block = np.uint32(np.uint32(leaf) // _LANES)
    count = np.uint32(np.uint32(leaf) % _LANES + _BIT)
    hits = triangles_hit(corners, block, count, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t, stack_t)
    while hits != _NONE:
        lane = lowest_bit(hits)
        hits = np.uint32(hits & np.uint32(hits - _BIT))
        s, p = stack_t[np.uint32(lane + DISTANCES)], primitives[block, lane]
        if p != skip and (s > t_min or p > skip) and (s < t or (s == t and p < primitive)):
            t, primitive = s, p
    return t, primitive


@inlined_device
def closest_hit(
    boxes, children, corners, primitives,
    ox, oy, oz, dx, dy, dz, t_min, t_max, skip_primitive, stack, stack_t,
):  # fmt: skip
    """The first triangle along a ray.

    Args:
        boxes, children, corners, primitives: The fields of a ``Bvh``.
        ox, oy, oz: Origin in mm (all numbers are float32), at most a few scene sizes away from the scene.
        dx, dy, dz: Direction, of any length > 0; ``t`` counts in it.
        t_min, t_max: Hits have t_min ≤ t < t_max.
        skip_primitive: Index of a triangle that is never reported (the one the ray leaves from), or -1. Of hits at
            t_min only those of higher indices are. So what a call returned, given to the next, gives the next hit,
            and no hit is lost or met twice however close they lie.
        stack, stack_t: Scratch, int32 and float32 of ``STACK_SIZE`` entries, that no other thread uses.

    Returns:
        t (float32) and the original index of the triangle (int32), or (t_max, -1). Of two hits at the same t
        the lower index is reported, so the shape of the tree does not show.
    """
    ax, ay, az = abs(dx), abs(dy), abs(dz)
    # Frame of the triangle test: its z is the largest component of the direction.
    kx, ky, kz = np.uint32(0), np.uint32(1), np.uint32(2)
    sx, sy, sz, px, py, pz = dx, dy, dz, ox, oy, oz
    if ax >= ay and ax >= az:
        kx, ky, kz = np.uint32(1), np.uint32(2), np.uint32(0)
        sx, sy, sz, px, py, pz = dy, dz, dx, oy, oz, ox
    elif ay >= az:
        kx, ky, kz = np.uint32(2), np.uint32(0), np.uint32(1)
        sx, sy, sz, px, py, pz = dz, dx, dy, oz, ox, oy
    sz = _ONE / sz
    sx, sy = sx * sz, sy * sz
    # A component too small to divide by becomes tiny, not zero: 0 · ∞ at a box's face would be NaN.
    rx = _ONE / (dx if ax > _TINY else _TINY)
    ry = _ONE / (dy if ay > _TINY else _TINY)
    rz = _ONE / (dz if az > _TINY else _TINY)
    # Row of the face through which the ray enters a box.
    nx = np.uint32(1) if rx < _ZERO else np.uint32(0)
    ny = np.uint32(3) if ry < _ZERO else np.uint32(2)
    nz = np.uint32(5) if rz < _ZERO else np.uint32(4)
    t, primitive = np.float32(t_max), np.int32(-1)
    node, top = np.int32(0), np.int32(0)
    while True:
        if node >= 0:
            node, top = nearest_child(
                boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t, stack, stack_t, top
            )
            if node != 0:
                continue
        else:
            t, primitive = nearest_in_block(
                corners, primitives, ~node, kx, ky, kz, px, py, pz, sx, sy, sz,
                t_min, t, primitive, skip_primitive, stack_t,
            )  # fmt: skip
        while True:
            if top == 0:
                return t, primitive
            top = np.int32(top - 1)
            if stack_t[np.uint32(top)] <= t:
                break
        node = stack[np.uint32(top)]
