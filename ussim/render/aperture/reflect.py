"""Reflected paths: reverberation and mirror images.

What lies in front of a mirror is seen once more behind it, along the way that the mirror sends the beam, out and back
by the same path, and is shown at the time of flight. A plane mirror turns the beam of a scanline as a whole, so a
path begins as the scanline itself: at a wall that its sheet has met, with the amplitude that the whole aperture brings
there and back, times the reflectance R of the wall. A strong mirror sends out several paths, a weak one some by chance,
which then stand for those that were not traced: of walls of echo amplitude A, e = n·min(1, A/A₁) each.

From there on chance decides at each wall: a path is reflected with probability R, else transmitted. The share of the
amplitude that takes either way, both ways, is just that probability; so the mean over paths needs no further weight,
and where paths add up in power each has the amplitude A/√p instead of A/p, p being the probability of the path.

A mirror takes away from what it shows. A curved one, and facets of a rough one, spread the beam: see
:mod:`ussim.render.aperture.reverberate`. Paths are turned by one facet of each mirror, drawn by the place on the
mirror and by the number of the path. They end on the face of the probe, which is taken to absorb, and in a gas.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.inputs import COHERENT_SHOWN, REFLECTANCE, WALL_DEPTH
from ussim.render.aperture.lattice import place_key
from ussim.render.aperture.ray_starts import line_start, to_scene
from ussim.render.aperture.reverberate import BIN_MM, scatter_energy, see_tissue, see_wall
from ussim.render.aperture.sheets import scanline_row
from ussim.render.kernels.hits import NUDGE_MM, medium_of, next_interface, normal_change, normal_of, smooth_normal_of
from ussim.render.physics.interface import (
    coherent_fraction,
    is_gas,
    mirror,
    reflectance,
    reflection,
    refract,
    rough_normal,
    transmitted_cosine,
)
from ussim.render.physics.medium import amplitude_after, crossed
from ussim.render.physics.random import spread_uniform, uniform
from ussim.render.physics.vector import dot, normalise

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_FOUR = np.float32(4)
_SIX = np.float32(6)
_GRAZING = np.float32(1e-3)
_CLEAR_OF_WALL = np.float32(0.02)  # nodes
_STRONG = np.float32(0.02)  # two-way amplitude from which on a mirror sends out all of its paths
_FAR_MM = np.float32(1e4)
_LATE_MM = np.float32(3)  # echoes of a thick wall come no later behind it
_WIDEST_MIRROR = 24  # scanlines to either side: more fill every aperture
_LARGEST_CURVATURE = np.float32(1.0)  # 1/mm
_DRAWS = 5  # random numbers of a path at each wall: two for the facet, two for the way out and back, the choice
_COUNT = 1000  # number of the draw that rounds the number of paths


@device
def trace_reflected(index, geometry, media, beam, poses, sheets, seen, reflected, stack, stack_t):
    """Trace the paths that leave the walls of scanline ``index`` (frame × scanlines + line) and write what they see."""
    reflected.span[index, 0] = beam.samples
    reflected.span[index, 1] = 0
    pose = poses[index // beam.scanlines]
    for layer in range(beam.layers):
        sheet = index * beam.layers + layer
        row = scanline_row(sheet, beam)
        for wall in range(sheets.wall_count[row]):
            depth, shown = sheets.wall[row, wall, WALL_DEPTH], sheets.wall[row, wall, COHERENT_SHOWN]
            node = min(max(np.int32(depth / beam.node_mm - _CLEAR_OF_WALL), np.int32(0)), np.int32(beam.nodes - 2))
            here = seen[sheet, node]
            if here * beam.interface_gain < beam.least_strength or shown > beam.sample_mm * np.float32(beam.samples):
                break
            amplitude = here * sheets.wall[row, wall, REFLECTANCE]
            if amplitude * beam.interface_gain < beam.least_strength:
                continue
            hit = sheets.hit[sheet, wall]
            x, y, z = hit[0], hit[1], hit[2]
            expected = np.float32(beam.reflected_paths) * min(_ONE, amplitude / _STRONG)
            key = place_key(x, y, z)
            count = np.int32(expected + uniform(key, _COUNT))
            left, right = _ZERO, _ZERO
            if count > 0:
                clear(index, beam, shown, reflected)
                left = mirror_reach(np.int64(-1), sheet, wall, geometry, beam, sheets)
                right = mirror_reach(np.int64(1), sheet, wall, geometry, beam, sheets)
            for number in range(count):
                follow_path(
                    index, number, expected, key, geometry, media, beam, pose, sheets.hit_triangle[sheet, wall],
                    sheets.hit_inside[sheet, wall], x, y, z, hit[3], hit[4], hit[5], here, depth, shown, left, right,
                    beam.max_segments - wall, reflected, stack, stack_t,
                )  # fmt: skip
    scatter_energy(index, beam, pose, reflected)


@device
def clear(index, beam, shown, reflected):
    """Empty a line from a depth on, as far as it is not in use already."""
    first = min(max(np.int32(shown / beam.sample_mm) - 2, np.int32(0)), beam.samples)
    bins_per_sample = beam.sample_mm * np.float32(1 / BIN_MM)
    used = np.int32(np.float32(reflected.span[index, 0]) * bins_per_sample)
    if reflected.span[index, 0] == beam.samples:
        used = np.int32(reflected.energy.shape[1])
    for slot in range(np.int32(np.float32(first) * bins_per_sample), used):
        reflected.energy[index, slot] = _ZERO
    for sample in range(first, reflected.span[index, 0]):
        reflected.real[index, sample] = _ZERO
        reflected.imag[index, sample] = _ZERO
    reflected.span[index, 0] = min(first, reflected.span[index, 0])


@device
def mirror_reach(side, sheet, wall, geometry, beam, sheets):
    """How far a wall that a line of a sheet meets goes on to one side of the line [mm].

    As far as neighbouring lines meet the same side of the same surface nearby, at an angle at which it reflects as much
    or nearly so. At the end of the array the aperture ends too, and what is missing there is missed.
    """
    line = (sheet // beam.layers) % beam.scanlines
    depth = sheets.wall[scanline_row(sheet, beam), wall, WALL_DEPTH]
    triangle = sheets.hit_triangle[sheet, wall]
    surface = geometry.triangle_surface[triangle]
    hit = sheets.hit[sheet, wall]
    cosine = dot(hit[3], hit[4], hit[5], *normal_of(geometry, triangle))
    pitch = beam.linear_pitch_mm + (beam.apex_radius_mm + depth) * beam.angular_pitch_rad
    step_mm = _ONE + _FOUR * pitch / max(np.float32(0.05), abs(cosine))
    least = np.float32(0.5) * sheets.wall[scanline_row(sheet, beam), wall, REFLECTANCE]
    for step in range(1, _WIDEST_MIRROR):
        if line + side * step < 0 or line + side * step >= beam.scanlines:
            return _FAR_MM
        beside = sheet + side * step * beam.layers
        row = scanline_row(beside, beam)
        found = False
        for k in range(sheets.wall_count[row]):
            at = sheets.wall[row, k, WALL_DEPTH]
            if abs(at - depth) < step_mm and sheets.wall[row, k, REFLECTANCE] > least:
                other = sheets.hit_triangle[beside, k]
                direction = sheets.hit[beside, k]
                facing = dot(direction[3], direction[4], direction[5], *normal_of(geometry, other))
                if geometry.triangle_surface[other] == surface and facing * cosine > _ZERO:
                    depth, found = at, True
                    break
        if not found:
            return (np.float32(step) - np.float32(0.5)) * pitch
    return _FAR_MM


@device
def follow_path(
    index, number, expected, key, geometry, media, beam, pose, triangle, inside, x, y, z, dx, dy, dz,
    amplitude, gone, shown, left, right, segments, reflected, stack, stack_t,
):  # fmt: skip
    """Follow one path from the wall that it is reflected at, and write what it sees.

    Args:
        index, number: Scanline, path of this wall.
        expected: How many paths leave the wall on average.
        key: Of the place on the wall.
        triangle, inside, x, y, z, dx, dy, dz: The wall, the surfaces around the path before it, where, in which
            direction.
        amplitude: Two-way, up to the wall.
        gone, shown: Length of the way up to the wall, and the depth that is displayed for it.
        left, right: How far the wall reaches to either side of the scanline [mm].
        segments: Walls that it may meet.
        reflected: Where to write.
    """
    layers = np.float32(beam.layers)
    bottom = beam.sample_mm * np.float32(beam.samples)
    medium = medium_of(geometry, inside)
    # Two axes across the path. Along each, width and slope of the tube of rays per unit angle at the probe, as curved
    # mirrors bend it; and, by facets, variance of the width, of the slope, and what they have in common.
    _, _, sin, cos = line_start(beam.lines, index % beam.scanlines)
    ux, uy, uz = to_scene(pose, cos, _ZERO, -sin)
    mirror_at = gone
    wu, qu, wv, qv = gone, _ONE, gone, _ONE
    blur, blur_slope, slopes = _ZERO, _ZERO, _ZERO
    even = _ONE  # share of the power that keeps its phase
    chance = expected  # of the way so far
    reflections = 0
    is_entering = dot(dx, dy, dz, *normal_of(geometry, triangle)) < _ZERO
    after = crossed(inside, geometry.triangle_surface[triangle], is_entering)
    for step in range(segments):
        beyond = medium_of(geometry, after)
        gx, gy, gz = normal_of(geometry, triangle)
        nx, ny, nz = smooth_normal_of(geometry, triangle, x, y, z)
        if dot(dx, dy, dz, gx, gy, gz) > _ZERO:
            gx, gy, gz = -gx, -gy, -gz
            nx, ny, nz = -nx, -ny, -nz
        along = dot(ux, uy, uz, dx, dy, dz)
        ux, uy, uz = normalise(ux - along * dx, uy - along * dy, uz - along * dz)
        vx, vy, vz = dy * uz - dz * uy, dz * ux - dx * uz, dx * uy - dy * ux
        thickness = max(media.thickness_mm[medium], media.thickness_mm[beyond])
        exponent = min(media.roughness_exponent[medium], media.roughness_exponent[beyond])
        ratio = media.speed_ratio[beyond] / media.speed_ratio[medium]
        strength = amplitude * beam.interface_gain * beam.echo_gain
        if step > 0 and strength > beam.least_strength * min(_ONE, chance):
            cos_i = min(_ONE, max(_GRAZING, -dot(dx, dy, dz, nx, ny, nz)))
            r = reflection(
                cos_i, transmitted_cosine(cos_i, ratio), media.impedance_mrayl[medium], media.impedance_mrayl[beyond]
            )
            see_wall(
                index, strength, chance, layers, even, gone, shown, wu, wv, blur, blur_slope,
                gone - mirror_at, left, right, r, exponent, thickness, place_key(x, y, z),
                dot(nx, ny, nz, ux, uy, uz), dot(nx, ny, nz, vx, vy, vz),
                cos_i, beam.wavelength_mm, beam.diffuse_share, beam.least_strength, beam.turns_per_mm, beam.sample_mm,
                beam.node_mm, beam.face_lateral, beam.face_elevational, beam.across, beam.slice,
                reflected.real, reflected.imag, reflected.energy,
            )  # fmt: skip
        draw = _DRAWS * step
        mx, my, mz = rough_normal(
            nx, ny, nz, exponent, spread_uniform(key, number, draw), spread_uniform(key, number, draw + 1)
        )
        if -dot(dx, dy, dz, mx, my, mz) < _GRAZING:  # a facet that looks away from the path
            mx, my, mz = gx, gy, gz
        cos_i = min(_ONE, -dot(dx, dy, dz, mx, my, mz))
        cos_t = transmitted_cosine(cos_i, ratio)
        # Out from one element of the aperture and back to another: each meets the wall at an angle of its own.
        node = min(beam.nodes - 1, np.int32(gone / beam.node_mm))
        wide = np.float32(math.sqrt(_SIX * beam.face_lateral[node])) * dot(ux, uy, uz, mx, my, mz)
        out, back = _ZERO, _ZERO
        for way in range(2):
            part = min(_ONE, cos_i + wide * (_TWO * spread_uniform(key, number, draw + 2 + way) - _ONE))
            reflected_part = _ZERO
            if part > _ZERO:
                reflected_part = reflectance(
                    part, transmitted_cosine(part, ratio), media.impedance_mrayl[medium], media.impedance_mrayl[beyond]
                )
            out, back = back, reflected_part
        share = np.float32(math.sqrt(out * back))
        into_gas = is_gas(media.impedance_mrayl[beyond])
        if step == 0 or into_gas or spread_uniform(key, number, draw + 4) < share:
            reflections += 1
            if reflections > beam.max_reflections:
                return
            amplitude = amplitude * share
            if step > 0 and not into_gas:
                chance = chance * share
            # Bulging or hollow: a beam that is in focus everywhere loses by either.
            qu += abs(wu * bending(geometry, triangle, dx, dy, dz, nx, ny, nz, ux, uy, uz))
            qv += abs(wv * bending(geometry, triangle, dx, dy, dz, nx, ny, nz, vx, vy, vz))
            slopes += _FOUR / (exponent + _ONE)
            kept = coherent_fraction(thickness, beam.wavelength_mm)
            even = even * kept * kept  # met twice
            ux, uy, uz = mirror(ux, uy, uz, nx, ny, nz)
            rx, ry, rz = mirror(dx, dy, dz, mx, my, mz)
            if dot(rx, ry, rz, gx, gy, gz) < _GRAZING:  # would dive below the surface it left
                rx, ry, rz = mirror(dx, dy, dz, gx, gy, gz)
            dx, dy, dz = rx, ry, rz
        else:
            amplitude = amplitude * np.float32(math.sqrt((_ONE - out) * (_ONE - back)))
            chance = chance * (_ONE - share)
            tx, ty, tz = refract(dx, dy, dz, mx, my, mz, cos_t, ratio)
            if dot(tx, ty, tz, gx, gy, gz) < -_GRAZING:  # else go straight on: it must leave the surface behind
                dx, dy, dz = tx, ty, tz
            inside = after
            medium = beyond
        if amplitude * beam.interface_gain < beam.least_strength * np.float32(math.sqrt(chance)):
            return

        way = (bottom - shown) * media.speed_ratio[medium]
        reach = min(way, way_to_face(beam, pose, x, y, z, dx, dy, dz))
        s, next_triangle, inside, after = next_interface(
            geometry, x, y, z, dx, dy, dz, NUDGE_MM, reach, triangle, inside, medium, stack, stack_t
        )
        if next_triangle < 0:
            s = reach
        end = np.int32((shown + s / media.speed_ratio[medium] + _LATE_MM) / beam.sample_mm)
        reflected.span[index, 1] = max(reflected.span[index, 1], min(end, beam.samples))
        loss = media.loss_db_per_mm[medium]
        if media.scatter_density[medium] > _ZERO:
            density, mean, std = media.scatter_density[medium], media.scatter_mean[medium], media.scatter_std[medium]
            power = density * (std * std + (_ONE - density) * mean * mean) / beam.reference_mm
            power *= amplitude * amplitude / (chance * layers)
            if power > beam.least_strength * beam.least_strength:
                see_tissue(
                    index, s, power, loss, gone, shown, media.speed_ratio[medium], wu, qu, wv, qv,
                    blur, blur_slope, slopes, gone - mirror_at, left, right, _ONE / beam.node_mm, beam.across,
                    beam.slice, beam.face_lateral, reflected.energy,
                )  # fmt: skip
        if next_triangle < 0:
            return
        x, y, z = x + s * dx, y + s * dy, z + s * dz
        triangle = next_triangle
        gone = gone + s
        shown = shown + s / media.speed_ratio[medium]
        amplitude = amplitude * amplitude_after(loss, s)
        wu, wv = wu + qu * s, wv + qv * s
        blur = blur + s * (_TWO * blur_slope + slopes * s)
        blur_slope = blur_slope + slopes * s


@device
def bending(geometry, triangle, dx, dy, dz, nx, ny, nz, ux, uy, uz):
    """Change of a tube's slope per width at a mirror, along the axis u across the ray d [1/mm].

    2·cos θ·II(t, t), with t the step on the wall that is 1 mm along u, and II its curvature (Igehy 1999).
    """
    cos_i = max(np.float32(0.05), -dot(dx, dy, dz, nx, ny, nz))
    along = dot(ux, uy, uz, nx, ny, nz) / cos_i
    tx, ty, tz = ux + along * dx, uy + along * dy, uz + along * dz
    cx, cy, cz = normal_change(geometry, triangle, tx, ty, tz)
    curvature = dot(cx, cy, cz, tx, ty, tz)
    gx, gy, gz = normal_of(geometry, triangle)
    if dot(gx, gy, gz, nx, ny, nz) < _ZERO:
        curvature = -curvature
    limit = _LARGEST_CURVATURE * dot(tx, ty, tz, tx, ty, tz)
    return _TWO * cos_i * min(limit, max(-limit, curvature))


@device
def way_to_face(beam, pose, x, y, z, dx, dy, dz):
    """Length of a ray up to the face of the probe [mm]; very long if it does not come by."""
    # In the probe's frame, in the image plane: from the middle of the face, or from the apex of a convex one.
    px, py, pz = x - pose[0, 3], y - pose[1, 3], z - pose[2, 3]
    across = dot(px, py, pz, pose[0, 0], pose[1, 0], pose[2, 0])
    deep = dot(px, py, pz, pose[0, 2], pose[1, 2], pose[2, 2]) + beam.apex_radius_mm
    to_side = dot(dx, dy, dz, pose[0, 0], pose[1, 0], pose[2, 0])
    down = dot(dx, dy, dz, pose[0, 2], pose[1, 2], pose[2, 2])
    if beam.apex_radius_mm == _ZERO:
        return max(_ZERO, -deep / down) if down < _ZERO else _FAR_MM
    a = to_side * to_side + down * down
    b = across * to_side + deep * down
    c = across * across + deep * deep - beam.apex_radius_mm * beam.apex_radius_mm
    root = b * b - a * c
    if b >= _ZERO or root <= _ZERO:
        return _FAR_MM
    return max(_ZERO, (-b - np.float32(math.sqrt(root))) / a)
