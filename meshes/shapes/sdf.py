"""Evaluates the rows of a solid (see `solids.py`) as a signed distance: at points, and on grids by blocks.

Grids skip work twice: a block of cells that lies farther from the surface than its own radius is filled
with one value, and inside a block only the rows that can matter there are evaluated.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from meshes.errors import SurfaceError
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
    UNION,
    Solid,
)
from ussim.jit import compiled

BLOCK = 8
_FAR = 1e9
_STACK = 8
_SAFETY = 1.35  # first-order distances may overstate a true distance; blocks are skipped with this margin


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
def _halfspace(row, x, y, z):
    """Signed distance of a half space."""
    return (x - row[3]) * row[15] + (y - row[4]) * row[16] + (z - row[5]) * row[17]


@compiled()
def _is_wall(row):
    """Whether a row cuts off a half space: convex rooms have hundreds of them."""
    return int(row[0]) == HALFSPACE and int(row[1]) == INTERSECT


@compiled()
def _primitive(row, x, y, z):
    """Signed distance of one primitive row."""
    kind = int(row[0])
    if kind == CONE:
        return _cone(x, y, z, row)
    px, py, pz = x - row[3], y - row[4], z - row[5]
    if kind == HALFSPACE:
        return _halfspace(row, x, y, z)
    u = row[6] * px + row[7] * py + row[8] * pz
    v = row[9] * px + row[10] * py + row[11] * pz
    w = row[12] * px + row[13] * py + row[14] * pz
    if kind == ELLIPSOID:
        return _ellipsoid(u, v, w, row[15], row[16], row[17])
    if kind == BOX:
        return _box(u, v, w, row[15], row[16], row[17], row[18])
    return _superellipsoid(u, v, w, row[15], row[16], row[17], row[18])


@compiled()
def _combine(current, value, operator, blend):
    """Joins a distance to the running one; polynomial smooth minimum and maximum when blend > 0."""
    sign = 1.0
    if operator == SUBTRACT:
        value, sign = -value, -1.0
    elif operator == INTERSECT:
        sign = -1.0
    a, b = sign * current, sign * value
    result = min(a, b)
    if blend > 0.0 and abs(a) < _FAR and abs(b) < _FAR:
        h = max(blend - abs(a - b), 0.0) / blend
        result -= h * h * blend * 0.25
    return sign * result


@compiled()
def _modify(current, row, x, y, z):
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
def _evaluate(rows, order, count, stack, x, y, z):
    """Signed distance of the rows order[:count] at one point."""
    current, depth = _FAR, 0
    for i in range(count):
        row = rows[order[i]]
        kind = int(row[0])
        if _is_wall(row):  # the short way: most walls are too far to matter
            value = _halfspace(row, x, y, z)
            if value > current - row[2]:
                current = _combine(current, value, INTERSECT, row[2])
        elif kind == OPEN:
            stack[depth] = current
            depth += 1
            current = _FAR
        elif kind == CLOSE:
            depth -= 1
            current = _combine(stack[depth], current, int(row[1]), row[2])
        elif kind >= NOISE:
            current = _modify(current, row, x, y, z)
        else:
            current = _combine(current, _primitive(row, x, y, z), int(row[1]), row[2])
    return current


@compiled()
def _plan(rows):
    """Splits the rows into top-level items (one row, or one bracket) and numbers the runs of unions.

    Returns (starts, stops, runs): a run is a stretch of consecutive union items, inside which an item that
    is much farther than the nearest one cannot matter. Runs of other items are -1.
    """
    n = rows.shape[0]
    starts, stops, runs = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    count, run, i, in_run = 0, -1, 0, False
    while i < n:
        start, depth = i, 0
        while True:
            kind = int(rows[i, 0])
            if kind == OPEN:
                depth += 1
            elif kind == CLOSE:
                depth -= 1
            i += 1
            if depth == 0:
                break
        last = rows[i - 1]
        is_union = int(last[1]) == UNION and int(last[0]) < NOISE
        if is_union and not in_run:
            run += 1
        in_run = is_union
        starts[count], stops[count], runs[count] = start, i, run if is_union else -1
        count += 1
    return starts[:count], stops[:count], runs[:count]


@compiled()
def _keep_rows(rows, first, last, radius, x, y, z, order, count):
    """Appends rows first:last to `order`, but of a stretch of walls only those that can matter near the point."""
    row = first
    while row < last:
        if not _is_wall(rows[row]):
            order[count] = row
            count += 1
            row += 1
            continue
        stop, farthest = row, -_FAR
        while stop < last and _is_wall(rows[stop]):
            farthest = max(farthest, _halfspace(rows[stop], x, y, z))
            stop += 1
        for wall in range(row, stop):
            if _halfspace(rows[wall], x, y, z) >= farthest - 2.0 * radius - 2.0 * rows[wall, 2]:
                order[count] = wall
                count += 1
        row = stop
    return count


@compiled()
def _active_rows(rows, starts, stops, runs, values, radius, slack, x, y, z, order):
    """Fills `order` with the rows that can matter within `radius` of the point (x, y, z), where `values` were taken.

    `slack` is how far later rows (offset, shell, noise) may move the surface.
    """
    count, i = 0, 0
    items = starts.shape[0]
    while i < items:
        j = i + 1
        nearest = values[i]
        if runs[i] >= 0:
            while j < items and runs[j] == runs[i]:
                nearest = min(nearest, values[j])
                j += 1
        for item in range(i, j):
            last = rows[stops[item] - 1]
            operator = int(last[1])
            keep = True
            if runs[i] >= 0:
                keep = values[item] <= nearest + 2.0 * radius + last[2]
            elif operator == SUBTRACT and int(last[0]) < NOISE:
                keep = values[item] <= 2.0 * radius + slack + last[2]
            if keep:
                count = _keep_rows(rows, starts[item], stops[item], radius, x, y, z, order, count)
        i = j
    return count


@compiled(parallel=True)
def _sample(rows, origin, step, shape, slack, starts, stops, runs):
    """Signed distance on a grid, float32 of `shape`; far blocks hold one value of the right sign."""
    grid = np.empty((shape[0], shape[1], shape[2]), np.float32)
    nx, ny, nz = (
        (shape[0] + BLOCK - 1) // BLOCK,
        (shape[1] + BLOCK - 1) // BLOCK,
        (shape[2] + BLOCK - 1) // BLOCK,
    )
    radius = _SAFETY * 0.5 * BLOCK * step * math.sqrt(3.0)
    for block in prange(nx * ny * nz):
        stack = np.empty(_STACK)
        order = np.empty(rows.shape[0], np.int64)
        values = np.empty(starts.shape[0])
        bx, by, bz = block // (ny * nz), (block // nz) % ny, block % nz
        half = 0.5 * (BLOCK - 1) * step
        cx = origin[0] + bx * BLOCK * step + half
        cy = origin[1] + by * BLOCK * step + half
        cz = origin[2] + bz * BLOCK * step + half
        current = _FAR
        for item in range(starts.shape[0]):
            last = rows[stops[item] - 1]
            if int(last[0]) >= NOISE:
                current = _modify(current, last, cx, cy, cz)
                continue
            n = 0
            for row in range(starts[item], stops[item]):
                order[n] = row
                n += 1
            if n > 1:  # without its closing bracket the item's own distance comes out
                values[item] = _evaluate(rows, order[1:], n - 2, stack, cx, cy, cz)
            else:
                values[item] = _primitive(last, cx, cy, cz)
            current = _combine(current, values[item], int(last[1]), last[2])
        x0, y0, z0 = bx * BLOCK, by * BLOCK, bz * BLOCK
        x1, y1, z1 = min(x0 + BLOCK, shape[0]), min(y0 + BLOCK, shape[1]), min(z0 + BLOCK, shape[2])
        if abs(current) > radius:
            grid[x0:x1, y0:y1, z0:z1] = current
            continue
        n = _active_rows(rows, starts, stops, runs, values, radius, slack, cx, cy, cz, order)
        for i in range(x0, x1):
            for j in range(y0, y1):
                for k in range(z0, z1):
                    grid[i, j, k] = _evaluate(
                        rows,
                        order,
                        n,
                        stack,
                        origin[0] + i * step,
                        origin[1] + j * step,
                        origin[2] + k * step,
                    )
    return grid


@compiled()
def _at_few_points(rows, points):
    """Signed distance at (n, 3) points on one thread."""
    out = np.empty(points.shape[0])
    order = np.arange(rows.shape[0])
    stack = np.empty(_STACK)
    for i in range(points.shape[0]):
        out[i] = _evaluate(rows, order, rows.shape[0], stack, points[i, 0], points[i, 1], points[i, 2])
    return out


@compiled(parallel=True)
def _at_many_points(rows, points):
    """The same on all threads."""
    out = np.empty(points.shape[0])
    chunks = (points.shape[0] + 1023) // 1024
    for chunk in prange(chunks):
        first, last = chunk * 1024, min((chunk + 1) * 1024, points.shape[0])
        out[first:last] = _at_few_points(rows, points[first:last])
    return out


def distance(solid: Solid, points) -> np.ndarray:
    """Signed distance in mm, negative inside, of `points` (n, 3) to `solid`; (n,) float64."""
    points = np.ascontiguousarray(np.atleast_2d(points), dtype=np.float64)
    at = _at_few_points if len(points) * len(solid.rows) < 100_000 else _at_many_points  # threads cost to start
    return at(solid.rows, points)


def normal(solid: Solid, points, step_mm: float = 0.5) -> np.ndarray:
    """Outward unit normals (n, 3) at `points`, by central differences."""
    points = np.atleast_2d(np.asarray(points, float))
    steps = np.eye(3) * step_mm
    gradient = np.stack([distance(solid, points + d) - distance(solid, points - d) for d in steps], axis=1)
    return gradient / np.linalg.norm(gradient, axis=1, keepdims=True)


def exits(solid: Solid, inside, directions, name: str = "solid", reach_mm: float = 800.0) -> np.ndarray:
    """Where rays from inside a solid leave it for good.

    Args:
        solid: what they leave.
        inside: (3,) or (n, 3) starts.
        directions: (n, 3), of any length.
        name: for errors.
        reach_mm: how far they are followed, in steps of 4 mm; thinner hollows may be missed.

    Returns:
        (n, 3) points on the surface.

    Raises:
        SurfaceError: a ray does not leave the solid within its reach.
    """
    inside, directions = np.atleast_2d(np.asarray(inside, float)), np.atleast_2d(np.asarray(directions, float))
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    t = np.arange(0.0, reach_mm + 4.0, 4.0)
    along = inside[:, None] + t[:, None] * directions[:, None]
    depth = distance(solid, along.reshape(-1, 3)).reshape(along.shape[:2])
    out = (depth[:, :-1] < 0) & (depth[:, 1:] >= 0)
    if not out.any(axis=1).all():
        lost = int(np.argmin(out.any(axis=1)))
        start = np.round(inside[lost % len(inside)], 1)
        raise SurfaceError(f"{name}: no way out from {start} along {np.round(directions[lost], 2)} in {reach_mm:g} mm")
    low = t[out.shape[1] - 1 - out[:, ::-1].argmax(axis=1)]
    high = low + 4.0
    for _ in range(16):
        middle = 0.5 * (low + high)
        within = distance(solid, inside + middle[:, None] * directions) < 0
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return inside + low[:, None] * directions


def sample(solid: Solid, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples a solid in its own box, padded by two cells.

    Returns:
        grid (nx, ny, nz) float32 of signed distances, and the (3,) position of cell (0, 0, 0).
    """
    origin = solid.low_mm - 2 * step_mm
    shape = np.ceil((solid.high_mm - origin) / step_mm).astype(np.int64) + 3
    rows = np.ascontiguousarray(solid.rows)
    slack = float(np.abs(rows[rows[:, 0] >= NOISE, 15]).sum())
    return _sample(rows, origin, float(step_mm), shape, slack, *_plan(rows)), origin
