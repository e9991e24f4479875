"""The two-way pattern of an aperture against direct integration over its elements, and the Gaussian beam against it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from ussim.probe.beam import FWHM_PER_SIGMA, RECEIVE_FACTOR, lateral_sigma_mm
from ussim.probe.pattern import WINDOWS, two_way_power, window_share, window_transform
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe

WINDOWED = ["rectangular", "hamming", "hann"]


@pytest.mark.parametrize("apodisation", WINDOWED)
@pytest.mark.parametrize("depth_mm", [10.0, 30.0, 50.0])
def test_the_pattern_is_the_integral_over_the_elements(depth_mm, apodisation):
    probe = LinearProbe(apodisation=apodisation)
    offset = np.linspace(0, 4, 41)

    def pressure(relative, aperture_mm, focus_mm, window):
        element = (np.arange(3000) + 0.5) / 3000 * aperture_mm - aperture_mm / 2
        mean, swing = WINDOWS[window]
        weight = mean + swing * np.cos(2 * np.pi * element / aperture_mm)
        turns = element**2 * (1 / depth_mm - 1 / focus_mm) - 2 * element * offset[:, None] / depth_mm
        return np.abs((weight * np.exp(1j * np.pi * relative / probe.wavelength_mm * turns)).mean(axis=1)) / mean

    power = 0
    deviations = np.linspace(-2.2, 2.2, 23)
    for relative, weight in zip(1 + deviations * 0.6 / 2.355, np.exp(-(deviations**2)), strict=True):
        out = pressure(relative, min(probe.aperture_mm, probe.focus_mm / probe.f_number), probe.focus_mm, "rectangular")
        back = pressure(relative, min(probe.aperture_mm, depth_mm / probe.f_number), depth_mm, apodisation)
        power += weight * (out * back) ** 2
    np.testing.assert_allclose(two_way_power(probe, offset, depth_mm), power / power[0], atol=0.01, rtol=0.1)


@pytest.mark.parametrize("apodisation", WINDOWED)
def test_the_factor_of_the_width_is_that_of_the_windows_transform(apodisation):
    half = brentq(lambda turns: window_transform(np.array(turns), apodisation) ** 2 - 0.5, 0.1, 1.0)
    assert pytest.approx(2 * half, abs=1e-3) == RECEIVE_FACTOR[apodisation]


@pytest.mark.parametrize("apodisation", WINDOWS)
def test_a_windows_share_is_its_integral(apodisation):
    mean, swing = WINDOWS[apodisation]
    element = (np.arange(10_000) + 0.5) / 5000 - 1
    weight = mean + swing * np.cos(np.pi * element)
    edges = np.array([-2.0, -1.0, -0.3, 0.0, 0.4, 1.0, 1.5])
    expected = [weight[element < edge].sum() / weight.sum() for edge in edges]
    np.testing.assert_allclose(window_share(edges, apodisation), expected, atol=1e-3)


@pytest.mark.parametrize("apodisation", WINDOWED)
@pytest.mark.parametrize("probe", [ConvexProbe(), LinearProbe(), PhasedProbe()], ids=lambda p: p.kind)
def test_the_gaussian_beam_is_as_wide_as_the_patterns_main_lobe(probe, apodisation, record_property):
    probe = probe.model_copy(update={"apodisation": apodisation})
    offset = np.linspace(0, 6, 6001)
    off = []
    for depth in np.geomspace(4, probe.depth_mm, 30):
        width = 2 * offset[np.argmax(two_way_power(probe, offset, depth) < 0.25)]
        sigma = lateral_sigma_mm(
            np.array(depth), probe.wavelength_mm, probe.aperture_mm, probe.f_number, probe.focus_mm, apodisation
        )
        off.append(100 * (FWHM_PER_SIGMA * sigma / width - 1))
    record_property("median_percent", np.median(off))
    record_property("worst_percent", off[np.abs(off).argmax()])
    # Where the edge of the transmitted beam, a Fresnel fringe, crosses half the height, the pattern has no one width.
    assert np.median(np.abs(off)) < 7
    assert np.abs(off).max() < 25
