"""Width of the beam over depth: a Gaussian beam behind a thin lens, calibrated to the rectangular aperture.

The two-way −6 dB width of a focused rectangular aperture D at its focus F is 0.886·λ·F/D, so its one-way
Gaussian equivalent has √2 of it. Away from the focus a Gaussian beam's width is exactly

    w(z)² = W²·(1 − z/F)² + w_F²·(z/F)²

with W the width on the aperture, tied to w_F by diffraction: W·w_F = (4·ln 2/π)·λ·F.

Receive elements may be weighed with a window, which lowers the side lobes (:mod:`ussim.probe.pattern`) and widens the
beam: its factor stands in place of 0.886.
"""

from __future__ import annotations

import math

import numpy as np

TWO_WAY_FACTOR = 0.886
RECEIVE_FACTOR = {"gaussian": TWO_WAY_FACTOR, "rectangular": TWO_WAY_FACTOR, "hamming": 1.303, "hann": 1.441}
"""The same factor were both apertures weighed, by apodisation."""
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


def one_way_width_mm(depth_mm: np.ndarray, wavelength_mm: float, aperture_mm: float, focus_mm: float) -> np.ndarray:
    """One-way −6 dB amplitude width [mm] of a lens of fixed focus, for depths of any shape."""
    at_focus = math.sqrt(2) * TWO_WAY_FACTOR * wavelength_mm * focus_mm / aperture_mm
    on_aperture = 4 * math.log(2) / math.pi * wavelength_mm * focus_mm / at_focus
    ratio = np.asarray(depth_mm, float) / focus_mm
    return np.sqrt((on_aperture * (1 - ratio)) ** 2 + (at_focus * ratio) ** 2)


def lateral_sigma_mm(
    depth_mm: np.ndarray,
    wavelength_mm: float,
    aperture_mm: float,
    f_number: float,
    focus_mm: float,
    apodisation: str = "rectangular",
) -> np.ndarray:
    """Standard deviation [mm] of the two-way lateral beam, for depths of any shape.

    Transmit is focused once, with the F-number ``max(f_number, focus/aperture)``; receive is focused at every
    depth, with ``max(f_number, depth/aperture)`` and apodised. The two-way beam is the product of the two.
    """
    depth_mm = np.asarray(depth_mm, float)
    transmit_aperture = min(aperture_mm, focus_mm / f_number)
    transmit = one_way_width_mm(depth_mm, wavelength_mm, transmit_aperture, focus_mm)
    receive_f = np.maximum(f_number, depth_mm / aperture_mm)
    receive = math.sqrt(2) * RECEIVE_FACTOR[apodisation] * wavelength_mm * receive_f
    return 1 / np.sqrt(1 / transmit**2 + 1 / receive**2) / FWHM_PER_SIGMA


def elevation_sigmas_mm(wavelength_mm: float, aperture_mm: float, focus_mm: float) -> tuple[float, float]:
    """Two-way elevational standard deviations [mm] on the aperture and at the focus.

    Transmit and receive share the lens, so the two-way beam is the one-way beam narrowed by √2. Straight
    lines that join a Gaussian draw on the aperture to one at the focus fill exactly this beam.
    """
    at_focus = one_way_width_mm(np.array(focus_mm), wavelength_mm, aperture_mm, focus_mm)
    on_aperture = one_way_width_mm(np.array(0.0), wavelength_mm, aperture_mm, focus_mm)
    scale = math.sqrt(2) * FWHM_PER_SIGMA
    return float(on_aperture) / scale, float(at_focus) / scale
