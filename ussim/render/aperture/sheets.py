"""What lies where. Straight lines through each layer's sheet give media, travel times and walls.

Outlines are thus where the surfaces are, displaced in range by the time of flight alone. The sheet of a layer
follows the elevational beam: it is a fixed number of its standard deviations off the image plane at every depth.

A wall echoes as far as it faces the aperture. Sound that leaves one element and comes back to another needs a
facet whose normal lies half-way between the two; over all pairs the tilts that serve are spread like a triangle,
here a Gaussian of the same variance. Facets of a rough wall are spread too. The share of an echo that is received
is the overlap of the two, per axis

    σ_a/√(σ_a² + σ_f²)·exp(−t²/(2·(σ_a² + σ_f²)))

with t the tilt of the wall, σ_a² that of the aperture and σ_f² = 1/(s + 1) that of the facets. A wall line stands for
a strip as wide as the distance to the next; a wall that turns by β across that strip has normals spread by β²/12 more,
about a tilt of t·(1 − β/π): of what is thinner than the strip all that can be seen, half a turn, lies in it. So a thin
wire throws little of its echo back, but the same from wherever it is met. Walls are tuned some 25 dB lower against
speckle than they are in truth, else they would be all that is seen; wires are not, and stand out as if they were as
wide as the distance of scanlines.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.inputs import (
    COHERENT_AMPLITUDE,
    COHERENT_SHOWN,
    REFLECTANCE,
    ROUGH_AMPLITUDE,
    ROUGH_SHOWN,
    SLANT,
    WALL_DEPTH,
)
from ussim.render.aperture.lattice import place_key
from ussim.render.aperture.ray_starts import line_start, piece_slope, scene_ray, to_scene
from ussim.render.kernels.hits import (
    NUDGE_MM,
    medium_of,
    next_interface,
    normal_change,
    normal_of,
    smooth_normal_of,
    surfaces_around,
)
from ussim.render.physics.functions import arctangent, exponential
from ussim.render.physics.interface import (
    coherent_fraction,
    is_gas,
    reflection,
    transmitted_cosine,
)
from ussim.render.physics.random import normal, uniform
from ussim.render.physics.vector import dot

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_STEEPEST = np.float32(0.02)  # cosine
_HALF_TURN = np.float32(math.pi)
_TINY_TURN = np.float32(1e-6)


@device
def trace_sheet(row, geometry, media, beam, poses, sheets, stack, stack_t):
    """Follow wall line ``row`` (frame, scanline, layer, wall line) through its sheet and write what it meets.

    All of them meet walls; the middle one of a scanline, which is the scanline itself, writes all else too.
    """
    index = row // beam.wall_lines
    is_scanline = row % beam.wall_lines == beam.wall_lines // 2
    layer = index % beam.layers
    line = (index // beam.layers) % beam.scanlines
    pose = poses[index // (beam.layers * beam.scanlines)]
    begin_x, begin_z, sin, cos = line_start(beam.wall_line_starts, line * beam.wall_lines + row % beam.wall_lines)
    ax, ay, az = to_scene(pose, cos, _ZERO, -sin)  # across the line
    ex, ey, ez = pose[0, 1], pose[1, 1], pose[2, 1]  # elevation

    inside = np.uint64(0)
    medium = np.int32(0)
    skip = np.int32(-1)
    depth = _ZERO  # along the line, of the last wall or the beginning of the piece
    shown = _ZERO  # displayed depth there
    fuzz = _ZERO  # thickness of the last wall
    walls = 0
    node = 0
    sample = 0
    loud = np.int32(0)
    silent = False
    is_central = layer == beam.layers // 2
    for piece in range(1 if is_central else beam.pieces):
        first = beam.piece_node[piece]
        slope = _ZERO if is_central else piece_slope(beam, layer, piece)
        end_node = beam.nodes - 1 if is_central else beam.piece_node[piece + 1]
        depth = np.float32(first) * beam.node_mm
        bottom = np.float32(end_node) * beam.node_mm
        stretch = np.float32(math.sqrt(_ONE + slope * slope))  # mm of path per mm of depth
        x, y, z, dx, dy, dz = scene_ray(pose, begin_x, begin_z, sin, cos, beam.sheet_mm[layer, first], slope)
        reach = depth * stretch
        x, y, z = x + dx * reach, y + dy * reach, z + dz * reach
        if piece > 0:  # the ray starts on the face in this direction: move over to where the piece begins
            lift = -slope * depth
            x, y, z = x + ex * lift, y + ey * lift, z + ez * lift
        if piece == 0:
            inside = surfaces_around(geometry, x, y, z, -dx, -dy, -dz, stack, stack_t)
            if is_scanline:
                sheets.around[index] = inside
            medium = medium_of(geometry, inside)
            silent = is_gas(media.impedance_mrayl[medium])
        top = depth
        # A wall on the joint of two pieces is rather met twice, which changes nothing, than lost.
        skip, began = np.int32(-1), (_ZERO if piece == 0 else -NUDGE_MM)
        while True:
            s, triangle, inside, after = next_interface(
                geometry, x, y, z, dx, dy, dz, began, (bottom - top) * stretch, skip, inside, medium, stack, stack_t
            )
            end = max(depth, top + s / stretch) if triangle >= 0 else bottom
            ratio = media.speed_ratio[medium]
            while is_scanline and node < beam.nodes and np.float32(node) * beam.node_mm <= end:
                sheets.shown_mm[index, node] = shown + (np.float32(node) * beam.node_mm - depth) / ratio
                node += 1
            while is_scanline and sample < beam.samples and np.float32(sample) * beam.sample_mm < end:
                sheets.medium[index, sample] = np.int32(medium)
                sheets.fuzz_mm[index, sample] = fuzz
                loud += np.int32(1) if media.scatter_density[medium] > _ZERO else np.int32(0)
                sheets.loud[index, sample] = loud
                sample += 1
            shown = shown + (end - depth) / ratio
            depth = end
            if triangle < 0:
                break
            beyond = medium_of(geometry, after)
            fuzz = max(media.thickness_mm[medium], media.thickness_mm[beyond])
            if walls < beam.max_segments and not silent:
                write_wall(
                    sheets.wall[row, walls], geometry, media, beam, triangle, medium, beyond, depth, shown, fuzz,
                    x + s * dx, y + s * dy, z + s * dz, dx, dy, dz, ax, ay, az, ex, ey, ez,
                )  # fmt: skip
                if is_scanline:
                    hit = sheets.hit[index, walls]
                    hit[0], hit[1], hit[2] = x + s * dx, y + s * dy, z + s * dz
                    hit[3], hit[4], hit[5] = dx, dy, dz
                    sheets.hit_triangle[index, walls] = np.int32(triangle)
                    sheets.hit_inside[index, walls] = inside
                walls += 1
            inside = after
            medium = beyond
            skip, began = triangle, s
    while is_scanline and sample < beam.samples:
        sheets.medium[index, sample] = np.int32(medium)
        sheets.fuzz_mm[index, sample] = fuzz
        loud += np.int32(1) if media.scatter_density[medium] > _ZERO else np.int32(0)
        sheets.loud[index, sample] = loud
        sample += 1
    while is_scanline and node < beam.nodes:
        sheets.shown_mm[index, node] = shown
        node += 1
    sheets.wall_count[row] = walls


@device
def scanline_row(sheet, beam):
    """Row of the walls that a scanline itself meets, of a row ``sheet`` of all else."""
    return sheet * beam.wall_lines + beam.wall_lines // 2


@device
def facing_share(tilt, aperture, facets):
    """Share of an echo that is received, of one axis: see the head of this file."""
    total = aperture + facets
    return np.float32(math.sqrt(aperture / total)) * exponential(-_HALF * tilt * tilt / total)


@device
def strip_turn(geometry, triangle, gx, gy, gz, ax, ay, az, strip_mm):
    """By how much a wall turns over a strip across the line [rad], by its curvature.

    ``g`` is the triangle's normal, ``a`` the direction across. Half a turn is all that a line can see of a wall.
    """
    along = dot(ax, ay, az, gx, gy, gz)
    tx, ty, tz = ax - along * gx, ay - along * gy, az - along * gz
    length = np.float32(math.sqrt(dot(tx, ty, tz, tx, ty, tz)))
    if length < _STEEPEST:
        return _HALF_TURN
    cx, cy, cz = normal_change(geometry, triangle, tx / length, ty / length, tz / length)
    return min(_HALF_TURN, abs(dot(cx, cy, cz, tx, ty, tz)) / (length * length) * strip_mm)


@device
def write_wall(
    wall, geometry, media, beam, triangle, medium, beyond, depth, shown, fuzz,
    x, y, z, dx, dy, dz, ax, ay, az, ex, ey, ez,
):  # fmt: skip
    """Write where a wall's echoes are shown and how strong they are, before what lies in front of it."""
    gx, gy, gz = normal_of(geometry, triangle)
    nx, ny, nz = smooth_normal_of(geometry, triangle, x, y, z)
    if dot(dx, dy, dz, gx, gy, gz) > _ZERO:
        nx, ny, nz = -nx, -ny, -nz
    cos_i = min(_ONE, max(np.float32(1e-3), -dot(dx, dy, dz, nx, ny, nz)))
    cos_t = transmitted_cosine(cos_i, media.speed_ratio[beyond] / media.speed_ratio[medium])
    r = reflection(cos_i, cos_t, media.impedance_mrayl[medium], media.impedance_mrayl[beyond])
    node = min(beam.nodes - 1, np.int32(depth / beam.node_mm))
    facets = _ONE / (min(media.roughness_exponent[medium], media.roughness_exponent[beyond]) + _ONE)
    lines = np.float32(beam.wall_lines)
    strip = (beam.linear_pitch_mm + (beam.apex_radius_mm + depth) * beam.angular_pitch_rad) / lines
    turn = strip_turn(geometry, triangle, gx, gy, gz, ax, ay, az, strip)
    turned = turn * turn * np.float32(1 / 12)
    lateral = arctangent(dot(nx, ny, nz, ax, ay, az), cos_i) * (_ONE - turn / _HALF_TURN)
    elevational = arctangent(dot(nx, ny, nz, ex, ey, ez), cos_i)
    share = facing_share(lateral, beam.face_lateral[node], facets + turned) * facing_share(
        elevational, beam.face_elevational[node], facets
    )
    accepted = beam.face_lateral[node] + facets
    coherent = coherent_fraction(fuzz, beam.wavelength_mm) * accepted / (accepted + turned)
    diffuse = beam.diffuse_share * cos_i * cos_i
    key = place_key(x, y, z)
    wall[WALL_DEPTH] = depth
    slope = abs(dot(nx, ny, nz, ax, ay, az)) / cos_i
    # A bent wall falls no further than its radius.
    wall[SLANT] = strip * min(slope, _ONE / max(turn, _TINY_TURN)) / media.speed_ratio[medium]
    wall[REFLECTANCE] = r * r
    wall[COHERENT_SHOWN] = shown
    # What is left of an echo that keeps no phase has one at random: half a wavelength of depth is a full turn.
    turn = _HALF * beam.wavelength_mm * (uniform(key, 2) - _HALF)
    wall[ROUGH_SHOWN] = shown + abs(normal(key, 0)) * fuzz + turn
    strength = beam.interface_gain * r
    wall[COHERENT_AMPLITUDE] = strength * share * np.float32(math.sqrt(coherent))
    power = share * (_ONE - coherent) + diffuse
    wall[ROUGH_AMPLITUDE] = strength * np.float32(math.sqrt(power * min(lines, max(_ONE, _HALF * turn * lines))))
