"""Phantoms: scenes that load and render at once, with their targets where and as strong as they say."""

from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import decibel

from meshes.errors import OutputError
from meshes.phantoms.build import build_phantom
from meshes.phantoms.catalogue import (
    GREY_DEPTH_MM,
    GREY_LEVELS_DB,
    GREY_RADIUS_MM,
    PHANTOMS,
    cyst_places_mm,
    grey_columns_mm,
)
from ussim.errors import UssimError
from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe, LinearProbe
from ussim.probe.quality import LQ
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

SMALL = {"image_height": 64, "image_width": 64}


def load(name, folder):
    return Scene.load(build_phantom(name, folder))


def corrected_db(scene, probe, frames, imaging=None):
    """Level over lines and samples, with gain against attenuation, averaged over frames along the sweep."""
    r = Renderer(scene, probe, imaging, backend="cpu")
    poses = scene.sweep().poses(frames)
    r.fit_tgc(poses)
    power = (np.abs(r.baseband(poses, LQ)) ** 2).mean(axis=0)
    return decibel(power + 1e-30) + r.tgc_db  # a cyst may hold nothing at all


def places(probe):
    """x and z of every sample of every line, (lines, samples, 2)."""
    origin, direction = probe.scanline_rays()
    at = origin[:, None] + probe.sample_depths_mm[:, None] * direction[:, None]
    return at[..., [0, 2]]


@pytest.mark.parametrize("name", PHANTOMS)
def test_a_phantom_is_a_sound_scene_under_a_probe(name, tmp_path):
    scene = load(name, tmp_path / "p")
    assert all(report.verdict == "ok" for report in scene.check())
    assert scene.surfaces[0].name == "block"
    for sweep in scene.sweeps.values():
        for pose in sweep.poses(2):
            assert (scene.bounds_mm[0] < pose[:3, 3]).all()
            assert (pose[:3, 3] < scene.bounds_mm[1]).all()
    assert bool(scene.points) == (name == "pins")
    r = Renderer(scene, ConvexProbe(scanlines=32, axial_samples=512, **SMALL), backend="cpu")
    image = r.render(scene.sweep().poses(1), LQ)
    assert image[image > 0].mean() > 50


def test_pins_show_where_they_are_and_nothing_else_does(tmp_path):
    scene = load("pins", tmp_path / "p")
    probe = ConvexProbe(scanlines=256, axial_samples=3072, **SMALL)
    level = corrected_db(scene, probe, 1)
    at = places(probe)
    near_any = np.zeros(level.shape, bool)
    for x, _, z in (point.position_mm for point in scene.points):
        distance = np.hypot(at[..., 0] - x, at[..., 1] - z)
        if distance.min() < 0.4:  # within the sector
            # Lines may pass beside it, at half their distance: up to 4 dB less than on it.
            assert level[distance < 0.6].max() > 18, (x, z)
        near_any |= distance < 4
    assert level[~near_any].max() < 0


def test_cysts_are_dark_where_they_are(tmp_path):
    probe = LinearProbe(
        scanlines=128, width_mm=40, depth_mm=140, axial_samples=2048, focus_mm=70, elevation_focus_mm=70,
        aperture_mm=22, **SMALL,
    )  # fmt: skip
    level = corrected_db(load("cysts", tmp_path / "p"), probe, 2, Imaging(noise_db=-300))
    at = places(probe)
    for x, z, radius in cyst_places_mm():
        distance = np.hypot(at[..., 0] - x, at[..., 1] - z)
        if radius < 2:
            continue  # of 2 mm: mostly its own edge
        inside = 10 ** (level[distance < radius - 0.8] / 10)
        around = 10 ** (level[(distance > radius + 1) & (distance < radius + 2.5)] / 10)
        assert decibel(inside.mean() / around.mean()) < -15, (x, z)


def test_grey_scale_targets_have_the_contrast_that_they_say(tmp_path):
    scene = load("grey-scale", tmp_path / "p")
    probe = LinearProbe(
        scanlines=192, width_mm=100, depth_mm=80, axial_samples=1024, focus_mm=60, elevation_focus_mm=60, **SMALL
    )
    level = corrected_db(scene, probe, 2)
    at = places(probe)
    from_middle = np.hypot(at[..., 0, None] - grey_columns_mm(), at[..., 1, None] - GREY_DEPTH_MM)
    same_depth = np.abs(at[..., 1] - GREY_DEPTH_MM) < GREY_RADIUS_MM - 1
    block = 10 ** (level[same_depth & (from_middle > GREY_RADIUS_MM + 1.5).all(axis=-1)] / 10)
    for number, expected in enumerate(GREY_LEVELS_DB):
        target = 10 ** (level[from_middle[..., number] < GREY_RADIUS_MM - 1] / 10)
        assert decibel(target.mean() / block.mean()) == pytest.approx(expected, abs=1)


def test_a_phantom_replaces_one_that_was_built_there_and_nothing_else(tmp_path):
    build_phantom("cysts", tmp_path / "p")
    (tmp_path / "p" / "notes.txt").write_text("mine")
    build_phantom("pins", tmp_path / "p")
    assert sorted(path.name for path in (tmp_path / "p" / "meshes").iterdir()) == ["block.ply"]
    assert (tmp_path / "p" / "notes.txt").read_text() == "mine"
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "scene.toml").write_text("format = 1\n")
    with pytest.raises(OutputError, match="was not made by this command"):
        build_phantom("pins", tmp_path / "q")
    assert (tmp_path / "q" / "scene.toml").read_text() == "format = 1\n"


def test_a_phantom_is_the_same_bytes_every_time(tmp_path):
    for folder in ("a", "b"):
        build_phantom("grey-scale", tmp_path / folder)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 10
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_unknown_phantom_is_refused_with_the_names_there_are(tmp_path):
    with pytest.raises(UssimError, match=r"phantom = 'pin': .* 'pins'.* allowed: pins, cysts, grey-scale, uniform"):
        build_phantom("pin", tmp_path / "p")
    assert not (tmp_path / "p").exists()
