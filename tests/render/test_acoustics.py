"""Interfaces, attenuation and travel time, against closed forms.

What a test records is what it judges; docs/measure_physics.py puts it into the table of docs/physics.md.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, qmc
from support.aperture import beside_each_other
from support.phantoms import decibel, renderer, scene_of, small_linear, tissue, uniform
from support.scenes import box

from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.aperture.tables import WALL_DB
from ussim.render.physics import interface as physics
from ussim.render.physics import random
from ussim.render.physics.random import combine, spread_uniform

F = np.float32
LOOK_DOWN = (F(0), F(0), F(1))
UP = (F(0), F(0), F(-1))


def incidence(angle_deg):
    angle = np.radians(angle_deg)
    return F(np.sin(angle)), F(0), F(np.cos(angle))


def test_snell_refracts_1450_to_1580_at_30_degrees_to_33_01(record_property):
    v = incidence(30)
    ratio = F(1580 / 1450)
    cos_t = physics.transmitted_cosine(v[2], ratio)
    out = physics.refract(*v, *UP, cos_t, ratio)
    record_property("angle_deg", np.degrees(np.arccos(cos_t)))
    assert np.degrees(np.arccos(cos_t)) == pytest.approx(33.01, abs=0.01)
    assert np.degrees(np.arctan2(out[0], out[2])) == pytest.approx(33.01, abs=0.01)


@pytest.mark.parametrize(("angle_deg", "total"), [(25.9, False), (26.1, True)])
def test_reflection_is_total_past_the_critical_angle_of_25_98_degrees(angle_deg, total, record_property):
    cos_i = incidence(angle_deg)[2]
    cos_t = physics.transmitted_cosine(cos_i, F(3515 / 1540))
    record_property("total_deg" if cos_t < 0 else "partial_deg", angle_deg)
    assert (cos_t < 0) == total
    assert (physics.reflectance(cos_i, cos_t, F(1.54), F(6.65)) == 1) == total


@pytest.mark.parametrize(
    ("z1", "z2", "level_db"),
    [(1.38, 1.70, -19.7), (1.65, 1.62, -40.8), (1.63, 7.8, -3.7), (1.53, 0.0004, 0.0)],
)
def test_reflectance_at_normal_incidence_matches_the_published_levels(z1, z2, level_db, record_property):
    measured = decibel(physics.reflectance(F(1), F(1), F(z1), F(z2)))
    record_property("level_db", measured)
    assert measured == pytest.approx(level_db, abs=0.06)


def test_reflectance_agrees_with_the_boundary_conditions_at_every_angle(record_property):
    # Solve for the amplitudes: 1 + r = t (pressure), (1 − r)·cos θi/Z1 = t·cos θt/Z2 (normal velocity).
    for angle in (0, 10, 25, 40, 55):
        cos_i = incidence(angle)[2]
        cos_t = physics.transmitted_cosine(cos_i, F(1580 / 1450))
        r, t = np.linalg.solve([[-1, 1], [cos_i / 1.35, cos_t / 1.70]], [1, cos_i / 1.35])
        got = physics.reflectance(cos_i, cos_t, F(1.35), F(1.70))
        record_property("off", abs(got - r**2))
        assert got == pytest.approx(r**2, abs=1e-6)
        # Energy across the boundary: R + T = 1.
        assert got + t**2 * (cos_t / 1.70) / (cos_i / 1.35) == pytest.approx(1, abs=1e-5)


def test_rough_normals_follow_the_power_cosine_density(record_property):
    exponent, count = 20.0, 40_000
    n = (F(0.6), F(0.0), F(0.8))
    draws = np.array(
        [
            physics.rough_normal(*n, F(exponent), random.uniform(np.uint32(i), 2), random.uniform(np.uint32(i), 3))
            for i in range(count)
        ]
    )
    np.testing.assert_allclose(np.linalg.norm(draws, axis=1), 1, atol=1e-5)
    cos_tau = draws @ np.array(n, float)
    # P(cos τ ≤ c) = c^(s + 1): equally likely bins, and a uniform azimuth.
    edges = np.linspace(0, 1, 21) ** (1 / (exponent + 1))
    polar, _ = np.histogram(cos_tau, edges)
    across = np.cross(n, [0, 1, 0])
    azimuth, _ = np.histogram(np.arctan2(draws[:, 1], draws @ across), np.linspace(-np.pi, np.pi, 21))
    record_property("p", chisquare(polar).pvalue)
    record_property("p", chisquare(azimuth).pvalue)
    assert chisquare(polar).pvalue > 1e-3
    assert chisquare(azimuth).pvalue > 1e-3


def test_a_mirror_keeps_its_normal():
    m = physics.rough_normal(*UP, F(1e9), F(0.3), F(0.7))
    np.testing.assert_allclose(m, UP, atol=2e-4)


def test_spread_draws_are_uniform_over_places_and_even_within_one():
    places, count = 400, 64
    keys = [combine(np.uint32(7), np.uint32(i)) for i in range(places)]
    draws = np.array([[[spread_uniform(k, n, d) for d in (0, 4, 9)] for n in range(count)] for k in keys], float)
    for dimension in range(3):
        filled, _ = np.histogram(draws[:, 0, dimension], 10, (0, 1))
        assert ((filled - places / 10) ** 2 / (places / 10)).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
        for n in (4, 16, 64):  # independent draws: 0.29/√n
            error = np.sqrt(np.mean((draws[:, :n, dimension].mean(axis=1) - 0.5) ** 2))
            assert error < 0.35 / n
    # No dimension follows another: of pairs below a half a quarter is, at each place.
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = (draws[..., a] < 0.5) & (draws[..., b] < 0.5)
        assert np.sqrt(np.mean((both.mean(axis=1) - 0.25) ** 2)) < 0.02  # independent: √(¼·¾/64) = 0.054


def test_spread_draws_are_those_of_sobols_sequence():
    first = np.array([[spread_uniform(np.uint32(9), n, d) for d in range(10)] for n in range(256)], float)
    flipped = (first * 2**24).astype(np.uint32) ^ (first[0] * 2**24).astype(np.uint32)
    expected = qmc.Sobol(10, scramble=False, bits=30).random(256)  # in Gray code's order
    order = np.arange(256) ^ (np.arange(256) >> 1)
    np.testing.assert_array_equal(flipped[order], (expected * 2**24).astype(np.uint32))


def test_draws_that_are_not_spread_are_independent_of_each_other():
    draws = np.array([[spread_uniform(np.uint32(5), n, d) for d in (10, 15)] for n in range(20_000)], float)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(20_000)
    assert abs(np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]) < 4 / np.sqrt(20_000)


def line_power(scene, quality=LQ, probe=None, frames=1, **imaging):
    """Power of the scatter per depth, averaged over lines and frames."""
    r = renderer(scene, probe, **imaging)
    return (np.abs(r.baseband(beside_each_other(frames), quality)[:, 8:-8]) ** 2).mean(axis=(0, 1))


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
@pytest.mark.parametrize("alpha", [0.3, 0.7, 1.5])
def test_attenuation_lowers_the_line_by_twice_alpha_f_per_cm(alpha, quality, record_property):
    probe = small_linear()
    lossy = tissue("lossy", attenuation_db_cm_mhz=alpha)
    power = line_power(uniform(lossy), quality, probe, frames=3)
    depth_cm = probe.sample_depths_mm / 10
    inside = slice(60, 1000)
    slope = np.polyfit(depth_cm[inside], decibel(power[inside]), 1)[0]
    record_property("off_percent", 100 * (slope / (-2 * alpha * probe.frequency_mhz) - 1))
    assert slope == pytest.approx(-2 * alpha * probe.frequency_mhz, rel=0.02)


def slab_between(slab, other, thickness_mm=4.0, top_mm=20.0):
    """``other`` everywhere, with a slab at a depth of 20 mm."""
    block = box((400, 400, 600), (0, 0, 100), tissue=other.name, name="block", priority=1)
    plate = box(
        (400, 400, thickness_mm),
        (0, 0, top_mm + thickness_mm / 2),
        tissue=slab.name,
        name="plate",
        priority=2,
    )
    return scene_of([block, plate], other, slab)


@pytest.mark.parametrize("rays", [1, 32, 128])
def test_shadow_behind_bone_is_interface_loss_plus_attenuation(rays, record_property):
    # Only what lies behind the slab scatters, so that no mirror image in front of it takes part.
    soft = tissue("soft", density_kg_m3=1630 / 1.54)
    bone = tissue("hard", density_kg_m3=7800 / 1.54, attenuation_db_cm_mhz=1.0, scatter_density=0.0)
    gel = tissue("clear", density_kg_m3=1630 / 1.54, scatter_density=0.0)
    flesh = box((400, 400, 400), (0, 0, 222), tissue="soft", name="flesh", priority=1)  # from 22 mm on
    slab = box((400, 400, 4), (0, 0, 22), tissue="hard", name="slab", priority=2)  # 20 to 24 mm
    behind = slice(600, 1000)
    quality = Quality(rays=rays, layers=1)

    def power(surfaces):
        return line_power(scene_of(surfaces, soft, bone, gel, background="clear"), quality, frames=6)[behind].mean()

    reflected = ((7.8 - 1.63) / (7.8 + 1.63)) ** 2
    expected = 20 * np.log10((1 - reflected) ** 2) - 2 * 1.0 * 8 * 0.4
    shadow_db = decibel(power([flesh, slab]) / power([flesh]))
    record_property("expected_db", expected)
    record_property("shadow_db", shadow_db)
    assert shadow_db == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_enhancement_behind_fluid_is_the_attenuation_it_saves(quality, record_property):
    flesh = tissue("flesh", attenuation_db_cm_mhz=0.7)
    fluid = tissue("water", attenuation_db_cm_mhz=0.01, scatter_density=0.0)
    behind = slice(750, 1000)
    enhanced = line_power(slab_between(fluid, flesh, 10.0), quality, frames=4)[behind].mean()
    beside = line_power(uniform(flesh), quality, frames=4)[behind].mean()
    record_property("expected_db", 2 * (0.7 - 0.01) * 8 * 1.0)
    record_property("enhancement_db", decibel(enhanced / beside))
    assert decibel(enhanced / beside) == pytest.approx(2 * (0.7 - 0.01) * 8 * 1.0, abs=0.3)


@pytest.mark.parametrize("speed", [1450.0, 1650.0])
def test_an_echo_behind_a_layer_is_displaced_by_its_travel_time(speed, record_property):
    probe = small_linear()
    layer = tissue("layer", speed_m_s=speed, scatter_density=0.0, density_kg_m3=1540 * 1000 / speed)
    back = tissue("back", scatter_density=0.0, density_kg_m3=1500)
    block = box((400, 400, 600), (0, 0, 310), tissue="layer", name="block", priority=1)
    wall = box((400, 400, 600), (0, 0, 330), tissue="back", name="wall", priority=2)
    scene = scene_of([block, wall], layer, back)
    r = renderer(scene, probe, interface_gain_db=0.0)
    for quality in (LQ, HQ):
        line = np.abs(r.baseband(np.eye(4), quality)[0, 64])
        depth = probe.sample_depths_mm[200 + line[200:].argmax()]  # gel to 10 mm, then 20 mm of the layer
        record_property("off_samples", abs(depth - (10 + 20 * 1540 / speed)) / probe.sample_mm)
        assert depth == pytest.approx(10 + 20 * 1540 / speed, abs=probe.sample_mm)


def test_axial_width_of_an_interface_is_0_142_mm_at_60_percent_bandwidth(record_property):
    probe = small_linear(axial_samples=8192)
    wall = tissue("wall", scatter_density=0.0, density_kg_m3=2000)
    scene = scene_of([box((400, 400, 600), (0, 0, 325), tissue="wall")], wall)
    line = np.abs(renderer(scene, probe, interface_gain_db=0.0).baseband(np.eye(4))[0, 64])
    above = np.flatnonzero(line >= line.max() / 2)
    record_property("width_mm", (np.ptp(above) + 1) * probe.sample_mm)
    assert (np.ptp(above) + 1) * probe.sample_mm == pytest.approx(0.142, abs=2 * probe.sample_mm)


def test_an_interface_echoes_its_pressure_reflectance(record_property):
    z2 = 1.8
    wall = tissue("wall", scatter_density=0.0, density_kg_m3=z2 / 1.54 * 1000)
    clear = tissue("clear", scatter_density=0.0, density_kg_m3=1000)
    scene = scene_of([box((400, 400, 600), (0, 0, 325), tissue="wall")], wall, clear, background="clear")
    probe = small_linear(scanlines=512)
    r = renderer(scene, probe, interface_gain_db=-WALL_DB, attenuation_scale=0.0)
    for quality in (LQ, Quality(rays=8, layers=3)):
        lines = r.baseband(beside_each_other(8), quality)[:, 40:-40]
        peak = np.abs(lines.mean(axis=(0, 1))).max()  # what echoes diffusely has a phase of its own on every line
        record_property("off_percent", 100 * (peak * (z2 + 1.54) / (z2 - 1.54) - 1))
        assert peak == pytest.approx((z2 - 1.54) / (z2 + 1.54), rel=0.03)


def test_a_wall_is_as_bright_however_close_the_scanlines_lie():
    wall, clear = tissue("wall", scatter_density=0.0, density_kg_m3=1200), tissue("clear", scatter_density=0.0)
    scene = scene_of([box((400, 400, 600), (0, 0, 325), tissue="wall")], wall, clear, background="clear")

    def mean_peak(scanlines):
        r = renderer(scene, small_linear(scanlines=scanlines), interface_gain_db=0.0)
        lines = r.baseband(beside_each_other(8), LQ)[:, scanlines // 12 : -scanlines // 12]
        return np.abs(lines.mean(axis=(0, 1))).max()

    assert mean_peak(1024) == pytest.approx(mean_peak(128), rel=0.01)


def test_a_thin_wall_has_two_faces():
    # 0.05 mm is the thinnest wall there is; its faces must neither be skipped nor hit twice.
    wall = tissue("film", density_kg_m3=2000, scatter_density=0.0, attenuation_db_cm_mhz=0.0)
    soft = tissue("soft")
    scene = slab_between(wall, soft, thickness_mm=0.05)
    r = renderer(scene, small_linear(), interface_gain_db=0.0)
    r.baseband(np.eye(4), Quality(rays=4, layers=1))
    assert (r._aperture.arrays(1, Quality(rays=4, layers=1)).sheets.wall_count == 2).all()


def test_the_error_falls_with_the_root_of_the_number_of_rays_or_faster(record_property):
    # Facets turn by 10° in the mean, total reflection begins at 31°.
    rough = tissue("rough", speed_m_s=3000, density_kg_m3=1800, roughness_exponent=50, thickness_mm=0.3)
    scene = slab_between(rough, tissue("soft", roughness_exponent=50, thickness_mm=0.3), 6.0)
    r = renderer(scene, small_linear(scanlines=24, width_mm=8.0), interface_gain_db=-20.0)

    poses = beside_each_other(8, 3.0)

    def lines(rays):
        return r.baseband(poses, Quality(rays=rays, layers=1))

    reference = lines(4096)
    counts = np.array([16, 64, 256, 1024])
    errors = [np.abs(lines(n) - reference).std() for n in counts]
    exponent = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    record_property("exponent", exponent)
    assert exponent < -0.45
