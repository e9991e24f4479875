"""Speckle statistics against fields whose statistics are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.optimize import brentq
from scipy.special import hyp2f1
from support.speckle_store import grey, make_header, rayleigh

from translate.evaluation.speckle import RAYLEIGH_SNR, Speckle
from ussim.probe.probe import ConvexProbe, LinearProbe


def speckle_of(image: np.ndarray, probe) -> tuple:
    header = make_header(probe, 1)
    speckle = Speckle(header, probe.mask(), bands=3)
    segmentation = np.full(image.shape, 2, np.uint8)
    where = speckle.select(image, segmentation)
    return speckle.statistics(*speckle.samples(image, where)), where


def rayleigh_width(sigma: float) -> float:
    """Full width at half maximum of the envelope's autocovariance.

    The amplitude filtered by a Gaussian of σ has the correlation ρ(k) = exp(−k²/4σ²), and the Rayleigh envelope
    the autocovariance ₂F₁(−½, −½; 1; ρ²) − 1.
    """

    def excess(k):
        return (hyp2f1(-0.5, -0.5, 1, math.exp(-(k**2) / (2 * sigma**2))) - 1) / (4 / math.pi - 1) - 0.5

    return 2 * brentq(excess, 0.01, 5 * sigma)


def test_speckle_widths_and_snr_are_those_of_the_simulated_rayleigh_field():
    probe = LinearProbe(image_height=400, image_width=400, width_mm=60, depth_mm=60, scanlines=400)
    statistics, _ = speckle_of(grey(rayleigh((400, 400), (1.5, 2.5), 3)), probe)
    np.testing.assert_allclose(statistics.axial_mm, rayleigh_width(1.5) * 0.15, rtol=0.05)
    np.testing.assert_allclose(statistics.lateral_mm, rayleigh_width(2.5) * 0.15, rtol=0.05)
    fine, _ = speckle_of(grey(rayleigh((400, 400), (1.0, 1.0), 4)), probe)
    assert fine.snr == pytest.approx(RAYLEIGH_SNR, rel=0.03)
    assert fine.patches > 100


def test_smoothing_raises_the_snr_and_widens_the_grain():
    probe = LinearProbe(image_height=300, image_width=300, width_mm=60, depth_mm=60, scanlines=300)
    envelope = rayleigh((300, 300), (1.5, 1.5), 5)
    sharp, _ = speckle_of(grey(envelope), probe)
    smooth, _ = speckle_of(grey((envelope + np.roll(envelope, 2, 0) + np.roll(envelope, 2, 1)) / 3), probe)
    assert smooth.snr > 1.2 * sharp.snr
    assert smooth.axial_mm[1] > 1.05 * sharp.axial_mm[1]


def test_speckle_is_measured_along_the_scanlines_of_a_convex_probe():
    # speckle made on the polar grid: its grains are as long axially on the rim as in the middle
    probe = ConvexProbe(image_height=500, image_width=693)
    polar = rayleigh((300, 512), (2.0, 2.0), 6)  # half a millimetre by half a line
    u, depth = probe.pixel_lines()
    image = map_coordinates(polar, [2 * depth, 2 * u], order=3, mode="nearest")
    statistics, _ = speckle_of(grey(image) * probe.mask(), probe)
    expected = rayleigh_width(2.0) / 2
    np.testing.assert_allclose(statistics.axial_mm, expected, rtol=0.08)
    in_lines = np.array(statistics.lateral_mm) / probe.line_pitch_mm(np.array([25.0, 75, 125]))
    np.testing.assert_allclose(in_lines, expected, rtol=0.08)


def test_speckle_is_measured_in_bright_scattering_tissue_only(dataset):
    frame = dataset.frame(0)
    speckle = Speckle(dataset.header, dataset.mask, 5)
    patches = speckle.select(frame.hq, frame.segmentation).patches
    assert patches.sum() > 3
    for row, column in np.argwhere(patches) * 32:
        assert (frame.segmentation[row : row + 32, column : column + 32] == 2).all()
    dark = speckle.select((frame.hq // 12).astype(np.uint8), frame.segmentation)
    assert not dark.patches.any()
    assert dark.weight.sum() == 0
    statistics = speckle.statistics(*speckle.samples(frame.hq, dark))
    assert math.isnan(statistics.snr)
    assert all(math.isnan(width) for width in statistics.axial_mm)
