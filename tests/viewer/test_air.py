"""What a probe shows in the air."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import find_peaks

from cli.viewer.air import LENS_MM, ringing
from ussim.probe.probe import ConvexProbe
from ussim.probe.quality import HQ
from ussim.render.renderer import Renderer


def test_echoes_of_the_face_come_at_equal_distances_and_each_is_weaker():
    probe = ConvexProbe(scanlines=32, axial_samples=4096, depth_mm=100)
    lines = np.abs(Renderer(ringing(probe), probe, backend="cpu").baseband(np.eye(4), HQ))[0]
    echo = lines[8:-8].mean(axis=0)
    depth_mm = np.arange(len(echo)) * probe.sample_mm
    peaks, _ = find_peaks(echo, distance=0.6 * LENS_MM / probe.sample_mm, height=echo.max() / 40)
    np.testing.assert_allclose(np.diff(depth_mm[peaks]), LENS_MM, rtol=0.05)
    assert len(peaks) >= 5
    fall = echo[peaks[1:]] / echo[peaks[:-1]]
    assert (fall < 0.8).all()
    assert fall.mean() == pytest.approx(0.6, abs=0.12)
    assert echo[depth_mm > 12].max() < echo.max() / 100
