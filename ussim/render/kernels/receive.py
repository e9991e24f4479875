"""From complex baseband lines to grey levels on the polar grid: pulse, noise, envelope, gain, log compression.

On a CPU the pulse and the average over a pixel work on a span of samples, where the innermost loop vectorises; on a GPU
on one sample a thread, in registers. Both add up in the same order.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.physics.functions import exponential, mantissa_and_exponent
from ussim.render.physics.random import bell, combine
from ussim.render.physics.scatter import phasor

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_TINY_POWER = np.float32(1e-30)
_ONE = np.float32(1)
_DB_PER_OCTAVE = np.float32(10 * math.log10(2))
_DB_PER_ARTANH = np.float32(20 / math.log(10))
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
def pulse_sample(index, sample, display, raw_real, raw_imag):
    """One sample of what :func:`pulse_span` writes: (real, imaginary)."""
    half = display.pulse.size // 2
    real, imag = _ZERO, _ZERO
    for k in range(max(-half, -sample), min(half, raw_real.shape[1] - 1 - sample) + 1):
        w, at = display.pulse[np.uint32(half + k)], np.uint32(sample + k)
        real += w * raw_real[index, at]
        imag += w * raw_imag[index, at]
    return real, imag


@device
def add_scaled(out, values, weight):
    """out += weight · values."""
    for n in range(out.size):
        out[n] += weight * values[n]


@device
def add_pulse(index, depth, amplitude, beam, display, out_real, out_imag, lane, lanes):
    """Add one echo at a depth: the pulse's envelope around it, with the phase of its depth.

    Of the samples it adds to every ``lanes``-th, number ``lane`` and so on: threads that share a line keep its order.
    """
    real, imag = phasor(depth * beam.turns_per_mm)
    reach = _PULSE_REACH * display.pulse_sigma_mm
    first = max(0, int(math.ceil((depth - reach) / beam.sample_mm)))
    last = min(beam.samples - 1, int(math.floor((depth + reach) / beam.sample_mm)))
    for sample in range(first + (lane - first) % lanes, last + 1, lanes):
        x = (np.float32(sample) * beam.sample_mm - depth) / display.pulse_sigma_mm
        a = amplitude * exponential(-_HALF * x * x)
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
def grey_span(index, first, last, display, power, grey):
    """Envelope, gain and log compression of the samples ``first`` … ``last − 1`` of a line, to 0 … 255.

    The power is averaged over the depth of a pixel, so that an image of any size shows what lies between its rows.
    """
    half, end = display.half_window, np.int32(power.shape[1] - 1)
    for sample in range(first, last):
        grey[index, sample] = _ZERO
    for k in range(-half, half + 1):
        begin = max(first, -k)
        count = min(last, end + 1 - k) - begin
        if count > 0:
            add_scaled(grey[index, begin : begin + count], power[index, begin + k : begin + k + count], _ONE)
    line, gain, scale = grey[index], display.gain_db, display.grey_per_db
    for sample in range(first, last):
        number = np.int32(sample)
        low, high = max(np.int32(number - half), np.int32(0)), min(np.int32(number + half), end)
        averaged = np.float32(np.int32(high - low)) + _ONE
        line[sample] = grey_level(line[sample] / averaged, gain[sample], scale)


@device
def grey_sample(index, sample, display, power):
    """One sample of what :func:`grey_span` writes."""
    half, end = display.half_window, np.int32(power.shape[1] - 1)
    low, high = max(np.int32(sample - half), np.int32(0)), min(np.int32(sample + half), end)
    total = _ZERO
    for at in range(low, high + 1):
        total += power[index, np.uint32(at)]
    averaged = np.float32(np.int32(high - low)) + _ONE
    return grey_level(total / averaged, display.gain_db[sample], display.grey_per_db)


@device
def grey_level(power, gain_db, grey_per_db):
    """Grey level, 0 … 255, of a power."""
    return min(np.float32(255), max(_ZERO, (decibels(max(_TINY_POWER, power)) + gain_db) * grey_per_db))


@device
def decibels(power):
    """10·log10 of a positive normal float32 to 4e-5 dB, without a library call, so that loops vectorise.

    ln m = 2·artanh((m − 1)/(m + 1)), by its series, for the mantissa m between √½ and √2.
    """
    mantissa, exponent = mantissa_and_exponent(power)
    ratio = (mantissa - _ONE) / (mantissa + _ONE)
    squared = ratio * ratio
    series = _ONE + squared * (np.float32(1 / 3) + squared * (np.float32(1 / 5) + squared * np.float32(1 / 7)))
    return _DB_PER_OCTAVE * exponent + _DB_PER_ARTANH * ratio * series
