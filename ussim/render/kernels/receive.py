"""From complex baseband lines to grey levels on the polar grid: pulse, noise, envelope, gain, log compression.

The pulse works on a span of samples: a whole line on the CPU, where the innermost loop vectorises, one sample per
thread on a GPU.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.physics.random import bell, combine
from ussim.render.physics.scatter import phasor

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_TINY_POWER = np.float32(1e-30)
_DB_PER_LOG = np.float32(10 / math.log(10))
_PULSE_REACH = np.float32(3.5)  # standard deviations; the Gaussian is 0.002 there


@device
def pulse_span(index, first, last, display, raw_real, raw_imag, out_real, out_imag):
    """Convolve the samples ``first`` … ``last − 1`` of a line with the axial pulse."""
    half = display.pulse.size // 2
    samples = raw_real.shape[1]
    for sample in range(first, last):
        out_real[index, sample] = _ZERO
        out_imag[index, sample] = _ZERO
    for k in range(-half, half + 1):
        w = display.pulse[half + k]
        begin = max(first, -k)
        count = min(last, samples - k) - begin
        if count > 0:
            add_scaled(out_real[index, begin : begin + count], raw_real[index, begin + k : begin + k + count], w)
            add_scaled(out_imag[index, begin : begin + count], raw_imag[index, begin + k : begin + k + count], w)


@device
def add_scaled(out, values, weight):
    """out += weight · values."""
    for n in range(out.size):
        out[n] += weight * values[n]


@device
def add_pulse(index, depth, amplitude, beam, display, out_real, out_imag):
    """Add one echo at a depth: the pulse's envelope around it, with the phase of its depth."""
    real, imag = phasor(depth * beam.turns_per_mm)
    reach = _PULSE_REACH * display.pulse_sigma_mm
    first = max(0, int(math.ceil((depth - reach) / beam.sample_mm)))
    last = min(beam.samples - 1, int(math.floor((depth + reach) / beam.sample_mm)))
    for sample in range(first, last + 1):
        x = (np.float32(sample) * beam.sample_mm - depth) / display.pulse_sigma_mm
        a = amplitude * np.float32(math.exp(-_HALF * x * x))
        out_real[index, sample] += a * real
        out_imag[index, sample] += a * imag


@device
def power_sample(index, sample, beam, display, frame_keys, real, imag):
    """Power of one sample, with the receiver's noise."""
    counter = np.uint32((index % beam.scanlines) * beam.samples + sample)
    bits = combine(frame_keys[index // beam.scanlines], counter)
    real = real + display.noise * bell(bits)
    imag = imag + display.noise * bell(np.uint32(np.uint32(bits * np.uint32(0x9E3779B1)) ^ np.uint32(0x5BD1E995)))
    return real * real + imag * imag


@device
def grey_sample(index, sample, display, power):
    """Envelope, gain and log compression of one sample, to 0 … 255.

    The power is averaged over the depth of a pixel, so that an image of any size shows what lies between its rows.
    """
    first = max(0, sample - display.half_window)
    last = min(power.shape[1], sample + display.half_window + 1)
    total = _ZERO
    for k in range(first, last):
        total += power[index, k]
    mean = max(_TINY_POWER, total / np.float32(last - first))
    level_db = _DB_PER_LOG * np.float32(math.log(mean)) + display.gain_db[sample]
    return min(np.float32(255), max(_ZERO, level_db * display.grey_per_db))
