"""Normals of triangle meshes: flat ones per triangle and smooth ones per corner."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import compiled

_CREASE_DEG = 45.0
"""Faces that meet at a sharper angle keep an edge between them."""


def surface_normals(vertices_mm: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outward normals of a mesh whose triangles are counter-clockwise seen from outside.

    A corner's normal is the mean, weighted by area, of the triangles around its vertex that are within 45° of
    its own triangle. So a finely triangulated curved wall refracts as the wall does, not as its facets do,
    while boxes stay boxes.

    Args:
        vertices_mm: (V, 3).
        triangles: (T, 3), indices into the vertices.

    Returns:
        Unit normals of the triangles (T, 3) and of their corners (T, 3, 3), float32. A triangle without area
        has (0, 0, 1).
    """
    a, b, c = (np.asarray(vertices_mm, np.float64)[triangles[:, i]] for i in range(3))
    scaled = np.cross(b - a, c - a)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    flat = np.where(length > 0, scaled / np.maximum(length, 1e-300), [0.0, 0.0, 1.0])
    corner_order = np.argsort(triangles, axis=None, kind="stable")
    begin = np.searchsorted(triangles.ravel()[corner_order], np.arange(len(vertices_mm) + 1))
    smooth = _corner_normals(
        triangles, flat, length[:, 0], corner_order // 3, begin, math.cos(math.radians(_CREASE_DEG))
    )
    return np.ascontiguousarray(flat, np.float32), smooth


@compiled()
def _corner_normals(triangles, flat, area, around, begin, crease_cosine):
    """Average the triangles ``around[begin[v]:begin[v + 1]]`` of each corner's vertex v."""
    smooth = np.empty((triangles.shape[0], 3, 3), np.float32)
    for t in range(triangles.shape[0]):
        for corner in range(3):
            v = triangles[t, corner]
            x, y, z = flat[t, 0] * 1e-12, flat[t, 1] * 1e-12, flat[t, 2] * 1e-12
            for k in range(begin[v], begin[v + 1]):
                n = flat[around[k]]
                if n[0] * flat[t, 0] + n[1] * flat[t, 1] + n[2] * flat[t, 2] >= crease_cosine:
                    w = area[around[k]]
                    x, y, z = x + w * n[0], y + w * n[1], z + w * n[2]
            length = math.sqrt(x * x + y * y + z * z)
            smooth[t, corner, 0] = x / length
            smooth[t, corner, 1] = y / length
            smooth[t, corner, 2] = z / length
    return smooth
