"""Normals of triangle meshes: flat ones per triangle and smooth ones per corner."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import compiled

_CREASE_DEG = 45.0
"""Faces that meet at a sharper angle keep an edge between them."""
_THIN_MM = 1e-3


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


def normal_fields(vertices_mm: np.ndarray, triangles: np.ndarray, corner_normals: np.ndarray) -> np.ndarray:
    """Smooth normals as linear functions of the place on each triangle: all that a crossing asks for, side by side.

    Args:
        vertices_mm: (V, 3).
        triangles: (T, 3), indices into the vertices.
        corner_normals: (T, 3, 3), of :func:`surface_normals`.

    Returns:
        (T, 16) float32, a line of the cache each: centre [mm] (3), the corners' mean normal, which holds there (3), its
        gradient [1/mm], row i for component i (9), and 0. A triangle no higher than _THIN_MM has no gradient: where on
        it a hit lies is rounding.
    """
    a, b, c = (np.asarray(vertices_mm, np.float64)[triangles[:, i]] for i in range(3))
    u, w = b - a, c - a
    uu, uw, ww = (u * u).sum(1), (u * w).sum(1), (w * w).sum(1)
    square = np.maximum(uu * ww - uw * uw, 0)  # of twice the area
    is_thin = square <= _THIN_MM**2 * np.maximum(np.maximum(uu, ww), uu - 2 * uw + ww)
    scale = np.where(is_thin, 0, 1 / np.where(is_thin, 1, square))[:, None]
    # Of the weight of corner b, and of that of c.
    slope_b, slope_c = (ww[:, None] * u - uw[:, None] * w) * scale, (uu[:, None] * w - uw[:, None] * u) * scale
    n = np.asarray(corner_normals, np.float64)
    gradient = (n[:, 1] - n[:, 0])[:, :, None] * slope_b[:, None] + (n[:, 2] - n[:, 0])[:, :, None] * slope_c[:, None]
    fields = np.zeros((len(triangles), 16), np.float32)
    fields[:, :3], fields[:, 3:6], fields[:, 6:15] = (a + b + c) / 3, n.mean(axis=1), gradient.reshape(-1, 9)
    return fields


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
