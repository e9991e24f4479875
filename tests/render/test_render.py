"""The renderer as its users call it: independence of frames, larger qualities, all probes, bad input."""

from __future__ import annotations

import re
import weakref

import numba
import numpy as np
import pytest
from support.scenes import layered_phantom, sphere

from ussim import UssimError
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe
from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

SMALL = {"scanlines": 48, "axial_samples": 2048, "image_height": 120, "image_width": 166}


@pytest.fixture(scope="module")
def scene():
    stone = sphere(6, (0, 0, 40), 3, name="stone", tissue="fetal_bone", priority=101)
    cyst = sphere(8, (18, 0, 45), 3, name="cyst", tissue="amniotic_fluid", priority=102)
    return layered_phantom([("fat", 10), ("liver", 150)], start_mm=-3, inclusions=[stone, cyst])


@pytest.fixture(scope="module")
def renderer(scene):
    r = Renderer(scene, ConvexProbe(depth_mm=90, **SMALL), backend="cpu", seed=4)
    r.fit_tgc(np.eye(4))
    return r


def poses(count):
    moved = np.stack([np.eye(4)] * count)
    moved[:, 0, 3] = 3 * np.arange(count)
    return moved


@pytest.mark.parametrize("quality", [LQ, HQ], ids=["lq", "hq"])
def test_a_frame_does_not_depend_on_the_frames_beside_it(renderer, quality):
    together = renderer.render(poses(3), quality)
    backwards = renderer.render(poses(3)[::-1], quality, frames=[2, 1, 0])[::-1]
    np.testing.assert_array_equal(together, backwards)


def test_a_frame_does_not_depend_on_the_number_of_threads(renderer):
    images = {}
    before = numba.get_num_threads()
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(threads)
        images[threads] = renderer.render(np.eye(4), HQ), renderer.maps(np.eye(4)).segmentation
    numba.set_num_threads(before)
    first, *others = images.values()
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_seed_and_frame_number_change_the_image_and_nothing_else_does(scene, renderer):
    image = renderer.render(np.eye(4), LQ)
    again = Renderer(scene, renderer.probe, backend="cpu", seed=4, tgc_db=renderer.tgc_db)
    other = Renderer(scene, renderer.probe, backend="cpu", seed=5, tgc_db=renderer.tgc_db)
    np.testing.assert_array_equal(again.render(np.eye(4), LQ), image)
    assert (renderer.render(np.eye(4), LQ, frames=[1]) != image).any()
    assert (other.render(np.eye(4), LQ) != image).mean() > 0.3  # other scatterers


def test_fluid_is_black_and_bone_is_bright_with_a_shadow_behind_it(renderer):
    image = renderer.render(poses(1), HQ)[0].astype(float)
    x, z = renderer.probe.pixel_grid_mm()
    cyst = np.hypot(x - 18, z - 45) < 5
    liver = (np.abs(x + 18) < 5) & (np.abs(z - 45) < 8)
    face = np.hypot(x, z - 34.5) < 1.5
    shadow = (np.abs(x) < 2) & (z > 52) & (z < 70)
    beside = (np.abs(x + 20) < 4) & (z > 52) & (z < 70)
    assert image[cyst].mean() < 0.15 * image[liver].mean()
    level_db = image * renderer.imaging.dynamic_range_db / 255
    assert level_db[face].max() > level_db[liver].mean() + 15
    assert image[shadow].mean() < 0.75 * image[beside].mean()


def test_more_rays_and_layers_than_the_presets_work(renderer):
    image = renderer.render(np.eye(4), Quality(rays=512, layers=9))
    assert image.shape == (1, 120, 166)
    usual = renderer.render(np.eye(4), HQ)
    inside = renderer.probe.mask() > 0
    # More rays settle the image; they do not make it brighter or darker.
    assert image[0][inside].mean() == pytest.approx(usual[0][inside].mean(), rel=0.06)


@pytest.mark.parametrize("kind", [LinearProbe, PhasedProbe])
def test_flat_and_phased_probes_render_inside_their_mask(scene, kind):
    r = Renderer(scene, kind(depth_mm=70, **SMALL), backend="cpu")
    r.fit_tgc(np.eye(4))
    image, inside = r.render(np.eye(4), LQ)[0], r.probe.mask() > 0
    assert (image[~inside] == 0).all()
    assert (image[inside] > 0).mean() > 0.7
    assert set(np.unique(r.maps(np.eye(4)).segmentation[0][~inside])) <= {0}


def test_the_image_outside_the_sector_is_black(renderer):
    image = renderer.render(np.eye(4), LQ)[0]
    assert (image[renderer.probe.mask() == 0] == 0).all()


def test_gain_never_falls_with_depth_and_undoes_the_attenuation(renderer):
    curve = renderer.tgc_db
    assert (np.diff(curve) >= 0).all()
    assert curve[0] == pytest.approx(0, abs=0.5)
    # Behind the fat the median line is in liver: 0.5 dB/cm/MHz at a quarter, two ways.
    slope = (curve[1800] - curve[600]) / (1200 * renderer.probe.sample_mm / 10)
    assert slope == pytest.approx(2 * 0.5 * 8 * renderer.imaging.attenuation_scale, rel=0.02)


@pytest.mark.parametrize("added_db", [6.0, -6.0])
def test_an_operators_gain_shifts_grey_levels_at_its_depths_beyond_the_limit_of_the_compensation(scene, added_db):
    probe = ConvexProbe(depth_mm=90, **SMALL)
    r = Renderer(scene, probe, backend="cpu", tgc_db=np.full(probe.axial_samples, 200.0))  # at its limit
    before = r.render(np.eye(4), LQ)[0].astype(int)
    curve = np.zeros(probe.axial_samples)
    curve[probe.axial_samples // 2 :] = added_db
    r.operator_gain_db = curve
    change = r.render(np.eye(4), LQ)[0] - before
    _, depth = probe.pixel_lines()
    shifted = change[(probe.mask() > 0) & (before > 60) & (before < 180) & (depth > 47)] * np.sign(added_db)
    assert (change[depth < 43] == 0).all()
    expected = abs(added_db) * 255 / r.imaging.dynamic_range_db
    assert np.median(shifted) == pytest.approx(expected, abs=1)
    assert shifted.min() >= 0  # a pixel shows several samples, some of which are black or white
    assert shifted.max() <= expected + 1
    with pytest.raises(UssimError, match="operator_gain_db: needs 2048 finite values"):
        r.operator_gain_db = np.zeros(7)


@pytest.mark.parametrize("samples", [768, 1536, 4096])
def test_brightness_does_not_depend_on_the_axial_sampling(scene, samples):
    def mean_power_db(count):
        probe = ConvexProbe(depth_mm=90, **{**SMALL, "axial_samples": count})
        line = np.abs(Renderer(scene, probe, backend="cpu").baseband(poses(4))[:, 2:10]) ** 2
        return 10 * np.log10(line[:, :, count // 3 : count // 2].mean())

    assert mean_power_db(samples) == pytest.approx(mean_power_db(2048), abs=1.0)


def test_without_surfaces_there_is_a_uniform_medium():
    probe = ConvexProbe(depth_mm=90, **SMALL)
    renderer = Renderer(Scene.from_surfaces([], background="liver"), probe, backend="cpu")
    renderer.fit_tgc(poses(1))
    image, maps = renderer.render(poses(1), LQ)[0], renderer.maps(poses(1))
    assert image[probe.mask() > 0].mean() > 30
    assert set(np.unique(maps.segmentation)) == {0, 1}


def test_bad_poses_are_named(renderer):
    hole, skewed = poses(2), poses(2)
    hole[1, 0, 0] = np.nan
    skewed[1, 0, 0] = 2
    with pytest.raises(UssimError, match="pose 1: holds NaN"):
        renderer.render(hole)
    with pytest.raises(UssimError, match="pose 1: its 3 × 3 part is no rotation"):
        renderer.maps(skewed)
    with pytest.raises(UssimError, match=r"poses: shape \(3, 3\)"):
        renderer.render(np.eye(3))
    with pytest.raises(UssimError, match="frames: 1 numbers for 2 poses"):
        renderer.render(poses(2), frames=[0])


def test_a_gain_curve_of_another_length_is_refused(renderer):
    with pytest.raises(UssimError, match="tgc_db: needs 2048 finite values"):
        renderer.tgc_db = np.zeros(7)


def test_an_unknown_backend_is_refused(scene):
    with pytest.raises(UssimError, match="backend = 'gpu': must be one of auto, cpu, cuda"):
        Renderer(scene, backend="gpu")


def test_a_quality_that_memory_cannot_hold_is_told_with_the_most_rays_allowed(scene, monkeypatch):
    r = Renderer(scene, ConvexProbe(depth_mm=90, **SMALL), backend="cpu")
    monkeypatch.setattr(type(r.backend), "memory_bytes", 200_000_000)
    with pytest.raises(UssimError) as told:
        r.render(np.eye(4), Quality(rays=65_536, layers=3))
    most = int(re.fullmatch(r"rays = 65536 with layers = 3: .*; allowed here: at most (\d+) rays", str(told.value))[1])
    assert r._aperture.bytes_per_frame(Quality(rays=most, layers=3)) <= 200_000_000
    assert r._aperture.bytes_per_frame(Quality(rays=most + 1, layers=3)) > 200_000_000


def test_arrays_that_were_too_small_are_let_go(scene):
    r = Renderer(scene, ConvexProbe(depth_mm=90, **SMALL), backend="cpu")
    r.render(np.eye(4), LQ)
    small = weakref.ref(r._workspace._buffers["passed"])
    r.render(np.eye(4), HQ)
    assert small() is None
