"""The loss of local means and spreads: it does not fall when speckle is smoothed away."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.translate_store import make_store

from translate.model.losses import fidelity, texture_distance
from translate.settings import TrainSettings
from translate.training.log import read_log
from translate.training.loop import train

INSIDE = torch.ones(1, 1, 128, 128)


def speckle(seed: int) -> torch.Tensor:
    """Independent draws of one texture: Gaussian of spread 0.2."""
    generator = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(1, 1, 128, 128, generator=generator)


def test_equal_images_have_no_distance_and_a_shift_counts_as_itself():
    image = speckle(0)
    assert float(texture_distance(image, image, INSIDE)) == 0
    assert float(texture_distance(image + 0.1, image, INSIDE)) == pytest.approx(0.1, rel=1e-3)


def test_half_the_spread_counts_as_half_the_spread():
    image = speckle(0)
    mean = sum(float(F.avg_pool2d(image, side, side // 2).abs().mean()) for side in (8, 32)) / 2
    assert float(texture_distance(image / 2, image, INSIDE)) == pytest.approx(0.1 + mean / 2, rel=0.03)


def test_another_draw_of_the_same_speckle_is_nearer_than_its_mean_though_pixels_say_otherwise():
    target, other, flat = speckle(0), speckle(1), torch.zeros(1, 1, 128, 128)
    assert fidelity(flat, target) < fidelity(other, target)
    assert texture_distance(other, target, INSIDE) < 0.3 * texture_distance(flat, target, INSIDE)


def test_what_lies_outside_of_the_mask_does_not_count():
    mask = INSIDE.clone()
    mask[..., 64:] = 0
    other = speckle(0)
    other[..., 64:] = 1
    assert float(texture_distance(other, speckle(0), mask)) == 0
    assert float(texture_distance(other, speckle(0), torch.zeros_like(mask))) == 0


def test_its_gradient_is_finite_where_images_are_black():
    black = torch.full((1, 1, 64, 64), -1.0, requires_grad=True)
    texture_distance(black, torch.full((1, 1, 64, 64), -1.0), torch.ones(1, 1, 64, 64)).backward()
    assert torch.isfinite(black.grad).all()


def test_a_training_lowers_it(tmp_path):
    store = make_store(tmp_path / "store.zarr", frames=12)
    settings = TrainSettings.make(
        "fast", ngf=8, depth=4, crop=64, batch=4, iterations=40, threads=1, precision="float32", log_every=10,
        learning_rate=2e-3, texture_weight=100,
    )  # fmt: skip
    train(settings, store, tmp_path / "run", device="cpu")
    log = [line["texture"] for line in read_log(tmp_path / "run")]
    assert log[-1] < 0.9 * log[0]
