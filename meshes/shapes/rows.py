"""Evaluates the rows of a solid (see `solids.py`) at one point, compiled: primitives, operators, relief."""

from __future__ import annotations

import math

from meshes.shapes.solids import (
    BOX,
    CLOSE,
    CONE,
    ELLIPSOID,
    HALFSPACE,
    INTERSECT,
    NOISE,
    OFFSET,
    OPEN,
    SUBTRACT,
)
from ussim.jit import compiled

FAR = 1e9
STACK = 8
"""How deep brackets may be nested."""


@compiled()
def _lattice(ix, iy, iz, seed):
    """Pseudo-random value in [-1, 1) of a lattice point."""
    h = (ix * 374761393 + iy * 668265263 + iz * 2147483647 + seed * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
    h = h ^ (h >> 16)
    return h / 2147483648.0 - 1.0


@compiled()
def _value_noise(x, y, z, seed):
    """Smooth value noise with one feature per unit length, range about ±1."""
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    ix, iy, iz = int(fx), int(fy), int(fz)
    u, v, w = x - fx, y - fy, z - fz
    u = u * u * u * (u * (u * 6.0 - 15.0) + 10.0)
    v = v * v * v * (v * (v * 6.0 - 15.0) + 10.0)
    w = w * w * w * (w * (w * 6.0 - 15.0) + 10.0)
    a00 = _lattice(ix, iy, iz, seed) * (1.0 - u) + _lattice(ix + 1, iy, iz, seed) * u
    a10 = _lattice(ix, iy + 1, iz, seed) * (1.0 - u) + _lattice(ix + 1, iy + 1, iz, seed) * u
    a01 = _lattice(ix, iy, iz + 1, seed) * (1.0 - u) + _lattice(ix + 1, iy, iz + 1, seed) * u
    a11 = _lattice(ix, iy + 1, iz + 1, seed) * (1.0 - u) + _lattice(ix + 1, iy + 1, iz + 1, seed) * u
    return (a00 * (1.0 - v) + a10 * v) * (1.0 - w) + (a01 * (1.0 - v) + a11 * v) * w


@compiled()
def relief(x, y, z, wavelength, seed):
    """Two octaves of noise, turned against each other so that the lattice does not show; about ±1."""
    s = 2.0 / wavelength  # value noise alternates: one wave spans about two lattice cells
    first = _value_noise(
        (0.80 * x + 0.60 * y) * s,
        (-0.48 * x + 0.64 * y + 0.60 * z) * s,
        (0.36 * x - 0.48 * y + 0.80 * z) * s,
        seed,
    )
    s *= 1.93
    second = _value_noise(
        (0.36 * x + 0.48 * y - 0.80 * z) * s,
        (-0.8 * x + 0.6 * y) * s,
        (0.48 * x + 0.64 * y + 0.6 * z) * s,
        seed + 71,
    )
    return first * 0.8 + second * 0.3


@compiled()
def _ellipsoid(x, y, z, a, b, c):
    """First-order distance k0·(k0 − 1)/k1, exact to first order at the surface; limited inside."""
    k0 = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    k1 = math.sqrt((x / (a * a)) ** 2 + (y / (b * b)) ** 2 + (z / (c * c)) ** 2)
    smallest = min(a, min(b, c))
    if k1 < 1e-12:
        return -smallest
    return max(k0 * (k0 - 1.0) / k1, -smallest)


@compiled()
def _superellipsoid(x, y, z, a, b, c, p):
    """(f − 1)/|∇f| with f the p-norm of the scaled coordinates."""
    u, v, w = abs(x) / a, abs(y) / b, abs(z) / c
    f = (u**p + v**p + w**p) ** (1.0 / p)
    smallest = min(a, min(b, c))
    if f < 1e-6:
        return -smallest
    gx, gy, gz = (u / f) ** (p - 1.0) / a, (v / f) ** (p - 1.0) / b, (w / f) ** (p - 1.0) / c
    return max((f - 1.0) / math.sqrt(gx * gx + gy * gy + gz * gz), -smallest)


@compiled()
def _box(x, y, z, a, b, c, rounding):
    """Exact distance to a box with rounded edges."""
    qx, qy, qz = abs(x) - a + rounding, abs(y) - b + rounding, abs(z) - c + rounding
    outside = math.sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2 + max(qz, 0.0) ** 2)
    return outside + min(max(qx, max(qy, qz)), 0.0) - rounding


@compiled()
def _cone(x, y, z, row):
    """Exact distance to the hull of two spheres."""
    bx, by, bz = row[6] - row[3], row[7] - row[4], row[8] - row[5]
    r1, r2 = row[15], row[16]
    length2 = bx * bx + by * by + bz * bz
    dr = r1 - r2
    px, py, pz = x - row[3], y - row[4], z - row[5]
    if length2 <= dr * dr + 1e-12:  # one sphere holds the other
        if r1 >= r2:
            return math.sqrt(px * px + py * py + pz * pz) - r1
        return math.sqrt((x - row[6]) ** 2 + (y - row[7]) ** 2 + (z - row[8]) ** 2) - r2
    a2 = length2 - dr * dr
    along = px * bx + py * by + pz * bz
    past = along - length2
    qx, qy, qz = px * length2 - bx * along, py * length2 - by * along, pz * length2 - bz * along
    x2 = qx * qx + qy * qy + qz * qz
    y2, z2 = along * along * length2, past * past * length2
    k = math.copysign(1.0, dr) * dr * dr * x2 if dr != 0.0 else 0.0
    if math.copysign(1.0, past) * a2 * z2 > k:
        return math.sqrt(x2 + z2) / length2 - r2
    if math.copysign(1.0, along) * a2 * y2 < k:
        return math.sqrt(x2 + y2) / length2 - r1
    return (math.sqrt(x2 * a2 / length2) + along * dr) / length2 - r1


@compiled()
def halfspace(row, x, y, z):
    """Signed distance of a half space."""
    return (x - row[3]) * row[15] + (y - row[4]) * row[16] + (z - row[5]) * row[17]


@compiled()
def is_wall(row):
    """Whether a row cuts off a half space: convex rooms have hundreds of them."""
    return int(row[0]) == HALFSPACE and int(row[1]) == INTERSECT


@compiled()
def primitive(row, x, y, z):
    """Signed distance of one primitive row."""
    kind = int(row[0])
    if kind == CONE:
        return _cone(x, y, z, row)
    px, py, pz = x - row[3], y - row[4], z - row[5]
    if kind == HALFSPACE:
        return halfspace(row, x, y, z)
    u = row[6] * px + row[7] * py + row[8] * pz
    v = row[9] * px + row[10] * py + row[11] * pz
    w = row[12] * px + row[13] * py + row[14] * pz
    if kind == ELLIPSOID:
        return _ellipsoid(u, v, w, row[15], row[16], row[17])
    if kind == BOX:
        return _box(u, v, w, row[15], row[16], row[17], row[18])
    return _superellipsoid(u, v, w, row[15], row[16], row[17], row[18])


@compiled()
def combine(current, value, operator, blend):
    """Joins a distance to the running one; polynomial smooth minimum and maximum when blend > 0."""
    sign = 1.0
    if operator == SUBTRACT:
        value, sign = -value, -1.0
    elif operator == INTERSECT:
        sign = -1.0
    a, b = sign * current, sign * value
    result = min(a, b)
    if blend > 0.0 and abs(a) < FAR and abs(b) < FAR:
        h = max(blend - abs(a - b), 0.0) / blend
        result -= h * h * blend * 0.25
    return sign * result


@compiled()
def modify(current, row, x, y, z):
    """Applies a row that changes the running distance itself."""
    kind = int(row[0])
    if kind == NOISE:
        along = row[7] * x + row[8] * y + row[9] * z  # zero without a grain
        x, y, z = x - along * row[7], y - along * row[8], z - along * row[9]
        return current + row[15] * relief(x, y, z, row[16], int(row[6]))
    if kind == OFFSET:
        return current - row[15]
    return abs(current) - row[15]


@compiled()
def evaluate(rows, order, count, stack, x, y, z):
    """Signed distance of the rows order[:count] at one point."""
    current, depth = FAR, 0
    for i in range(count):
        row = rows[order[i]]
        kind = int(row[0])
        if is_wall(row):  # the short way: most walls are too far to matter
            value = halfspace(row, x, y, z)
            if value > current - row[2]:
                current = combine(current, value, INTERSECT, row[2])
        elif kind == OPEN:
            stack[depth] = current
            depth += 1
            current = FAR
        elif kind == CLOSE:
            depth -= 1
            current = combine(stack[depth], current, int(row[1]), row[2])
        elif kind >= NOISE:
            current = modify(current, row, x, y, z)
        else:
            current = combine(current, primitive(row, x, y, z), int(row[1]), row[2])
    return current
