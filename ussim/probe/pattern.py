"""What an aperture sees beside its line: its two-way power over the lateral offset, main lobe and side lobes.

Transmit drives the elements of its aperture D alike and is focused once, at F; receive is focused at every depth and
weighs its elements with a window. In the paraxial approximation the one-way pressure at offset x and depth z is

    H(x) = ∫ w(e)·exp(iπ/λ·(e²·(1/z − 1/F) − 2·e·x/z)) de / ∫ w(e) de

Fresnel integrals for transmit, the window's transform for receive (Goodman, Introduction to Fourier Optics, §4). The
squares' product is averaged over the power spectrum of the pulse.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import fresnel

from ussim.probe.beam import FWHM_PER_SIGMA
from ussim.probe.probe import Probe

WINDOWS = {"gaussian": (1.0, 0.0), "rectangular": (1.0, 0.0), "hamming": (0.54, 0.46), "hann": (0.5, 0.5)}
"""Window of an apodisation over an aperture D, a + b·cos(2π·e/D), as (a, b)."""

_SPECTRUM = np.linspace(-2, 2, 9)  # standard deviations of the pulse's amplitude spectrum
_FLAT = 1e-3  # a wavefront's curvature across the aperture, in turns, below which it is flat


def window_transform(turns: np.ndarray, apodisation: str) -> np.ndarray:
    """Transform of a window over its value at 0; ``turns`` are D·x/(λz), of any shape."""
    mean, swing = WINDOWS[apodisation]
    return np.sinc(turns) + swing / mean / 2 * (np.sinc(turns - 1) + np.sinc(turns + 1))


def window_share(edge: np.ndarray, apodisation: str) -> np.ndarray:
    """Share of a window's weight on one side of an element, for elements of any shape, −1 to 1 across the aperture."""
    mean, swing = WINDOWS[apodisation]
    edge = np.clip(edge, -1, 1)
    return (1 + edge + swing / mean / np.pi * np.sin(np.pi * edge)) / 2


def two_way_power(probe: Probe, offset_mm: np.ndarray, depth_mm: float) -> np.ndarray:
    """Power with which scatterers beside a line enter it, over that on the line; for offsets of any shape [mm].

    It is integrated over range: ways from the elements to a place far aside differ by more than the pulse is long.
    """
    transmit_mm = min(probe.aperture_mm, probe.focus_mm / probe.f_number)
    receive_mm = min(probe.aperture_mm, depth_mm / probe.f_number)
    frequencies = 1 + _SPECTRUM * probe.bandwidth / FWHM_PER_SIGMA
    beside = np.append(np.ravel(offset_mm), 0.0)
    total = np.zeros(beside.size)
    for relative, weight in zip(frequencies, np.exp(-np.square(_SPECTRUM)), strict=True):
        if relative > 0:
            wavelength_mm = probe.wavelength_mm / relative
            out = _transmit(beside, depth_mm, wavelength_mm, transmit_mm, probe.focus_mm)
            back = window_transform(receive_mm * beside / (wavelength_mm * depth_mm), probe.apodisation)
            total += weight * np.square(out * back)
    return (total[:-1] / total[-1]).reshape(np.shape(offset_mm))


def _transmit(
    offset_mm: np.ndarray, depth_mm: float, wavelength_mm: float, aperture_mm: float, focus_mm: float
) -> np.ndarray:
    """Size of the transmitted pressure beside a line, over that in the focus."""
    per_turn = wavelength_mm * depth_mm
    curvature = abs(1 / depth_mm - 1 / focus_mm) / wavelength_mm
    if curvature * aperture_mm**2 / 4 < _FLAT:
        return np.abs(np.sinc(aperture_mm * offset_mm / per_turn))
    scale, middle = math.sqrt(2 * curvature), offset_mm / (per_turn * curvature)
    sine_high, cosine_high = fresnel(scale * (aperture_mm / 2 - middle))
    sine_low, cosine_low = fresnel(scale * (-aperture_mm / 2 - middle))
    return np.hypot(cosine_high - cosine_low, sine_high - sine_low) / (scale * aperture_mm)
