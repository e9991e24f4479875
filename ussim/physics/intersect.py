"""Closest hit of a ray with the triangles of a :class:`ussim.bvh.Bvh`: one traversal for CPU, CUDA and simulator.

The triangle test is that of Woop, Benthin & Wald 2013, "Watertight ray/triangle intersection": corners are
sheared into a frame whose z axis is the ray, so triangles that share a corner see the very same rounded
point, and the sign of an edge function is never wrong, only possibly zero, which both neighbours accept. That
holds in float32 as long as the two products of an edge function are rounded the same way. So the compiler must
not fuse one of them into a multiply-add: never compile this with fastmath on a CPU, and on CUDA pass
``product=cuda.libdevice.fmul_rn`` (products that stay products).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

from ussim.bvh import STACK_SIZE, WIDTH

_ZERO = np.float32(0)
_ONE = np.float32(1)
_INF = np.float32(np.inf)
_TINY = np.float32(1e-18)
_SCRATCH = STACK_SIZE - WIDTH


def build(jit, product=None):
    """Makes the closest-hit function for one target.

    Args:
        jit: Compiles a scalar function: ``numba.njit(...)`` (without fastmath), ``cuda.jit(device=True)``, or
            the identity for the CUDA simulator.
        product: Multiplies two float32 in a way the compiler does not fuse into a multiply-add. Only CUDA
            needs it: ``cuda.libdevice.fmul_rn``.

    Returns:
        ``closest_hit(boxes, children, corners, primitives, ox, oy, oz, dx, dy, dz, t_min, t_max,
        skip_primitive, stack, stack_t) -> (t, primitive)``. The first four are the fields of a ``Bvh``; origin
        in mm; the direction is of any length > 0 and ``t`` counts in it; hits have t_min ≤ t < t_max; the
        triangle ``skip_primitive`` (-1: none) is never reported; ``stack`` (int32) and ``stack_t`` (float32)
        are scratch of ``STACK_SIZE`` entries each, not to be shared between threads. Returns float32 and the
        original int32 index of the triangle, or (t_max, -1). Of two hits at the same t the lower index wins.
    """
    if product is None:
        product = jit(_product)
    nearest_child, nearest_in_block = _lanes(jit, product)

    def closest_hit(
        boxes, children, corners, primitives,
        ox, oy, oz, dx, dy, dz, t_min, t_max, skip_primitive, stack, stack_t,
    ):  # fmt: skip
        # Shear: z is the largest component of the direction.
        ax, ay, az = abs(dx), abs(dy), abs(dz)
        kx, ky, kz = np.int32(0), np.int32(1), np.int32(2)
        sx, sy, sz = dx, dy, dz
        px, py, pz = ox, oy, oz
        if ax >= ay and ax >= az:
            kx, ky, kz = np.int32(1), np.int32(2), np.int32(0)
            sx, sy, sz = dy, dz, dx
            px, py, pz = oy, oz, ox
        elif ay >= az:
            kx, ky, kz = np.int32(2), np.int32(0), np.int32(1)
            sx, sy, sz = dz, dx, dy
            px, py, pz = oz, ox, oy
        sz = _ONE / sz
        sx = sx * sz
        sy = sy * sz
        # A zero component becomes tiny, not infinite: 0 · ∞ at a box face would be NaN.
        rx = _ONE / (dx if ax > _TINY else _TINY)
        ry = _ONE / (dy if ay > _TINY else _TINY)
        rz = _ONE / (dz if az > _TINY else _TINY)
        nx = np.int32(1) if rx < _ZERO else np.int32(0)
        ny = np.int32(3) if ry < _ZERO else np.int32(2)
        nz = np.int32(5) if rz < _ZERO else np.int32(4)
        t, primitive = t_max, np.int32(-1)
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
                    node = stack[np.uint32(top)]
                    break

    return jit(closest_hit)


def _product(a, b):
    return a * b


def _lanes(jit, product):
    """The two tests that look at ``WIDTH`` things at once, for the target of ``jit``."""
    if isinstance(jit(_product), Dispatcher):
        return _vector_lanes(jit)
    return _scalar_lanes(jit, product)


# --- one lane after the other: CUDA and its simulator -------------------------------------------------


def _scalar_lanes(jit, product):
    def entry(boxes, node, lane, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max):
        """Where the ray enters the box of a child; +inf if it misses it."""
        fx, fy, fz = np.uint32(1 - nx), np.uint32(5 - ny), np.uint32(9 - nz)
        near = max(max((boxes[node, nx, lane] - ox) * rx, (boxes[node, ny, lane] - oy) * ry),
                   max((boxes[node, nz, lane] - oz) * rz, t_min))  # fmt: skip
        far = min(min((boxes[node, fx, lane] - ox) * rx, (boxes[node, fy, lane] - oy) * ry),
                  min((boxes[node, fz, lane] - oz) * rz, t_max))  # fmt: skip
        return near if near <= far else _INF

    def near_first(ta, a, tb, b):
        if ta <= tb:
            return ta, a, tb, b
        return tb, b, ta, a

    entry, near_first = jit(entry), jit(near_first)

    def nearest_child(
        boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack, stack_t, top
    ):
        n = np.uint32(node)
        nx, ny, nz = np.uint32(nx), np.uint32(ny), np.uint32(nz)
        ta = entry(boxes, n, np.uint32(0), nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max)
        tb = entry(boxes, n, np.uint32(1), nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max)
        tc = entry(boxes, n, np.uint32(2), nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max)
        td = entry(boxes, n, np.uint32(3), nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max)
        a, b = children[n, np.uint32(0)], children[n, np.uint32(1)]
        c, d = children[n, np.uint32(2)], children[n, np.uint32(3)]
        ta, a, tb, b = near_first(ta, a, tb, b)
        tc, c, td, d = near_first(tc, c, td, d)
        ta, a, tc, c = near_first(ta, a, tc, c)
        tb, b, td, d = near_first(tb, b, td, d)
        tb, b, tc, c = near_first(tb, b, tc, c)
        if td < _INF:
            stack[np.uint32(top)], stack_t[np.uint32(top)] = d, td
            top = np.int32(top + 1)
        if tc < _INF:
            stack[np.uint32(top)], stack_t[np.uint32(top)] = c, tc
            top = np.int32(top + 1)
        if tb < _INF:
            stack[np.uint32(top)], stack_t[np.uint32(top)] = b, tb
            top = np.int32(top + 1)
        return (a if ta < _INF else np.int32(0)), top

    def nearest_in_block(
        corners, primitives, leaf, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t, primitive, skip, stack_t
    ):
        block = np.uint32(leaf >> 2)
        x, y, z = np.uint32(kx), np.uint32(ky), np.uint32(kz)
        three, six = np.uint32(3), np.uint32(6)
        for i in range((leaf & 3) + 1):
            lane = np.uint32(i)
            az = corners[block, z, lane] - pz
            bz = corners[block, np.uint32(z + three), lane] - pz
            cz = corners[block, np.uint32(z + six), lane] - pz
            ax = (corners[block, x, lane] - px) - product(sx, az)
            ay = (corners[block, y, lane] - py) - product(sy, az)
            bx = (corners[block, np.uint32(x + three), lane] - px) - product(sx, bz)
            by = (corners[block, np.uint32(y + three), lane] - py) - product(sy, bz)
            cx = (corners[block, np.uint32(x + six), lane] - px) - product(sx, cz)
            cy = (corners[block, np.uint32(y + six), lane] - py) - product(sy, cz)
            u = product(cx, by) - product(cy, bx)
            v = product(ax, cy) - product(ay, cx)
            w = product(bx, ay) - product(by, ax)
            low, high = min(u, min(v, w)), max(u, max(v, w))
            total = (u + v) + w
            if (low >= _ZERO or high <= _ZERO) and total != _ZERO:
                s = ((u * az + v * bz) + w * cz) * sz / total
                p = primitives[block, lane]
                if s >= t_min and p != skip and (s < t or (s == t and p < primitive)):
                    t, primitive = s, p
        return t, primitive

    return jit(nearest_child), jit(nearest_in_block)


# --- all lanes at once: CPU ---------------------------------------------------------------------------

_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(_F32, WIDTH)


def _vector_lanes(jit):
    def nearest_child(
        boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack, stack_t, top
    ):
        n = np.uint32(node)
        hits = _boxes_hit(boxes, n, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t)
        if hits == 0:
            return np.int32(0), top
        i = _lowest_bit(hits)
        nearest, t_nearest = children[n, i], stack_t[np.uint32(_SCRATCH + i)]
        hits &= hits - 1
        while hits != 0:
            i = _lowest_bit(hits)
            hits &= hits - 1
            child, t_child = children[n, i], stack_t[np.uint32(_SCRATCH + i)]
            if t_child < t_nearest:
                nearest, child = child, nearest
                t_nearest, t_child = t_child, t_nearest
            stack[np.uint32(top)], stack_t[np.uint32(top)] = child, t_child
            top = np.int32(top + 1)
        return nearest, top

    def nearest_in_block(
        corners, primitives, leaf, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t, primitive, skip, stack_t
    ):
        block = np.uint32(leaf >> 2)
        hits = _triangles_hit(corners, block, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t, stack_t)
        while hits != 0:
            i = _lowest_bit(hits)
            hits &= hits - 1
            s, p = stack_t[np.uint32(_SCRATCH + i)], primitives[block, i]
            if p != skip and (s < t or (s == t and p < primitive)):
                t, primitive = s, p
        return t, primitive

    return jit(nearest_child), jit(nearest_in_block)


class _Emit:
    """The few vector instructions the two tests are made of."""

    def __init__(self, context, builder):
        self.context, self.builder = context, builder

    def splat(self, scalar):
        b = self.builder
        one = b.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, _I32(0))
        return b.shuffle_vector(
            one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(_I32, WIDTH), [0] * WIDTH)
        )

    def pointer(self, array_type, array, index):
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        return self.builder.bitcast(self.builder.gep(data, [index]), _VECTOR.as_pointer())

    def load(self, array_type, array, index):
        value = self.builder.load(self.pointer(array_type, array, index))
        value.align = 4
        return value

    def store(self, vector, array_type, array, index):
        self.builder.store(vector, self.pointer(array_type, array, index), align=4)

    def greatest(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def least(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def mask(self, lanes):
        bits = self.builder.bitcast(lanes, ir.IntType(WIDTH))
        return self.builder.zext(bits, _I32)


@intrinsic
def _lowest_bit(typingctx, bits):
    """Index of the lowest set bit."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.uint32(types.uint32), codegen


@intrinsic
def _boxes_hit(typingctx, boxes, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t):
    """Bit i is set if the ray enters child box i before t_max; the distances go to the end of ``stack_t``."""

    def codegen(context, builder, signature, args):
        emit = _Emit(context, builder)
        boxes, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t = args
        i64 = ir.IntType(64)
        base = builder.mul(builder.zext(node, i64), i64(6 * WIDTH))
        near, far = emit.splat(t_min), emit.splat(t_max)
        for row, other, origin, inverse in ((nx, 1, ox, rx), (ny, 5, oy, ry), (nz, 9, oz, rz)):
            origin, inverse = emit.splat(origin), emit.splat(inverse)
            row = builder.zext(row, i64)
            for is_near, r in ((True, row), (False, builder.sub(i64(other), row))):
                index = builder.add(base, builder.mul(r, i64(WIDTH)))
                plane = emit.load(signature.args[0], boxes, index)
                t = builder.fmul(builder.fsub(plane, origin), inverse)
                near, far = (emit.greatest(near, t), far) if is_near else (near, emit.least(far, t))
        emit.store(near, signature.args[-1], stack_t, i64(_SCRATCH))
        return emit.mask(builder.fcmp_ordered("<=", near, far))

    i4, f4 = types.int32, types.float32
    return types.uint32(boxes, types.uint32, i4, i4, i4, f4, f4, f4, f4, f4, f4, f4, f4, stack_t), codegen


@intrinsic
def _triangles_hit(typingctx, corners, block, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t):
    """Bit i is set if the ray hits triangle i in [t_min, t_max]; the distances go to the end of ``stack_t``."""

    def codegen(context, builder, signature, args):
        emit = _Emit(context, builder)
        corners, block, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t = args
        i64, zero = ir.IntType(64), ir.Constant(_VECTOR, [0.0] * WIDTH)
        fmul, fsub, fadd = builder.fmul, builder.fsub, builder.fadd
        base = builder.mul(builder.zext(block, i64), i64(9 * WIDTH))
        rows = [builder.add(base, builder.mul(builder.zext(k, i64), i64(WIDTH))) for k in (kx, ky, kz)]
        origin, shear = [emit.splat(p) for p in (px, py, pz)], [emit.splat(s) for s in (sx, sy)]
        x, y, z = [], [], []
        for corner in range(3):
            at = [builder.add(row, i64(3 * WIDTH * corner)) for row in rows]
            p = [fsub(emit.load(signature.args[0], corners, at[k]), origin[k]) for k in range(3)]
            x.append(fsub(p[0], fmul(shear[0], p[2])))
            y.append(fsub(p[1], fmul(shear[1], p[2])))
            z.append(p[2])
        u = fsub(fmul(x[2], y[1]), fmul(y[2], x[1]))
        v = fsub(fmul(x[0], y[2]), fmul(y[0], x[2]))
        w = fsub(fmul(x[1], y[0]), fmul(y[1], x[0]))
        low, high = emit.least(u, emit.least(v, w)), emit.greatest(u, emit.greatest(v, w))
        total = fadd(fadd(u, v), w)
        inside = builder.or_(builder.fcmp_ordered(">=", low, zero), builder.fcmp_ordered("<=", high, zero))
        inside = builder.and_(inside, builder.fcmp_ordered("!=", total, zero))
        depth = fadd(fadd(fmul(u, z[0]), fmul(v, z[1])), fmul(w, z[2]))
        t = builder.fdiv(fmul(depth, emit.splat(sz)), total)
        emit.store(t, signature.args[-1], stack_t, i64(_SCRATCH))
        inside = builder.and_(inside, builder.fcmp_ordered(">=", t, emit.splat(t_min)))
        return emit.mask(builder.and_(inside, builder.fcmp_ordered("<=", t, emit.splat(t_max))))

    i4, f4 = types.int32, types.float32
    return types.uint32(corners, types.uint32, i4, i4, i4, f4, f4, f4, f4, f4, f4, f4, f4, stack_t), codegen
