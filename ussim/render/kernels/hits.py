"""Hits of a ray with a scene: the closest one, the next change of medium, the surfaces around a point."""

from __future__ import annotations

import numpy as np

import ussim.render.physics.lanes  # noqa: F401  (the traversal in a CPU's vector instructions)
from ussim.jit import device, inlined_device
from ussim.render.physics.intersect import closest_hit
from ussim.render.physics.medium import highest_surface
from ussim.render.physics.vector import dot, normalise

_ZERO = np.float32(0)
FAR_MM = np.float32(1e5)
# A ray goes on this far behind the point it hit: past the neighbour of the triangle it hit when it hit their common
# edge (else the two would catch it for ever), yet far short of the thinnest wall, 0.05 mm. Coordinates of some
# 100 mm are good to 3e-5 mm.
NUDGE_MM = np.float32(1e-3)
# Walls so close behind each other are crossed as one: none must be lost where the ray goes on behind them.
_AS_ONE_MM = np.float32(2) * NUDGE_MM
# A mesh that runs through itself by so little, where it was made coarser, is taken for one that does not.
_SLIVER_MM = np.float32(1)
# Crossings of one ray that are no interface (hidden below a higher priority).
MAX_HIDDEN_CROSSINGS = 256
_NOTHING = np.uint64(0)


@inlined_device
def hit_after(geometry, x, y, z, dx, dy, dz, t, reach, triangle, stack, stack_t):
    """The hit of a ray that follows that of ``triangle`` at ``t``; of hits at one distance, by number."""
    return closest_hit(
        geometry.boxes, geometry.children, geometry.corners, geometry.primitives,
        x, y, z, dx, dy, dz, t, reach, triangle, stack, stack_t,
    )  # fmt: skip


@inlined_device
def first_hit(geometry, x, y, z, dx, dy, dz, reach, skip, stack, stack_t):
    """Distance [mm] and triangle of the first hit before ``reach``; triangle −1 if there is none.

    ``skip`` is the triangle the ray leaves, −1 if it starts in free space.
    """
    nearest = NUDGE_MM if skip >= 0 else _ZERO
    return hit_after(geometry, x, y, z, dx, dy, dz, nearest, reach, skip, stack, stack_t)


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
    inside, seen = _NOTHING, _NOTHING
    t, triangle = _ZERO, np.int32(-1)
    for _ in range(MAX_HIDDEN_CROSSINGS):
        t, triangle = hit_after(geometry, x, y, z, dx, dy, dz, t, FAR_MM, triangle, stack, stack_t)
        if triangle < 0:
            break
        bit = np.uint64(np.uint64(1) << np.uint64(geometry.triangle_surface[triangle]))
        if np.uint64(seen & bit) == _NOTHING:
            seen = np.uint64(seen | bit)
            if dot(dx, dy, dz, *normal_of(geometry, triangle)) > _ZERO:
                inside = np.uint64(inside | bit)
    return inside


@inlined_device
def next_interface(geometry, x, y, z, dx, dy, dz, begin, reach, skip, inside, medium, stack, stack_t):
    """Distance to the next change of medium along a ray.

    Walls that meet, or all but do, are crossed as one. A surface that is entered and left at once, on an edge, is not
    crossed, nor one that is left and then entered, where its mesh runs a little through itself.

    Args:
        geometry, stack, stack_t: The scene and scratch.
        x, y, z, dx, dy, dz: Origin and direction of the ray, from which distances count.
        begin, reach: Between which distances. A ray that goes straight on keeps its origin and begins where it met the
            last wall: its walls then have one order, whatever the rounding. One that was bent has its origin there
            and begins at ``NUDGE_MM``.
        skip: Triangle of the last wall, −1 if there was none.
        inside, medium: The surfaces around the ray there, and the medium.

    Returns:
        (distance, triangle, mask before, mask after); triangle −1 if nothing changes within ``reach``.
    """
    s, last = begin, skip
    wall, at = np.int32(-1), _ZERO  # the first wall of those that changed the medium
    began, before, entered, left = -FAR_MM, inside, _NOTHING, _NOTHING
    stray, strayed = _NOTHING, _ZERO  # a surface that was left from outside, and where
    for _ in range(MAX_HIDDEN_CROSSINGS):
        end = reach if wall < 0 else at + _AS_ONE_MM
        t, triangle = hit_after(geometry, x, y, z, dx, dy, dz, s, end, last, stack, stack_t)
        if triangle < 0:
            if wall < 0:
                break
            if medium_of(geometry, inside) != medium:
                return at, wall, before, inside
            wall = np.int32(-1)
            continue
        s, last = t, triangle
        if t > began + _AS_ONE_MM:
            began, before, entered, left = t, inside, _NOTHING, _NOTHING
        bit = np.uint64(np.uint64(1) << np.uint64(geometry.triangle_surface[triangle]))
        if dot(dx, dy, dz, *normal_of(geometry, triangle)) < _ZERO:
            if bit == stray and t < strayed + _SLIVER_MM:
                continue
            entered = np.uint64(entered | bit)
        else:
            if np.uint64(inside & bit) == _NOTHING:
                stray, strayed = bit, t
            left = np.uint64(left | bit)
        grazed = np.uint64(entered & left)
        kept = np.uint64(before & np.uint64(grazed | np.uint64(~np.uint64(entered | left))))
        inside = np.uint64(kept | np.uint64(entered & np.uint64(~left)))
        if wall < 0 and medium_of(geometry, inside) != medium:
            wall, at = triangle, t
    return s, np.int32(-1), inside, inside
