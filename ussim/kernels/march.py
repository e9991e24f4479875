"""Stage 2: gather the scatterers along the paths of a scanline into complex baseband samples.

Every tap of every path adds the scatterer of the cell it stands in, with the phase of where that scatterer
is. The CPU walks segment by segment, so that the innermost loop vectorises; a GPU thread owns one sample and
looks its segments up. Both call :func:`sample_echo`.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.kernels.inputs import AMPLITUDE, DX, DY, DZ, END, REFERENCE, START, STRETCH, X, Y, Z
from ussim.physics.medium import amplitude_after
from ussim.physics.scatter import lattice_echo, phasor

_ZERO = np.float32(0)
_ONE = np.float32(1)


@device
def first_sample(beam, depth):
    """Index of the first sample at or behind a depth, clipped to the line."""
    index = np.int32(math.ceil(depth / beam.sample_mm))
    return min(max(index, np.int32(0)), np.int32(beam.samples))


@device
def tap_offset(beam, pose, line, layer, tap):
    """Offset of a tap from its ray, o + g·depth, in the scene frame: (ox, oy, oz, gx, gy, gz)."""
    u = np.float32(line) - np.float32(0.5) * np.float32(beam.scanlines - 1)
    theta = u * beam.angular_pitch_rad
    lateral_x = np.float32(math.cos(theta))
    lateral_z = -np.float32(math.sin(theta))
    at_zero = beam.linear_pitch_mm + beam.apex_radius_mm * beam.angular_pitch_rad
    across = beam.tap_lateral[layer, tap]
    a = across * at_zero
    b = across * beam.angular_pitch_rad
    up = beam.tap_aperture[layer, tap] * beam.sigma_aperture_mm
    rise = (beam.tap_focus[layer, tap] * beam.sigma_focus_mm - up) / beam.elevation_focus_mm
    ox, oz = a * lateral_x, a * lateral_z
    gx, gz = b * lateral_x, b * lateral_z
    return (
        pose[0, 0] * ox + pose[0, 1] * up + pose[0, 2] * oz,
        pose[1, 0] * ox + pose[1, 1] * up + pose[1, 2] * oz,
        pose[2, 0] * ox + pose[2, 1] * up + pose[2, 2] * oz,
        pose[0, 0] * gx + pose[0, 1] * rise + pose[0, 2] * gz,
        pose[1, 0] * gx + pose[1, 1] * rise + pose[1, 2] * gz,
        pose[2, 0] * gx + pose[2, 1] * rise + pose[2, 2] * gz,
    )


@device
def sample_echo(
    depth, along, px, py, pz, dx, dy, dz, ox, oy, oz, gx, gy, gz, shrink, turns_per_mm,
    cells_per_mm, salt, density, mean, std,
):  # fmt: skip
    """Complex echo of unit amplitude at one sample: the point (p + along·d + o + depth·g) and its scatterer."""
    x = px + along * dx + ox + depth * gx
    y = py + along * dy + oy + depth * gy
    z = pz + along * dz + oz + depth * gz
    reflectivity, offset = lattice_echo(x, y, z, dx, dy, dz, cells_per_mm, salt, density, mean, std)
    real, imag = phasor((depth + offset * shrink) * turns_per_mm)
    return reflectivity * real, reflectivity * imag


@device
def march_span(
    real, imag, decay, first, sample_mm, amplitude, reference, stretch, px, py, pz, dx, dy, dz,
    ox, oy, oz, gx, gy, gz, turns_per_mm, cells_per_mm, salt, density, mean, std,
):  # fmt: skip
    """Add the echoes of one tap along one segment to the samples ``first`` … of a line."""
    shrink = _ONE / stretch
    for n in range(real.size):
        depth = np.float32(first + n) * sample_mm
        along = (depth - reference) * stretch
        re, im = sample_echo(
            depth, along, px, py, pz, dx, dy, dz, ox, oy, oz, gx, gy, gz, shrink, turns_per_mm,
            cells_per_mm, salt, density, mean, std,
        )  # fmt: skip
        a = amplitude * decay[n]
        real[n] += a * re
        imag[n] += a * im


@device
def march_line(index, media, beam, poses, paths, iq_real, iq_imag):
    """CPU: gather all paths of scanline ``index`` (frame × scanlines + line)."""
    line = index % beam.scanlines
    frame = index // beam.scanlines
    iq_real[index, :] = _ZERO
    iq_imag[index, :] = _ZERO
    for layer in range(beam.layers):
        weight = beam.incoherent_weight[layer] / np.float32(math.sqrt(np.float32(beam.taps)))
        for ray in range(beam.rays):
            path = (index * beam.layers + layer) * beam.rays + ray
            for tap in range(ray, beam.taps, beam.rays):
                ox, oy, oz, gx, gy, gz = tap_offset(beam, poses[frame], line, layer, tap)
                for k in range(paths.segment_count[path]):
                    m = paths.segment_medium[path, k]
                    if media.scatter_density[m] == _ZERO:
                        continue
                    segment = paths.segment[path, k]
                    first = first_sample(beam, segment[START])
                    last = first_sample(beam, segment[END])
                    if first >= last:
                        continue
                    loss = media.loss_db_per_mm[m] * segment[STRETCH]
                    lag = np.float32(first) * beam.sample_mm - segment[REFERENCE]
                    march_span(
                        iq_real[index, first:last],
                        iq_imag[index, first:last],
                        media.decay[m],
                        first,
                        beam.sample_mm,
                        weight * segment[AMPLITUDE] * amplitude_after(loss, lag),
                        segment[REFERENCE], segment[STRETCH],
                        segment[X], segment[Y], segment[Z], segment[DX], segment[DY], segment[DZ],
                        ox, oy, oz, gx, gy, gz,
                        beam.turns_per_mm, beam.cells_per_mm,
                        media.salt[m], media.scatter_density[m], media.scatter_mean[m], media.scatter_std[m],
                    )  # fmt: skip


@device
def march_sample(index, sample, media, beam, poses, paths, iq_real, iq_imag):
    """GPU: gather one sample of scanline ``index``."""
    line = index % beam.scanlines
    frame = index // beam.scanlines
    depth = np.float32(sample) * beam.sample_mm
    total_real = _ZERO
    total_imag = _ZERO
    for layer in range(beam.layers):
        weight = beam.incoherent_weight[layer] / np.float32(math.sqrt(np.float32(beam.taps)))
        for ray in range(beam.rays):
            path = (index * beam.layers + layer) * beam.rays + ray
            k = find_segment(beam, paths, path, sample)
            if k < 0:
                continue
            m = paths.segment_medium[path, k]
            if media.scatter_density[m] == _ZERO:
                continue
            segment = paths.segment[path, k]
            first = first_sample(beam, segment[START])
            loss = media.loss_db_per_mm[m] * segment[STRETCH]
            lag = np.float32(first) * beam.sample_mm - segment[REFERENCE]
            amplitude = (
                weight * segment[AMPLITUDE] * amplitude_after(loss, lag) * media.decay[m, sample - first]
            )
            along = (depth - segment[REFERENCE]) * segment[STRETCH]
            for tap in range(ray, beam.taps, beam.rays):
                ox, oy, oz, gx, gy, gz = tap_offset(beam, poses[frame], line, layer, tap)
                re, im = sample_echo(
                    depth, along,
                    segment[X], segment[Y], segment[Z], segment[DX], segment[DY], segment[DZ],
                    ox, oy, oz, gx, gy, gz,
                    _ONE / segment[STRETCH], beam.turns_per_mm, beam.cells_per_mm,
                    media.salt[m], media.scatter_density[m], media.scatter_mean[m], media.scatter_std[m],
                )  # fmt: skip
                total_real += amplitude * re
                total_imag += amplitude * im
    iq_real[index, sample] = total_real
    iq_imag[index, sample] = total_imag


@device
def find_segment(beam, paths, path, sample):
    """Number of the segment of a path that holds a sample, −1 if the path has ended before it."""
    low = 0
    high = paths.segment_count[path] - 1
    while low <= high:
        middle = (low + high) // 2
        if sample < first_sample(beam, paths.segment[path, middle, START]):
            high = middle - 1
        elif sample >= first_sample(beam, paths.segment[path, middle, END]):
            low = middle + 1
        else:
            return middle
    return -1
