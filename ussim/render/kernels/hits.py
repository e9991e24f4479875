"""Hits of a ray with a scene: the closest one, the next change of medium, the surfaces around a point."""

from __future__ import annotations

import numba
import numpy as np

from ussim.jit import SIMULATED, device, inlined_device
from ussim.render.physics.intersect import build
from ussim.render.physics.medium import crossed, highest_surface
from ussim.render.physics.vector import dot, normalise

_ZERO = np.float32(0)
FAR_MM = np.float32(1e5)
# A ray goes on this far behind the point it hit: past the neighbour of the triangle it hit when it hit their common
# edge (else the two would catch it for ever), yet far short of the thinnest wall, 0.05 mm. Coordinates of some
# 100 mm are good to 3e-5 mm.
NUDGE_MM = np.float32(1e-3)
# Crossings of one ray that are no interface (hidden below a higher priority).
MAX_HIDDEN_CROSSINGS = 256

# No fast-math here: fusing the products of an edge function would open cracks between triangles.
closest_hit = build((lambda f: f) if SIMULATED else numba.njit(fastmath=False, error_model="numpy", forceinline=True))
"""The CPU's traversal; :mod:`ussim.render.backends.cuda` puts a GPU's in its place when it compiles for one."""


@inlined_device
def first_hit(geometry, x, y, z, dx, dy, dz, reach, skip, stack, stack_t):
    """Distance [mm] and triangle of the first hit before ``reach``; triangle −1 if there is none.

    ``skip`` is the triangle the ray leaves, −1 if it starts in free space.
    """
    nearest = NUDGE_MM if skip >= 0 else _ZERO
    return closest_hit(
        geometry.boxes, geometry.children, geometry.corners, geometry.primitives,
        x, y, z, dx, dy, dz, nearest, reach, skip, stack, stack_t,
    )  # fmt: skip


@device
def normal_of(geometry, triangle):
    """Outward unit normal of a triangle."""
    return geometry.normals[triangle, 0], geometry.normals[triangle, 1], geometry.normals[triangle, 2]


@device
def smooth_normal_of(geometry, triangle, x, y, z):
    """Unit normal at a point of a triangle, interpolated between its corners' (Phong)."""
    n = geometry.normal_fields
    x, y, z = x - n[triangle, 0], y - n[triangle, 1], z - n[triangle, 2]
    cx, cy, cz = normal_change(geometry, triangle, x, y, z)
    return normalise(n[triangle, 3] + cx, n[triangle, 4] + cy, n[triangle, 5] + cz)


@device
def normal_change(geometry, triangle, tx, ty, tz):
    """Change of the smooth outward normal over a step t in the plane of a triangle; per mm if t is a unit vector."""
    n = geometry.normal_fields
    return (
        n[triangle, 6] * tx + n[triangle, 7] * ty + n[triangle, 8] * tz,
        n[triangle, 9] * tx + n[triangle, 10] * ty + n[triangle, 11] * tz,
        n[triangle, 12] * tx + n[triangle, 13] * ty + n[triangle, 14] * tz,
    )


@device
def medium_of(geometry, inside):
    """Medium index of a point inside the surfaces of the mask; 0, the background, outside of all."""
    surface = highest_surface(inside)
    if surface < 0:
        return np.int32(0)
    return geometry.surface_medium[surface]


@device
def surfaces_around(geometry, x, y, z, dx, dy, dz, stack, stack_t):
    """Mask of the surfaces that hold a point: those which a ray from it leaves first, before entering them."""
    inside = np.uint64(0)
    seen = np.uint64(0)
    skip = np.int32(-1)
    for _ in range(MAX_HIDDEN_CROSSINGS):
        t, triangle = first_hit(geometry, x, y, z, dx, dy, dz, FAR_MM, skip, stack, stack_t)
        if triangle < 0:
            break
        nx, ny, nz = normal_of(geometry, triangle)
        bit = np.uint64(np.uint64(1) << np.uint64(geometry.triangle_surface[triangle]))
        if np.uint64(seen & bit) == np.uint64(0):
            seen = np.uint64(seen | bit)
            if dot(dx, dy, dz, nx, ny, nz) > _ZERO:
                inside = np.uint64(inside | bit)
        x, y, z = x + t * dx, y + t * dy, z + t * dz
        skip = triangle
    return inside


@inlined_device
def next_interface(geometry, x, y, z, dx, dy, dz, reach, skip, inside, medium, stack, stack_t):
    """Distance to the next change of medium along a ray.

    Returns:
        (distance, triangle, mask before, mask after); triangle −1 if nothing changes within ``reach``.
    """
    s = _ZERO
    px, py, pz = x, y, z
    for _ in range(MAX_HIDDEN_CROSSINGS):
        t, triangle = first_hit(geometry, px, py, pz, dx, dy, dz, reach - s, skip, stack, stack_t)
        if triangle < 0:
            break
        s = s + t
        nx, ny, nz = normal_of(geometry, triangle)
        entering = dot(dx, dy, dz, nx, ny, nz) < _ZERO
        after = crossed(inside, geometry.triangle_surface[triangle], entering)
        if medium_of(geometry, after) != medium:
            return s, triangle, inside, after
        inside = after
        skip = triangle
        px, py, pz = x + s * dx, y + s * dy, z + s * dz
    return s, np.int32(-1), inside, inside
