"""The lanes of a traversal all at once, in the vector registers of a CPU."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from ussim.jit import CPU_OPTIONS
from ussim.render.bvh import WIDTH
from ussim.render.physics.intersect import DISTANCES, boxes_hit, lowest_bit, triangles_hit

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
        address = self.row(stack_type, stack_t, None, None, _I64(DISTANCES // WIDTH))
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


@overload(lowest_bit, target="cpu", jit_options=CPU_OPTIONS)
def _use_lowest_bit(bits):
    return lambda bits: _lowest_bit(bits)


@overload(boxes_hit, target="cpu", jit_options=CPU_OPTIONS)
def _use_boxes_hit(boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t):
    return lambda boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t: _boxes_hit(
        boxes, children, node, nx, ny, nz, ox, oy, oz, rx, ry, rz, t_min, t_max, stack_t
    )


@overload(triangles_hit, target="cpu", jit_options=CPU_OPTIONS)
def _use_triangles_hit(corners, block, count, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t):
    return lambda corners, block, count, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t: _triangles_hit(
        corners, block, count, kx, ky, kz, px, py, pz, sx, sy, sz, t_min, t_max, stack_t
    )
