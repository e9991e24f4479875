"""How much sound passes. Rays of the aperture carry the one-way amplitude to every depth.

N rays start on every scanline, each at a tilt of its own (phased arrays: from an element of its own); one ray is
the scanline itself. At a wall a ray keeps √(1 − R) of its amplitude, R taken on a facet of the rough wall, and is
refracted by the smooth one; behind a curved wall its tube widens or narrows, by ray differentials (Igehy 1999).
Facets belong to the place on the wall, so nothing flickers under a probe that stands still.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.lattice import place_key
from ussim.render.aperture.ray_starts import line_start, piece_slope, scene_ray
from ussim.render.kernels.hits import (
    NUDGE_MM,
    medium_of,
    next_interface,
    normal_change,
    normal_of,
    smooth_normal_of,
    surfaces_around,
)
from ussim.render.physics.interface import is_gas, reflection, refract, rough_normal, transmitted_cosine
from ussim.render.physics.medium import amplitude_after
from ussim.render.physics.random import combine, uniform
from ussim.render.physics.vector import dot, normalise

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_GRAZING = np.float32(1e-3)
_LARGEST_CURVATURE = np.float32(1.0)  # 1/mm: a mesh knows no sharper bend
_TUBE_LIMITS = np.float32(0.1), np.float32(2.0)


@device
def trace_ray(path, geometry, media, beam, poses, sheets, passed, stack, stack_t):
    """Trace ray ``path`` (frame, layer, ray, scanline) and write its amplitude at every node, ``passed``, float32."""
    line = path % beam.scanlines
    ray = (path // beam.scanlines) % beam.rays
    layer = (path // (beam.scanlines * beam.rays)) % beam.layers
    frame = path // (beam.scanlines * beam.rays * beam.layers)
    pose = poses[frame]
    ex, ey, ez = pose[0, 1], pose[1, 1], pose[2, 1]
    is_central = layer == beam.layers // 2
    slope = _ZERO if is_central else piece_slope(beam, layer, np.int64(0))
    x, z, sin, cos = line_start(beam.lines, line)
    beside, ahead = beam.element_mm[ray] * cos, beam.element_mm[ray] * sin
    x, y, z, dx, dy, dz = scene_ray(
        pose, x + beam.element_mm[ray], z, beam.ray_direction[ray, line, 0], beam.ray_direction[ray, line, 1],
        beam.sheet_mm[layer, 0], slope,
    )  # fmt: skip
    last = beam.ray_end[ray]
    is_phased = beam.apex_radius_mm == _ZERO and beam.linear_pitch_mm == _ZERO
    if is_phased:
        inside = surfaces_around(geometry, x, y, z, -dx, -dy, -dz, stack, stack_t)
    else:  # all rays of a scanline begin where the sheet's does
        inside = sheets.around[(frame * beam.scanlines + line) * beam.layers + layer]
    medium = medium_of(geometry, inside)
    node = np.int64(0)
    amplitude = _ONE
    if is_gas(media.impedance_mrayl[medium]):
        amplitude = _ZERO  # an element over air is silent
    gone = _ZERO  # length of the way so far
    skip = np.int32(-1)
    piece = beam.pieces if is_central else 1  # the next one
    next_piece = beam.piece_node[piece] if piece < beam.pieces else beam.nodes
    # Width and slope of the ray's tube per unit angle at the element: as bent, and as it would be between flat walls.
    wx, qx, fx, px = _ZERO, _ONE, _ZERO, _ONE
    wy, qy, fy, py = _ZERO, _ONE, _ZERO, _ONE
    is_bent = np.bool_(False)
    crossings = 0
    while node < last and amplitude > _ZERO and crossings < 4 * beam.max_segments:
        crossings += 1
        goal = min(last, next_piece)
        end = min(goal, beam.nodes - 1)
        reach = way_to(end, is_phased, beam.node_mm, beside, ahead, ray, beam.ray_length_mm) - gone
        s, triangle, inside, after = next_interface(
            geometry, x, y, z, dx, dy, dz, NUDGE_MM if skip >= 0 else _ZERO, reach, skip, inside, medium, stack, stack_t
        )
        if triangle < 0:
            s = reach
        loss = _HALF * media.loss_db_per_mm[medium]
        past = first_past(gone + s, node, goal, is_phased, beam.node_mm, beside, ahead, ray, beam.ray_length_mm)
        fill_nodes(
            passed, beam.ray_length_mm, ray, node, past, gone, amplitude, loss, is_bent,
            wx, qx, fx, px, wy, qy, fy, py, is_phased, beam.node_mm, beside, ahead,
        )  # fmt: skip
        node = past
        x, y, z = x + s * dx, y + s * dy, z + s * dz
        gone = gone + s
        amplitude = amplitude * amplitude_after(loss, s)
        wx, wy = wx + qx * s, wy + qy * s
        fx, fy = fx + px * s, fy + py * s
        if triangle < 0:
            if goal >= last:
                while node < last:
                    passed[node] = amplitude
                    node += 1
                break
            bend = piece_slope(beam, layer, piece) - piece_slope(beam, layer, piece - 1)
            dx, dy, dz = normalise(dx + bend * ex, dy + bend * ey, dz + bend * ez)
            piece += 1
            next_piece = beam.piece_node[piece] if piece < beam.pieces else beam.nodes
            continue

        beyond = medium_of(geometry, after)
        gx, gy, gz = normal_of(geometry, triangle)
        nx, ny, nz = smooth_normal_of(geometry, triangle, x, y, z)
        if dot(dx, dy, dz, gx, gy, gz) > _ZERO:
            gx, gy, gz = -gx, -gy, -gz
            nx, ny, nz = -nx, -ny, -nz
        exponent = min(media.roughness_exponent[medium], media.roughness_exponent[beyond])
        key = combine(place_key(x, y, z), np.uint32(ray))
        mx, my, mz = rough_normal(nx, ny, nz, exponent, uniform(key, 2), uniform(key, 3))
        cos_f = min(_ONE, max(_GRAZING, -dot(dx, dy, dz, mx, my, mz)))
        ratio = media.speed_ratio[beyond] / media.speed_ratio[medium]
        r = reflection(
            cos_f, transmitted_cosine(cos_f, ratio), media.impedance_mrayl[medium], media.impedance_mrayl[beyond]
        )
        amplitude = amplitude * np.float32(math.sqrt(max(_ZERO, _ONE - r * r)))

        cos_i = min(_ONE, max(_GRAZING, -dot(dx, dy, dz, nx, ny, nz)))
        cos_t = transmitted_cosine(cos_i, ratio)
        if cos_t > _GRAZING:
            # Lateral: in the plane of incidence, about; elevational: across it.
            ux, uy, uz = normalise(ey * dz - ez * dy, ez * dx - ex * dz, ex * dy - ey * dx)
            is_bent = True
            bend = curvature(geometry, triangle, nx, ny, nz, ux, uy, uz)
            turned = bend * wx / cos_i
            widening = cos_t / cos_i
            qx = ratio / widening * (qx + turned) - turned
            wx = wx * widening
            px = ratio / widening * px
            fx = fx * widening
            bend = curvature(geometry, triangle, nx, ny, nz, ex, ey, ez)
            qy = ratio * qy + bend * wy * (ratio * cos_i - cos_t)
            py = ratio * py
            tx, ty, tz = refract(dx, dy, dz, nx, ny, nz, cos_t, ratio)
            if dot(tx, ty, tz, gx, gy, gz) < -_GRAZING:  # else go straight on: it must leave the surface behind
                dx, dy, dz = tx, ty, tz
        inside = after
        medium = beyond
        skip = triangle
    while node < last:
        passed[node] = _ZERO
        node += 1


@device
def way_to(node, is_phased, node_mm, beside, ahead, ray, ray_length_mm):
    """Length of a ray from its element to the depth of a node [mm]."""
    if not is_phased:
        return ray_length_mm[ray, node]
    return phased_way(node, node_mm, beside, ahead)


@device
def phased_way(node, node_mm, beside, ahead):
    """That of a phased array, which depends on the scanline: the element's distance from the middle of the face is
    ``beside`` across the ray and ``ahead`` along it."""
    depth = np.float32(node) * node_mm
    return max(_ZERO, np.float32(math.sqrt(max(_ZERO, depth * depth - beside * beside))) - ahead)


@device
def first_past(way, node, goal, is_phased, node_mm, beside, ahead, ray, ray_length_mm):
    """The first node, from ``node`` on and ``goal`` at most, that lies more than ``way`` mm along a ray."""
    # No two nodes are nearer than they are on a scanline: so this one lies past it, but for rounding.
    left = way - way_to(node, is_phased, node_mm, beside, ahead, ray, ray_length_mm)
    past = max(node, min(goal, node + np.int32(left / node_mm) + 2))
    while past > node and way_to(past - 1, is_phased, node_mm, beside, ahead, ray, ray_length_mm) > way:
        past -= 1
    return past


@device
def fill_nodes(
    passed, ray_length_mm, ray, first, last, gone, amplitude, loss, is_bent, wx, qx, fx, px, wy, qy, fy, py,
    is_phased, node_mm, beside, ahead,
):  # fmt: skip
    """Write the amplitude at the nodes ``first`` … ``last − 1`` of a straight stretch."""
    row = np.uint64(ray)
    # Unsigned indices, because Numba looks for negative ones in others, and the loop would not vectorise.
    for n in range(np.uint64(first), np.uint64(last)):
        way = (phased_way(n, node_mm, beside, ahead) if is_phased else ray_length_mm[row, n]) - gone
        value = amplitude * amplitude_after(loss, way)
        if is_bent:
            value *= np.float32(
                math.sqrt(tube_power(wx + qx * way, fx + px * way) * tube_power(wy + qy * way, fy + py * way))
            )
        passed[n] = value


@device
def tube_power(width, flat):
    """Power in a tube of a width over one that met flat walls only, for one of its two widths."""
    width = abs(width)
    power = min(_TUBE_LIMITS[1], max(_TUBE_LIMITS[0], flat / width))
    return _ONE if width < np.float32(1e-3) or flat < np.float32(1e-3) else power


@device
def curvature(geometry, triangle, nx, ny, nz, ux, uy, uz):
    """Curvature [1/mm] of a surface along a direction; positive if it bulges towards the side of the normal n."""
    along = dot(ux, uy, uz, nx, ny, nz)
    tx, ty, tz = ux - along * nx, uy - along * ny, uz - along * nz
    length = np.float32(math.sqrt(dot(tx, ty, tz, tx, ty, tz)))
    if length < np.float32(0.05):
        return _ZERO
    tx, ty, tz = tx / length, ty / length, tz / length
    cx, cy, cz = normal_change(geometry, triangle, tx, ty, tz)
    k = dot(cx, cy, cz, tx, ty, tz)
    outward = normal_of(geometry, triangle)
    if dot(outward[0], outward[1], outward[2], nx, ny, nz) < _ZERO:
        k = -k
    return min(_LARGEST_CURVATURE, max(-_LARGEST_CURVATURE, k))
