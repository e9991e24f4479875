"""A few rays against plain meshes, without the compiled tracer: enough to put a probe on a skin."""

from __future__ import annotations

import numpy as np


def crossings(
    origin: np.ndarray, direction: np.ndarray, vertices: np.ndarray, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a line meets a mesh, after Möller & Trumbore 1997.

    Args:
        origin: (3,) mm.
        direction: (3,) of unit length.
        vertices: (V, 3) mm.
        triangles: (T, 3).

    Returns:
        Signed distances from the origin along the direction (n,), ascending, and the triangles met (n,).
    """
    a, b, c = (vertices[triangles[:, corner]].astype(np.float64) for corner in range(3))
    ab, ac, to_origin = b - a, c - a, origin - a
    p = np.cross(direction, ac)
    determinant = np.einsum("ij,ij->i", ab, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.einsum("ij,ij->i", to_origin, p) / determinant
        q = np.cross(to_origin, ab)
        v = q @ direction / determinant
        distance = np.einsum("ij,ij->i", ac, q) / determinant
        met = np.flatnonzero((determinant != 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & np.isfinite(distance))
    met = met[np.argsort(distance[met], kind="stable")]
    return distance[met], met


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Outward unit normals of triangles (T, 3); zero for one without an area."""
    a, b, c = (vertices[triangles[:, corner]].astype(np.float64) for corner in range(3))
    normal = np.cross(b - a, c - a)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
