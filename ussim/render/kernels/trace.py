"""Stage 1: walk one path from interface to interface.

At an interface of reflectance R the path reflects with probability R and transmits otherwise. The two-way
amplitude behind it is 1 − R, out and back through the same interface; the mean over paths of unit amplitude is
just that. Where paths add up in power instead, :func:`scatter_weight` keeps the power right.

Media, times and amplitudes come from the path as it is bent and scattered; the texture does not. Scatterers are
looked up along the taps' straight lines, where the image will show them: all rays of a tap, and both qualities,
then see the same ones.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.kernels.hits import medium_of, next_interface, normal_of, smooth_normal_of, surfaces_around
from ussim.render.kernels.inputs import (
    COHERENT_AMPLITUDE,
    COHERENT_DEPTH,
    FIRST,
    FOCUS,
    LAST,
    LATERAL,
    LENS,
    MEDIUM,
    ROUGH_AMPLITUDE,
    ROUGH_DEPTH,
)
from ussim.render.physics.interface import (
    coherent_fraction,
    lobe,
    mirror,
    reflectance,
    refract,
    rough_normal,
    transmitted_cosine,
    way_back,
)
from ussim.render.physics.medium import amplitude_after
from ussim.render.physics.random import combine, normal, uniform
from ussim.render.physics.vector import dot, normalise

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_GRAZING = np.float32(1e-3)
# Paths of a return power below this play Russian roulette; survivors make up for the others.
_ROULETTE_POWER = np.float32(0.01)
_ROULETTE_FLOOR = np.float32(0.05)


@device
def scene_ray(beam, pose, line, lateral, start, slope):
    """Origin and unit direction in the scene of a ray of a scanline.

    Args:
        beam: Scanline geometry.
        pose: (4, 4) float32, probe → scene.
        line: Scanline number.
        lateral: Start off the scanline, in scanline pitches.
        start: Elevational start [mm].
        slope: Elevational slope.
    """
    u = np.float32(line) + lateral - np.float32(0.5) * np.float32(beam.scanlines - 1)
    theta = u * beam.angular_pitch_rad
    sin = np.float32(math.sin(theta))
    cos = np.float32(math.cos(theta))
    x = u * beam.linear_pitch_mm + beam.apex_radius_mm * sin
    z = beam.apex_radius_mm * (cos - _ONE)
    dx, dy, dz = normalise(sin, slope, cos)
    return (
        pose[0, 0] * x + pose[0, 1] * start + pose[0, 2] * z + pose[0, 3],
        pose[1, 0] * x + pose[1, 1] * start + pose[1, 2] * z + pose[1, 3],
        pose[2, 0] * x + pose[2, 1] * start + pose[2, 2] * z + pose[2, 3],
        pose[0, 0] * dx + pose[0, 1] * dy + pose[0, 2] * dz,
        pose[1, 0] * dx + pose[1, 1] * dy + pose[1, 2] * dz,
        pose[2, 0] * dx + pose[2, 1] * dy + pose[2, 2] * dz,
    )


@device
def lens_start_and_slope(beam, layer, start):
    """Elevational start [mm] and slope of a ray or tap: from its point on the lens to its point in the focus."""
    shift = beam.layer_offset_mm[layer]
    begin = shift + start[LENS] * beam.sigma_aperture_mm
    aim = shift + start[FOCUS] * beam.sigma_focus_mm
    return begin, (aim - begin) / beam.elevation_focus_mm


@device
def first_sample(beam, depth):
    """Index of the first sample at or behind a depth, clipped to the line."""
    index = np.int32(math.ceil(depth / beam.sample_mm))
    return min(max(index, np.int32(0)), np.int32(beam.samples))


@device
def store_tap_line(tap_line, beam, pose, line, layer, start):
    """Write the line a tap runs along in the scene, o + d·depth, as (o, d)."""
    begin, slope = lens_start_and_slope(beam, layer, start)
    x, y, z, dx, dy, dz = scene_ray(beam, pose, line, start[LATERAL], begin, slope)
    lens = np.float32(math.sqrt(_ONE + slope * slope))
    tap_line[0], tap_line[1], tap_line[2] = x, y, z
    tap_line[3], tap_line[4], tap_line[5] = dx * lens, dy * lens, dz * lens


@device
def scatter_weight(probability, drawn, rays_per_tap):
    """Amplitude of a path for scatter: right in power for any number of rays.

    A tap averages n paths, each of which takes this way with probability P' (``drawn``; below P where roulette
    thins paths out). The two-way amplitude is P. The mean power of the average of n such paths of amplitude w
    is w²·P'·(P' + (1 − P')/n); this is P² for the w returned: √P for a single ray, 1 for very many.
    """
    return probability / np.float32(math.sqrt(drawn * (drawn + (_ONE - drawn) / rays_per_tap)))


@device
def trace_path(path, geometry, media, beam, poses, frame_keys, paths, stack, stack_t):
    """Trace path number ``path`` and write its segments and interface echoes."""
    ray = path % beam.rays
    layer = (path // beam.rays) % beam.layers
    line = (path // (beam.rays * beam.layers)) % beam.scanlines
    frame = path // (beam.rays * beam.layers * beam.scanlines)
    key = combine(frame_keys[frame], np.uint32(line))
    key = combine(combine(key, np.uint32(beam.layer_key[layer])), np.uint32(ray))
    rays_per_tap = np.float32(max(1, (beam.rays - 1 - ray % beam.taps) // beam.taps + 1))
    if ray < beam.taps:
        for tap in range(ray, beam.taps, beam.rays):
            tap_line = paths.tap_line[(path // beam.rays) * beam.taps + tap]
            store_tap_line(tap_line, beam, poses[frame], line, layer, beam.tap_start[layer, tap])

    ray_start = beam.ray_start[layer, ray]
    begin, slope = lens_start_and_slope(beam, layer, ray_start)
    lens = np.float32(math.sqrt(_ONE + slope * slope))  # the lens evens out the longer way of an oblique ray
    x, y, z, dx, dy, dz = scene_ray(beam, poses[frame], line, ray_start[LATERAL], begin, slope)
    inside = surfaces_around(geometry, x, y, z, -dx, -dy, -dz, stack, stack_t)
    medium = medium_of(geometry, inside)
    depth = _ZERO  # of the ray's origin
    start = _ZERO  # where its medium begins: behind the origin if the interface is thick
    amplitude = _ONE  # two-way, of what is attenuated and what strays
    probability = _ONE  # of the way so far, one way
    drawn = _ONE  # the same including roulette
    skip = np.int32(-1)
    reflections = 0
    echoes = 0
    count = 0
    while count < beam.max_segments:
        stretch = media.speed_ratio[medium] * lens  # mm of path per mm of depth
        reach = (beam.depth_mm - depth) * stretch
        s, triangle, inside, after = next_interface(
            geometry, x, y, z, dx, dy, dz, reach, skip, inside, medium, stack, stack_t
        )
        hit_depth = depth + s / stretch if triangle >= 0 else beam.depth_mm

        # The interface is fuzzy: its echo and the change of medium lie |N(0, thickness)| behind the hit.
        key_here = combine(key, np.uint32(count))
        beyond = medium_of(geometry, after)
        thickness = max(media.thickness_mm[medium], media.thickness_mm[beyond])
        fuzz = abs(normal(key_here, 0)) * thickness / stretch
        end = min(beam.depth_mm, max(start, hit_depth + fuzz))

        first = first_sample(beam, start)
        loss = media.loss_db_per_mm[medium] * stretch
        lag = np.float32(first) * beam.sample_mm - depth
        weight = scatter_weight(probability, drawn, rays_per_tap)
        paths.amplitude[path, count] = weight * amplitude * amplitude_after(loss, lag)
        span = paths.span[path, count]
        span[MEDIUM], span[FIRST], span[LAST] = medium, first, first_sample(beam, end)
        count += 1
        if triangle < 0 or hit_depth >= beam.depth_mm:
            break

        x, y, z = x + s * dx, y + s * dy, z + s * dz
        gx, gy, gz = normal_of(geometry, triangle)
        nx, ny, nz = smooth_normal_of(geometry, triangle, x, y, z)
        if dot(dx, dy, dz, gx, gy, gz) > _ZERO:
            gx, gy, gz = -gx, -gy, -gz
            nx, ny, nz = -nx, -ny, -nz
        exponent = min(media.roughness_exponent[medium], media.roughness_exponent[beyond])
        mx, my, mz = rough_normal(nx, ny, nz, exponent, key_here, 2)
        if -dot(dx, dy, dz, mx, my, mz) < _GRAZING:  # a facet that looks away from the ray
            mx, my, mz = gx, gy, gz
        cos_i = min(_ONE, -dot(dx, dy, dz, mx, my, mz))
        speed_ratio = media.speed_ratio[beyond] / media.speed_ratio[medium]
        cos_t = transmitted_cosine(cos_i, speed_ratio)
        reflected = reflectance(cos_i, cos_t, media.impedance_mrayl[medium], media.impedance_mrayl[beyond])
        ux, uy, uz = mirror(dx, dy, dz, mx, my, mz)

        amplitude = amplitude * amplitude_after(loss, hit_depth - depth)
        strength = (
            beam.interface_gain
            * amplitude
            * np.float32(math.sqrt(reflected))
            * lobe(-dot(ux, uy, uz, dx, dy, dz), beam.lobe_exponent)
        )
        if strength > _ZERO:
            coherent = coherent_fraction(thickness, beam.wavelength_mm)
            echo = paths.echo[path, echoes]
            echo[COHERENT_DEPTH] = hit_depth
            echo[ROUGH_DEPTH] = hit_depth + fuzz
            # Coherent parts are averaged over rays in amplitude, the rest adds up in power.
            echo[COHERENT_AMPLITUDE] = strength * (probability / drawn) * np.float32(math.sqrt(coherent))
            echo[ROUGH_AMPLITUDE] = (
                strength * scatter_weight(probability, drawn, _ONE) * np.float32(math.sqrt(_ONE - coherent))
            )
            echoes += 1

        if uniform(key_here, 4) < reflected:
            reflections += 1
            if reflections > beam.max_reflections:
                break
            share = reflected
            back = way_back(_TWO, exponent, beam.acceptance_rad)
            if dot(ux, uy, uz, gx, gy, gz) < _GRAZING:  # would dive below the surface it left
                ux, uy, uz = mirror(dx, dy, dz, gx, gy, gz)
            dx, dy, dz = ux, uy, uz
        else:
            share = _ONE - reflected
            back = way_back(abs(_ONE - speed_ratio), exponent, beam.acceptance_rad)
            tx, ty, tz = refract(dx, dy, dz, mx, my, mz, cos_t, speed_ratio)
            if dot(tx, ty, tz, gx, gy, gz) < -_GRAZING:  # else go straight on: it must leave the surface behind
                dx, dy, dz = tx, ty, tz
            inside = after
            medium = beyond
        amplitude = amplitude * np.float32(math.sqrt(back))
        probability = probability * share
        drawn = drawn * share
        skip = triangle
        depth = hit_depth
        start = end

        if probability < _ROULETTE_POWER:
            survival = max(_ROULETTE_FLOOR, share)
            if uniform(key_here, 5) >= survival:
                break
            drawn = drawn * survival
    paths.segment_count[path] = count
    paths.echo_count[path] = echoes
