"""Point targets: the point-spread function is the beam's and the pulse's, wherever the point lies.

What a test records is what it judges; docs/measure_physics.py puts it into the table of docs/physics.md.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.signal import resample
from support.aperture import block
from support.phantoms import decibel, renderer, scene_of, tissue, uniform
from support.scenes import box

from ussim.probe.beam import FWHM_PER_SIGMA, elevation_sigmas_mm, lateral_sigma_mm
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe
from ussim.probe.quality import HQ, LQ
from ussim.scene.point import PointTarget

CLEAR = tissue("clear", scatter_density=0.0)
SMALL = {"image_height": 64, "image_width": 64}
PROBES = [
    ConvexProbe(scanlines=192, field_of_view_deg=20, **SMALL),
    LinearProbe(scanlines=192, width_mm=20, depth_mm=150, axial_samples=3072, focus_mm=70, **SMALL),
    PhasedProbe(scanlines=192, field_of_view_deg=10, **SMALL),
]
KINDS = [probe.kind for probe in PROBES]
DEPTHS_MM = (20, 40, 70, 100, 140)
FINER = 8


def clear_with(*points, **place):
    return scene_of([block("clear")], CLEAR, points=[PointTarget(point, **place) for point in points])


def envelope_at(probe, lines, point):
    """Envelope around a point in the image plane (samples, lines), FINER times finer than the lines; and mm per step.

    The baseband is band-limited along a line; across lines the envelope is smooth.
    """
    radius, (x, _, z) = probe.apex_radius_mm, point
    depth = z if probe.linear_pitch_mm else np.hypot(x, z + radius) - radius
    sample, half = round(depth / probe.sample_mm), 32
    window = lines[:, sample - half : sample + half]
    brightest = np.abs(window).max(axis=1).argmax()
    window = window[max(0, brightest - 40) : brightest + 41]
    envelope = CubicSpline(np.arange(len(window)), np.abs(resample(window, 2 * half * FINER, axis=1)))
    fine = envelope(np.arange(0, len(window) - 1, 1 / FINER)).T
    return fine, probe.sample_mm / FINER, float(probe.line_pitch_mm(depth)) / FINER


def width(profile, step_mm):
    """Full width at half the maximum [mm], between interpolated crossings."""
    half, top = profile.max() / 2, int(profile.argmax())
    left = np.flatnonzero(profile[:top] < half)[-1]
    right = top + np.flatnonzero(profile[top:] < half)[0]
    first = left + (half - profile[left]) / (profile[left + 1] - profile[left])
    last = right - (half - profile[right]) / (profile[right - 1] - profile[right])
    return (last - first) * step_mm


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
@pytest.mark.parametrize("probe", PROBES, ids=KINDS)
def test_a_point_is_as_long_as_the_pulse_and_as_wide_as_the_beam(probe, quality, record_property):
    points = [(0.0, 0.0, float(z)) for z in DEPTHS_MM]
    lines = renderer(clear_with(*points), probe).baseband(np.eye(4), quality)[0]
    axial_mm = 0.441 * 1.54 / (probe.bandwidth * probe.frequency_mhz)
    for point in points:
        envelope, step, pitch = envelope_at(probe, lines, point)
        sigma = lateral_sigma_mm(
            point[2], probe.wavelength_mm, probe.aperture_mm, probe.f_number, probe.focus_mm, probe.apodisation
        )
        length = width(envelope[:, envelope.max(axis=0).argmax()], step)
        across = width(envelope.max(axis=0), pitch)
        record_property("axial_percent", 100 * (length / axial_mm - 1))
        record_property("lateral_percent", 100 * (across / (FWHM_PER_SIGMA * sigma) - 1))
        assert length == pytest.approx(axial_mm, rel=0.05), point
        assert across == pytest.approx(FWHM_PER_SIGMA * sigma, rel=0.1), point


@pytest.mark.parametrize("probe", PROBES, ids=KINDS)
def test_a_point_is_seen_at_its_depth_and_level_wherever_it_lies_between_lines_and_samples(probe, record_property):
    rng = np.random.default_rng(5)
    levels = []
    for _ in range(4):
        # One point at each depth, within one line and one sample about a place off the axis.
        points = []
        for z in DEPTHS_MM:
            beside, deeper = rng.uniform(-0.5, 0.5, 2)
            origin, direction = (a[0] for a in probe.scanline_rays(np.array([probe.scanlines / 2 + beside])))
            points.append(tuple(origin + (z + deeper * probe.sample_mm) * direction))
        lines = renderer(clear_with(*points, strength_db=-6.0), probe).baseband(np.eye(4), LQ)[0]
        for point in points:
            envelope, step, _ = envelope_at(probe, lines, point)
            levels.append(20 * np.log10(envelope.max()))
            found = (envelope.max(axis=1).argmax() - envelope.shape[0] / 2) * step
            assert abs(found) < 1.5 * probe.sample_mm, point
    record_property("spread_db", np.ptp(levels))
    record_property("off_db", np.median(levels) + 6)
    assert np.ptp(levels) <= 1
    assert np.median(levels) == pytest.approx(-6, abs=0.3)


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_point_off_the_image_plane_is_as_faint_as_the_beam_is_there(quality):
    probe = PROBES[1]
    sigma = elevation_sigmas_mm(probe.wavelength_mm, probe.elevation_aperture_mm, probe.elevation_focus_mm)[1]
    on_plane, off_plane = (
        np.abs(renderer(clear_with((0, y, probe.elevation_focus_mm)), probe).baseband(np.eye(4), quality)).max()
        for y in (0, 1.5 * sigma)
    )
    assert off_plane / on_plane == pytest.approx(np.exp(-0.5 * 1.5**2), rel=0.02)


def test_a_point_behind_another_medium_is_shown_at_its_time_of_flight_and_attenuated():
    slow = tissue("slow", speed_m_s=1400.0, density_kg_m3=1540 / 1.4, attenuation_db_cm_mhz=0.5, scatter_density=0.0)
    layer = box((400, 400, 10), (0, 0, 15), tissue="slow", name="layer", priority=5)
    scene = scene_of([block("clear"), layer], CLEAR, slow, points=[PointTarget((0, 0, 40))])
    probe = PROBES[1]
    line = renderer(scene, probe).baseband(np.eye(4), LQ)[0]
    fine = np.abs(resample(line[probe.scanlines // 2], probe.axial_samples * FINER))
    assert fine.argmax() * probe.sample_mm / FINER == pytest.approx(30 + 10 * 1540 / 1400, abs=0.02)
    # 1 cm of 0.5 dB/(cm·MHz) at 8 MHz, there and back; half a line beside the point.
    assert 20 * np.log10(fine.max()) == pytest.approx(-8, abs=0.3)


def test_strength_is_over_the_level_of_unit_scatterers():
    probe = PROBES[1]
    speckle = np.abs(renderer(uniform(tissue("flesh")), probe).baseband(np.eye(4), LQ)[0, :, 600:2600]) ** 2
    point = np.abs(renderer(clear_with((0, 0, 70), strength_db=20.0), probe).baseband(np.eye(4), LQ)[0]) ** 2
    assert decibel(point.max() / speckle.mean()) == pytest.approx(20, abs=1)


def test_a_point_far_aside_behind_the_probe_or_too_deep_adds_nothing():
    flesh = tissue("flesh")
    plain, far = (
        renderer(scene_of([block()], flesh, points=points), PROBES[1]).baseband(np.eye(4), LQ)
        for points in ((), [PointTarget((0, 60, 70), 40.0), PointTarget((0, 0, -20), 40.0), PointTarget((0, 0, 300))])
    )
    np.testing.assert_array_equal(plain, far)
