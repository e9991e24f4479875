"""Signed distances of a solid: at points, and on grids by blocks.

Grids skip work twice: a block of cells that lies farther from the surface than its own radius is filled
with one value, and inside a block only the rows that can matter there are evaluated.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from meshes.errors import SurfaceError
from meshes.shapes.rows import FAR, STACK, combine, evaluate, halfspace, is_wall, modify, primitive
from meshes.shapes.solids import CLOSE, NOISE, OPEN, SUBTRACT, UNION, Solid
from ussim.jit import compiled

BLOCK = 8
_SAFETY = 1.35  # first-order distances may overstate a true distance; blocks are skipped with this margin


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
        if not is_wall(rows[row]):
            order[count] = row
            count += 1
            row += 1
            continue
        stop, farthest = row, -FAR
        while stop < last and is_wall(rows[stop]):
            farthest = max(farthest, halfspace(rows[stop], x, y, z))
            stop += 1
        for wall in range(row, stop):
            if halfspace(rows[wall], x, y, z) >= farthest - 2.0 * radius - 2.0 * rows[wall, 2]:
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
        stack = np.empty(STACK)
        order = np.empty(rows.shape[0], np.int64)
        values = np.empty(starts.shape[0])
        bx, by, bz = block // (ny * nz), (block // nz) % ny, block % nz
        half = 0.5 * (BLOCK - 1) * step
        cx = origin[0] + bx * BLOCK * step + half
        cy = origin[1] + by * BLOCK * step + half
        cz = origin[2] + bz * BLOCK * step + half
        current = FAR
        for item in range(starts.shape[0]):
            last = rows[stops[item] - 1]
            if int(last[0]) >= NOISE:
                current = modify(current, last, cx, cy, cz)
                continue
            n = 0
            for row in range(starts[item], stops[item]):
                order[n] = row
                n += 1
            if n > 1:  # without its closing bracket the item's own distance comes out
                values[item] = evaluate(rows, order[1:], n - 2, stack, cx, cy, cz)
            else:
                values[item] = primitive(last, cx, cy, cz)
            current = combine(current, values[item], int(last[1]), last[2])
        x0, y0, z0 = bx * BLOCK, by * BLOCK, bz * BLOCK
        x1, y1, z1 = min(x0 + BLOCK, shape[0]), min(y0 + BLOCK, shape[1]), min(z0 + BLOCK, shape[2])
        if abs(current) > radius:
            grid[x0:x1, y0:y1, z0:z1] = current
            continue
        n = _active_rows(rows, starts, stops, runs, values, radius, slack, cx, cy, cz, order)
        for i in range(x0, x1):
            for j in range(y0, y1):
                for k in range(z0, z1):
                    grid[i, j, k] = evaluate(
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
    stack = np.empty(STACK)
    for i in range(points.shape[0]):
        out[i] = evaluate(rows, order, rows.shape[0], stack, points[i, 0], points[i, 1], points[i, 2])
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
