"""Stage 1: walk one path from interface to interface.

At an interface of reflectance R the path reflects with probability R and transmits otherwise. That accounts
for the way out; on the way back the echo loses the same share once more, which is the factor √R or √(1 − R)
on its amplitude (reciprocity). Summed over paths the power behind an interface is then (1 − R)², the two-way
value. Echoes that keep their phase add up in amplitude, not in power; they carry no such factor, since their
mean over paths is the two-way amplitude 1 − R already.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.kernels.hits import medium_of, next_interface, normal_of, surfaces_around
from ussim.kernels.inputs import (
    AMPLITUDE,
    COHERENT_AMPLITUDE,
    COHERENT_DEPTH,
    DX,
    DY,
    DZ,
    END,
    REFERENCE,
    ROUGH_AMPLITUDE,
    ROUGH_DEPTH,
    START,
    STRETCH,
    X,
    Y,
    Z,
)
from ussim.physics.interface import (
    coherent_fraction,
    lobe,
    mirror,
    reflectance,
    refract,
    rough_normal,
    transmitted_cosine,
    way_back,
)
from ussim.physics.medium import amplitude_after
from ussim.physics.random import combine, normal, uniform
from ussim.physics.vector import dot, normalise

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
def lens_start_and_slope(beam, layer, ray):
    """Elevational start [mm] and slope of a primary ray: from its draw on the lens to its draw in the focus."""
    shift = beam.layer_offset_mm[layer]
    start = shift + beam.ray_aperture[layer, ray] * beam.sigma_aperture_mm
    aim = shift + beam.ray_focus[layer, ray] * beam.sigma_focus_mm
    return start, (aim - start) / beam.elevation_focus_mm


@device
def trace_path(path, geometry, media, beam, poses, frame_keys, paths, stack, stack_t):
    """Trace path number ``path`` and write its segments and interface echoes."""
    ray = path % beam.rays
    layer = (path // beam.rays) % beam.layers
    line = (path // (beam.rays * beam.layers)) % beam.scanlines
    frame = path // (beam.rays * beam.layers * beam.scanlines)
    key = combine(frame_keys[frame], np.uint32(line))
    key = combine(combine(key, np.uint32(beam.layer_key[layer])), np.uint32(ray))

    start, slope = lens_start_and_slope(beam, layer, ray)
    lens = np.float32(math.sqrt(_ONE + slope * slope))  # the lens evens out the longer way of an oblique ray
    x, y, z, dx, dy, dz = scene_ray(beam, poses[frame], line, beam.ray_lateral[layer, ray], start, slope)
    inside = surfaces_around(geometry, x, y, z, -dx, -dy, -dz, stack, stack_t)
    medium = medium_of(geometry, inside)
    depth = _ZERO  # of the segment's origin
    start = _ZERO  # where its medium begins
    attenuation = _ONE  # two-way amplitude, of what attenuates and strays
    return_amplitude = _ONE  # √ of the probabilities on the way, for the way back
    coherent_weight = _ONE
    skip = np.int32(-1)
    reflections = 0
    echoes = 0
    count = 0
    while count < beam.max_segments:
        stretch = media.speed_ratio[medium] * lens
        reach = (beam.depth_mm - depth) * stretch
        s, triangle, inside, after = next_interface(
            geometry, x, y, z, dx, dy, dz, reach, skip, inside, medium, stack, stack_t
        )
        hit_depth = depth + s / stretch if triangle >= 0 else beam.depth_mm

        # The interface is fuzzy: its echo and the change of medium lie |N(0, thickness)| behind the hit.
        key_here = combine(key, np.uint32(count))
        fuzz = _ZERO
        thickness = _ZERO
        beyond = medium
        if triangle >= 0:
            beyond = medium_of(geometry, after)
            thickness = max(media.thickness_mm[medium], media.thickness_mm[beyond])
            fuzz = abs(normal(key_here, 0)) * thickness / stretch
        end = min(beam.depth_mm, max(start, hit_depth + fuzz))

        segment = paths.segment[path, count]
        segment[X], segment[Y], segment[Z] = x, y, z
        segment[DX], segment[DY], segment[DZ] = dx, dy, dz
        segment[REFERENCE] = depth
        segment[START] = start
        segment[END] = end
        segment[STRETCH] = stretch
        segment[AMPLITUDE] = attenuation * return_amplitude
        paths.segment_medium[path, count] = medium
        count += 1
        if triangle < 0 or hit_depth >= beam.depth_mm:
            break

        nx, ny, nz = normal_of(geometry, triangle)
        if dot(dx, dy, dz, nx, ny, nz) > _ZERO:
            nx, ny, nz = -nx, -ny, -nz
        exponent = min(media.roughness_exponent[medium], media.roughness_exponent[beyond])
        mx, my, mz = rough_normal(nx, ny, nz, exponent, key_here, 2)
        if -dot(dx, dy, dz, mx, my, mz) < _GRAZING:  # a facet that looks away from the ray
            mx, my, mz = nx, ny, nz
        cos_i = min(_ONE, -dot(dx, dy, dz, mx, my, mz))
        speed_ratio = media.speed_ratio[beyond] / media.speed_ratio[medium]
        cos_t = transmitted_cosine(cos_i, speed_ratio)
        reflected = reflectance(cos_i, cos_t, media.impedance_mrayl[medium], media.impedance_mrayl[beyond])
        ux, uy, uz = mirror(dx, dy, dz, mx, my, mz)

        attenuation = attenuation * amplitude_after(media.loss_db_per_mm[medium] * stretch, hit_depth - depth)
        strength = (
            beam.interface_gain
            * attenuation
            * np.float32(math.sqrt(reflected))
            * lobe(-dot(ux, uy, uz, dx, dy, dz), beam.lobe_exponent)
        )
        if strength > _ZERO:
            coherent = coherent_fraction(thickness, beam.wavelength_mm)
            echo = paths.echo[path, echoes]
            echo[COHERENT_DEPTH] = hit_depth
            echo[ROUGH_DEPTH] = hit_depth + fuzz
            echo[COHERENT_AMPLITUDE] = strength * coherent_weight * np.float32(math.sqrt(coherent))
            echo[ROUGH_AMPLITUDE] = strength * return_amplitude * np.float32(math.sqrt(_ONE - coherent))
            echoes += 1

        x, y, z = x + s * dx, y + s * dy, z + s * dz
        if uniform(key_here, 4) < reflected:
            reflections += 1
            if reflections > beam.max_reflections:
                break
            back = way_back(_TWO, exponent, beam.acceptance_rad)
            return_amplitude = return_amplitude * np.float32(math.sqrt(reflected))
            if dot(ux, uy, uz, nx, ny, nz) < _GRAZING:  # would dive below the surface it left
                ux, uy, uz = mirror(dx, dy, dz, nx, ny, nz)
            dx, dy, dz = ux, uy, uz
        else:
            back = way_back(abs(_ONE - speed_ratio), exponent, beam.acceptance_rad)
            return_amplitude = return_amplitude * np.float32(math.sqrt(_ONE - reflected))
            tx, ty, tz = refract(dx, dy, dz, mx, my, mz, cos_t, speed_ratio)
            if (
                dot(tx, ty, tz, nx, ny, nz) < -_GRAZING
            ):  # else go straight on: it must leave the surface behind
                dx, dy, dz = tx, ty, tz
            inside = after
            medium = beyond
        attenuation = attenuation * np.float32(math.sqrt(back))
        skip = triangle
        depth = hit_depth
        start = end

        power = return_amplitude * return_amplitude
        if power < _ROULETTE_POWER:
            survival = max(_ROULETTE_FLOOR, power / _ROULETTE_POWER)
            if uniform(key_here, 5) >= survival:
                break
            return_amplitude = return_amplitude / np.float32(math.sqrt(survival))
            coherent_weight = coherent_weight / survival
    paths.segment_count[path] = count
    paths.echo_count[path] = echoes
