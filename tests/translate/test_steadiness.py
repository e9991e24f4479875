"""How much tissue flickers in a slow sweep: against movements that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from support.translate_store import make_store

from translate.evaluation.evaluate import evaluate
from translate.evaluation.results import HIGH_QUALITY, LOW_QUALITY
from translate.evaluation.steadiness import carried, require_slow, steadiness_of
from ussim.dataset.schema import ImageGeometry
from ussim.dataset.store import Dataset
from ussim.errors import UssimError

GEOMETRY = ImageGeometry(height=96, width=128, mm_per_pixel=0.5, origin_mm=(-32.0, 2.0))
INSIDE = np.ones((96, 128), np.uint8)


def texture(side: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Smooth tissue, by place in the scene [mm]."""
    return 120 + 50 * np.sin(side / 3) * np.cos(depth / 4)


def image_at(pose: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:96, :128]
    x, z = GEOMETRY.origin_mm[0] + 0.5 * columns, GEOMETRY.origin_mm[1] + 0.5 * rows
    return texture(pose[0, 0] * x + pose[0, 2] * z + pose[0, 3], pose[2, 0] * x + pose[2, 2] * z + pose[2, 3])


def moved(side_mm: float = 0.0, depth_mm: float = 0.0, turn: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 0] = pose[2, 2] = np.cos(turn)
    pose[0, 2], pose[2, 0] = np.sin(turn), -np.sin(turn)
    pose[:3, 3] = side_mm, 0.0, depth_mm
    return pose


POSES = np.stack([moved(), moved(0.4), moved(0.4, 0.3), moved(0.5, 0.3, 0.004), moved(0.5, 0.3, 0.008)])


def test_an_image_carried_to_another_pose_is_the_image_there():
    found = carried(image_at(POSES[0]), POSES[0], POSES[3], GEOMETRY)
    known = np.isfinite(found)
    assert known.mean() > 0.95
    np.testing.assert_allclose(found[known], image_at(POSES[3])[known], atol=0.5)


def test_still_tissue_under_a_probe_that_moves_does_not_flicker():
    images = [image_at(pose) for pose in POSES]
    found = steadiness_of(images, POSES, INSIDE, GEOMETRY)
    assert found.pixel < 0.2
    assert found.patch < 0.1
    assert steadiness_of(images, np.stack([np.eye(4)] * 5), INSIDE, GEOMETRY).pixel > 1.5  # not told of the movement


def test_flicker_of_known_size_is_found():
    rng = np.random.default_rng(0)
    still = np.stack([np.eye(4)] * 5)
    brighter = [np.full((96, 128), 100.0 + step) for step in (0, 4, 0, 4, 0)]
    assert steadiness_of(brighter, still, INSIDE, GEOMETRY).pixel == pytest.approx(4)
    assert steadiness_of(brighter, still, INSIDE, GEOMETRY).patch == pytest.approx(4)
    noise = [100 + rng.normal(size=(96, 128)) for _ in range(5)]
    found = steadiness_of(noise, still, INSIDE, GEOMETRY)
    assert found.pixel == pytest.approx(np.sqrt(2), rel=0.05)
    assert found.patch == pytest.approx(np.sqrt(2) / 6, rel=0.2)  # means over 6 × 6 pixels


def test_pixels_outside_of_the_sector_do_not_count():
    mask = INSIDE.copy()
    mask[:, 64:] = 0
    still = np.stack([np.eye(4)] * 3)
    images = [np.where(mask > 0, 100.0, value) for value in (0.0, 200.0, 0.0)]
    found = steadiness_of(images, still, mask, GEOMETRY)
    assert (found.pixel, found.patch) == (0, 0)


def slow_sweep(path, frames=6, step_mm=0.25):
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 1, 3] = step_mm * np.arange(frames)
    return make_store(path, frames=frames, poses=poses)


def test_the_report_says_how_steady_a_sweep_is(runs, tmp_path):
    sweep = slow_sweep(tmp_path / "sweep.zarr")
    report = evaluate([runs / "LM"], runs / "store.zarr", tmp_path / "report", crop=64, device="cpu", sweep=sweep)
    found = report.evaluation.steadiness
    assert list(found) == [LOW_QUALITY, "L2HM", HIGH_QUALITY]
    dataset = Dataset.open(sweep)
    images = [dataset.frame(k).hq for k in range(6)]
    assert found[HIGH_QUALITY] == steadiness_of(images, dataset.poses, dataset.mask, dataset.header.image)
    assert "Steadiness" in (tmp_path / "report" / "report.md").read_text()
    assert (tmp_path / "report" / "error_maps.png").stat().st_size > 1000


def test_frames_too_far_apart_are_no_slow_sweep(tmp_path):
    with pytest.raises(UssimError, match=r"lie up to 2\.00 mm apart; allowed: a slow sweep, 0\.5 mm at most"):
        require_slow(Dataset.open(slow_sweep(tmp_path / "fast.zarr", step_mm=2.0)))
    with pytest.raises(UssimError, match="at least 3 frames of one anatomy"):
        require_slow(Dataset.open(slow_sweep(tmp_path / "short.zarr", frames=2)))


def test_smoothing_is_not_mistaken_for_steadiness_of_patches():
    rng = np.random.default_rng(1)
    still = np.stack([np.eye(4)] * 4)
    noise = [gaussian_filter(rng.normal(size=(96, 128)), 8) * 100 for _ in range(4)]
    found = steadiness_of(noise, still, INSIDE, GEOMETRY)
    assert found.patch == pytest.approx(found.pixel, rel=0.15)
