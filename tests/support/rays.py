"""Closest hits of many rays, with the tree and without."""

from __future__ import annotations

import numpy as np
from numba import njit

from ussim.render.bvh import STACK_SIZE, Bvh
from ussim.render.kernels.hits import closest_hit

INF = np.float32(np.inf)


# As the kernels call it, with products that may be fused: what they call must not take that over. Not cached on disk:
# a cached caller would not notice a change of the traversal.
@njit(error_model="numpy", fastmath={"contract"})
def _trace(boxes, children, corners, primitives, origins, directions, t_min, t_max, skip, t, hit):
    stack = np.empty(STACK_SIZE, np.int32)
    stack_t = np.empty(STACK_SIZE, np.float32)
    for i in range(len(origins)):
        t[i], hit[i] = closest_hit(
            boxes, children, corners, primitives,
            origins[i, 0], origins[i, 1], origins[i, 2], directions[i, 0], directions[i, 1], directions[i, 2],
            t_min, t_max, skip[i], stack, stack_t,
        )  # fmt: skip


def trace(bvh: Bvh, origins, directions, t_min=0.0, t_max=INF, skip=None):
    """(t, primitive) of many rays."""
    origins = np.ascontiguousarray(origins, np.float32)
    directions = np.ascontiguousarray(directions, np.float32)
    skip = np.full(len(origins), -1, np.int32) if skip is None else np.asarray(skip, np.int32)
    t, hit = np.empty(len(origins), np.float32), np.empty(len(origins), np.int32)
    _trace(*bvh, origins, directions, np.float32(t_min), np.float32(t_max), skip, t, hit)
    return t, hit


def brute_force(vertices, triangles, origins, directions, margin=0.0):
    """(rays, triangles) distances in float64 by Möller–Trumbore, +inf where there is no hit.

    With a margin of the barycentric coordinates a ray must pass so far inside; with a negative one it may pass by.
    """
    a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
    o, d = np.asarray(origins, np.float64)[:, None], np.asarray(directions, np.float64)[:, None]
    p = np.cross(d, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / (p * (b - a)).sum(-1)
        q = np.cross(o - a, b - a)
        u, v, t = ((o - a) * p).sum(-1) * inverse, (q * d).sum(-1) * inverse, (q * (c - a)).sum(-1) * inverse
        return np.where((u >= margin) & (v >= margin) & (u + v <= 1 - margin) & (t >= 0), t, np.inf)
