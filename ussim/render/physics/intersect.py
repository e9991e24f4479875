"""Closest hit of a ray with the triangles of a :class:`ussim.render.bvh.Bvh`: one traversal for CPU and CUDA.

The triangle test is that of Woop, Benthin & Wald 2013, "Watertight ray/triangle intersection": corners are
sheared into a frame whose z axis is the ray, so triangles that share a corner see the same rounded point,
and the sign of an edge function is never wrong, only possibly zero, which both neighbours accept. In float32
that holds as long as both products of an edge function are rounded the same way. So no product may be fused
into a multiply-add: never compile this with fastmath on a CPU, and on CUDA build it with
``product=cuda.libdevice.fmul_rn``.

Only three small functions exist twice, because their lanes (the children of a node, the triangles of a block)
are tested together in vector registers on a CPU and one by one elsewhere. Both ways give the same bits.
"""

from __future__ import annotations

from types import FunctionType

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ussim.render.bvh import STACK_SIZE, WIDTH

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TINY = np.float32(1e-18)
_NONE = np.uint32(0)
_BIT = np.uint32(1)
_LANES = np.uint32(WIDTH)
_DISTANCES = STACK_SIZE - WIDTH  # where in stack_t the lanes leave their distances


def build(jit, product=None):
    """Makes the closest-hit function for one target.

    Args:
        jit: Compiles a scalar function: ``numba.njit(fastmath=False, error_model="numpy", ...)``,
            ``cuda.jit(device=True)``, or the identity for the CUDA simulator.
        product: Multiplies two float32 and is never fused into a multiply-add. Needed on CUDA only:
            ``cuda.libdevice.fmul_rn``.

    Returns:
        :func:`closest_hit`, compiled.

    Raises:
        ValueError: ``jit`` is numba's, and does not say ``fastmath=False``: what says nothing is compiled as its
            first caller is.
    """
    # Numba's cache tells closures apart by what they close over, and no two processes agree on that when it
    # is compiled code. So nothing is a closure: the functions find each other as globals of their own scope.
    scope = dict(globals())

    def add(function):
        scope[function.__name__] = jit(FunctionType(function.__code__, scope, function.__name__))
        return scope[function.__name__]

    on_cpu = isinstance(add(times), Dispatcher)
    if on_cpu and scope["times"].targetoptions.get("fastmath") is not False:
        raise ValueError("closest_hit must be compiled with fastmath=False: rays would leak through shared edges")
    if on_cpu:
        scope.update(lowest_bit=_lowest_bit, boxes_hit=_boxes_hit, triangles_hit=_triangles_hit)
    else:
        scope.update(times=product or scope["times"])
        for function in (lowest_bit, boxes_hit, triangles_hit):
            add(function)
    for function in (nearest_child, nearest_in_block):
        add(function)
    return add(closest_hit)


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
    t_nearest = stack_t[np.uint32(lane + _DISTANCES)]
    bottom = top
    while hits != _NONE:
        lane = lowest_bit(hits)
        hits = np.uint32(hits & np.uint32(hits - _BIT))
        child, t_child = children[n, lane], stack_t[np.uint32(lane + _DISTANCES)]
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


def nearest_in_block(corners, primitives, leaf, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t, primitive, skip, stack_t):
    """The nearest hit so far, after one block of triangles."""
    block = np.uint32(np.uint32(leaf) // _LANES)
    count = np.uint32(np.uint32(leaf) % _LANES + _BIT)
    hits = triangles_hit(corners, block, count, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t, stack_t)
    while hits != _NONE:
        lane = lowest_bit(hits)
        hits = np.uint32(hits & np.uint32(hits - _BIT))
        s, p = stack_t[np.uint32(lane + _DISTANCES)], primitives[block, lane]
        if p != skip and (s > t_min or p > skip) and (s < t or (s == t and p < primitive)):
            t, primitive = s, p
    return t, primitive


# --- lanes one by one: CUDA and its simulator ---------------------------------------------------------


def times(a, b):
    """a · b, rounded."""
    return a * b


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
            stack_t[np.uint32(lane + _DISTANCES)] = near
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
        ax = (corners[block, kx, lane] - px) - times(sx, az)
        ay = (corners[block, ky, lane] - py) - times(sy, az)
        bx = (corners[block, lx, lane] - px) - times(sx, bz)
        by = (corners[block, ly, lane] - py) - times(sy, bz)
        cx = (corners[block, mx, lane] - px) - times(sx, cz)
        cy = (corners[block, my, lane] - py) - times(sy, cz)
        u = times(cx, by) - times(cy, bx)
        v = times(ax, cy) - times(ay, cx)
        w = times(bx, ay) - times(by, ax)
        total = (u + v) + w
        if (min(u, min(v, w)) >= _ZERO or max(u, max(v, w)) <= _ZERO) and total != _ZERO:
            t = ((times(u, az) + times(v, bz)) + times(w, cz)) * sz / total
            if t >= t_min and t <= t_max:
                stack_t[np.uint32(lane + _DISTANCES)] = t
                hits = np.uint32(hits | np.uint32(_BIT << lane))
    return hits


# --- all lanes at once: CPU ---------------------------------------------------------------------------

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_F32, WIDTH)
_SPLAT = ir.Constant(ir.VectorType(_I32, WIDTH), [0] * WIDTH)


class _Emit:
    """The few vector instructions of the two tests. LLVM fits them to the registers of the machine."""

    def __init__(self, context, builder):
        self.context, self.builder = context, builder

    @staticmethod
    def require_contiguous(**arrays):
        for name, array in arrays.items():
            if array.layout != "C":
                raise TypingError(f"{name}: layout {array.layout}, must be C-contiguous")

    def splat(self, scalar):
        one = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, _I32(0))
        return self.builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), _SPLAT)

    def row(self, array_type, array, rows, item, row):
        """Address of a row of an array of shape (items, rows, WIDTH), or (rows × WIDTH,) with item None."""
        index = row if item is None else self.builder.add(self.builder.mul(item, _I64(rows)), row)
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        address = self.builder.gep(data, [self.builder.mul(index, _I64(WIDTH))])
        return self.builder.bitcast(address, _VECTOR.as_pointer())

    def load(self, address):
        value = self.builder.load(address)
        value.align = 4  # of a float: numpy promises no more
        return value

    def greatest(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def least(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def finish(self, distances, lanes, stack_type, stack_t):
        """Leaves the distances at the end of ``stack_t``; one bit per lane."""
        address = self.row(stack_type, stack_t, None, None, _I64(_DISTANCES // WIDTH))
        self.builder.store(distances, address, align=4)
        return self.builder.zext(self.builder.bitcast(lanes, ir.IntType(WIDTH)), _I32)


@intrinsic
def _lowest_bit(typingctx, bits):
    """See :func:`lowest_bit`."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.uint32(types.uint32), codegen


@intrinsic
def _boxes_hit(
    typingctx, boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t
):  # fmt: skip
    """See :func:`boxes_hit`."""
    _Emit.require_contiguous(boxes=boxes, stack_t=stack_t)

    def codegen(context, builder, signature, args):
        emit = _Emit(context, builder)
        boxes, _, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t = args
        node = builder.zext(node, _I64)
        near, far = emit.splat(t_min), emit.splat(t_max)
        for entry, both, origin, inverse in ((nx, 1, ox, rx), (ny, 5, oy, ry), (nz, 9, oz, rz)):
            origin, inverse, entry = emit.splat(origin), emit.splat(inverse), builder.zext(entry, _I64)

            def distance(face, origin=origin, inverse=inverse):
                plane = emit.load(emit.row(signature.args[0], boxes, 6, node, face))
                return builder.fmul(builder.fsub(plane, origin), inverse)

            near = emit.greatest(near, distance(entry))
            far = emit.least(far, distance(builder.sub(_I64(both), entry)))
        return emit.finish(near, builder.fcmp_ordered("<=", near, far), signature.args[-1], stack_t)

    u4, f4 = types.uint32, types.float32
    return u4(boxes, children, u4, u4, u4, u4, f4, f4, f4, f4, f4, f4, f4, f4, stack_t), codegen


@intrinsic
def _triangles_hit(
    typingctx, corners, block, count, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t
):  # fmt: skip
    """See :func:`triangles_hit`."""
    _Emit.require_contiguous(corners=corners, stack_t=stack_t)

    def codegen(context, builder, signature, args):
        emit = _Emit(context, builder)
        corners, block, _, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t = args
        mul, sub, add, compare = builder.fmul, builder.fsub, builder.fadd, builder.fcmp_ordered
        block, rows = builder.zext(block, _I64), [builder.zext(k, _I64) for k in (kx, ky, kz)]
        origin, shear = [emit.splat(p) for p in (px, py, pz)], [emit.splat(s) for s in (sx, sy)]
        x, y, z = [], [], []
        for corner in range(3):
            at = [builder.add(row, _I64(3 * corner)) for row in rows]
            p = [sub(emit.load(emit.row(signature.args[0], corners, 9, block, at[k])), origin[k]) for k in range(3)]
            x.append(sub(p[0], mul(shear[0], p[2])))
            y.append(sub(p[1], mul(shear[1], p[2])))
            z.append(p[2])
        u = sub(mul(x[2], y[1]), mul(y[2], x[1]))
        v = sub(mul(x[0], y[2]), mul(y[0], x[2]))
        w = sub(mul(x[1], y[0]), mul(y[1], x[0]))
        total, zero = add(add(u, v), w), emit.splat(_F32(0.0))
        front = compare(">=", emit.least(u, emit.least(v, w)), zero)
        back = compare("<=", emit.greatest(u, emit.greatest(v, w)), zero)
        depth = add(add(mul(u, z[0]), mul(v, z[1])), mul(w, z[2]))
        t = builder.fdiv(mul(depth, emit.splat(sz)), total)
        hit = builder.and_(builder.or_(front, back), compare("!=", total, zero))
        hit = builder.and_(hit, compare(">=", t, emit.splat(t_min)))
        hit = builder.and_(hit, compare("<=", t, emit.splat(t_max)))
        return emit.finish(t, hit, signature.args[-1], stack_t)

    u4, f4 = types.uint32, types.float32
    return u4(corners, u4, u4, u4, u4, u4, f4, f4, f4, f4, f4, f4, f4, f4, stack_t), codegen
