"""Stage 2: gather the scatterers along the paths of a scanline into complex baseband samples.

Every tap adds the scatterer of the cell it stands in, as the medium of its path has it, with the phase of where
that scatterer is. The CPU walks segment by segment, so that the innermost loop vectorises; a GPU thread owns one
sample and looks its segments up. Both call :func:`tap_echo`.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.kernels.inputs import FIRST, LAST, MEDIUM
from ussim.render.physics.scatter import lattice_echo, phasor

_ZERO = np.float32(0)


@device
def tap_echo(
    depth, ox, oy, oz, dx, dy, dz, turns_per_mm, cells_per_mm, pitch_mm, salt, density, mean, std
):  # fmt: skip
    """Complex echo of unit amplitude of the scatterer at the point o + d·depth."""
    reflectivity, offset = lattice_echo(
        ox + depth * dx, oy + depth * dy, oz + depth * dz, dx, dy, dz,
        cells_per_mm, pitch_mm, salt, density, mean, std,
    )  # fmt: skip
    real, imag = phasor((depth + offset) * turns_per_mm)
    return reflectivity * real, reflectivity * imag


@device
def march_span(
    real, imag, decay, first, sample_mm, amplitude, ox, oy, oz, dx, dy, dz,
    turns_per_mm, cells_per_mm, pitch_mm, salt, density, mean, std,
):  # fmt: skip
    """Add the echoes of one tap along one segment to the samples ``first`` … of a line."""
    for n in range(real.size):
        depth = np.float32(first + n) * sample_mm
        re, im = tap_echo(depth, ox, oy, oz, dx, dy, dz, turns_per_mm, cells_per_mm, pitch_mm, salt, density, mean, std)
        a = amplitude * decay[n]
        real[n] += a * re
        imag[n] += a * im


@device
def tap_weight(beam, layer, tap):
    """Weight of one path of a tap: taps add up in power, the paths of a tap are averaged."""
    paths = max(1, (beam.rays - 1 - tap) // beam.taps + 1)
    return beam.incoherent_weight[layer] / (np.float32(math.sqrt(np.float32(beam.taps))) * np.float32(paths))


@device
def march_line(index, media, beam, paths, iq_real, iq_imag):
    """CPU: gather all paths of scanline ``index`` (frame × scanlines + line)."""
    iq_real[index, :] = _ZERO
    iq_imag[index, :] = _ZERO
    for layer in range(beam.layers):
        beam_index = index * beam.layers + layer
        for ray in range(beam.rays):
            path = beam_index * beam.rays + ray
            for k in range(paths.segment_count[path]):
                m = paths.span[path, k, MEDIUM]
                first = paths.span[path, k, FIRST]
                last = paths.span[path, k, LAST]
                if media.scatter_density[m] == _ZERO or first >= last:
                    continue
                for tap in range(ray % beam.taps, beam.taps, beam.rays):
                    line = paths.tap_line[beam_index * beam.taps + tap]
                    march_span(
                        iq_real[index, first:last], iq_imag[index, first:last], media.decay[m],
                        first, beam.sample_mm, tap_weight(beam, layer, tap) * paths.amplitude[path, k],
                        line[0], line[1], line[2], line[3], line[4], line[5],
                        beam.turns_per_mm, beam.cells_per_mm, beam.pitch_mm,
                        media.salt[m], media.scatter_density[m], media.scatter_mean[m], media.scatter_std[m],
                    )  # fmt: skip
    for sample in range(beam.samples):
        iq_real[index, sample] *= beam.tap_gain[sample]
        iq_imag[index, sample] *= beam.tap_gain[sample]


@device
def march_sample(index, sample, media, beam, paths):
    """GPU: gather one sample of scanline ``index``; returns its (real, imaginary) part."""
    depth = np.float32(sample) * beam.sample_mm
    total_real = _ZERO
    total_imag = _ZERO
    for layer in range(beam.layers):
        beam_index = index * beam.layers + layer
        for ray in range(beam.rays):
            path = beam_index * beam.rays + ray
            k = find_segment(paths, path, sample)
            if k < 0:
                continue
            m = paths.span[path, k, MEDIUM]
            if media.scatter_density[m] == _ZERO:
                continue
            amplitude = paths.amplitude[path, k] * media.decay[m, sample - paths.span[path, k, FIRST]]
            for tap in range(ray % beam.taps, beam.taps, beam.rays):
                line = paths.tap_line[beam_index * beam.taps + tap]
                re, im = tap_echo(
                    depth, line[0], line[1], line[2], line[3], line[4], line[5],
                    beam.turns_per_mm, beam.cells_per_mm, beam.pitch_mm,
                    media.salt[m], media.scatter_density[m], media.scatter_mean[m], media.scatter_std[m],
                )  # fmt: skip
                a = tap_weight(beam, layer, tap) * amplitude
                total_real += a * re
                total_imag += a * im
    return total_real * beam.tap_gain[sample], total_imag * beam.tap_gain[sample]


@device
def find_segment(paths, path, sample):
    """Number of the segment of a path that holds a sample, −1 if the path has ended before it."""
    low = 0
    high = paths.segment_count[path] - 1
    while low <= high:
        middle = (low + high) // 2
        if sample < paths.span[path, middle, FIRST]:
            high = middle - 1
        elif sample >= paths.span[path, middle, LAST]:
            low = middle + 1
        else:
            return middle
    return -1
