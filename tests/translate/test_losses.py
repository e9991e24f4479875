"""The losses of structure, 1 − SSIM, and of local histograms: as others compute them, inside the sector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from skimage.metrics import structural_similarity

from translate.data.metrics import PKL_BINS, pkl
from translate.model.losses import dissimilarity, histogram_distance, histogram_divergence


def images(seed: int) -> torch.Tensor:
    rough = torch.rand(2, 2, 1, 80, 96, generator=torch.Generator().manual_seed(seed))
    return 2 * torch.nn.functional.avg_pool2d(rough.flatten(0, 1), 3, 1, 1).view_as(rough) - 1


def reference(output: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    pair = (127.5 * (image[0].double().numpy() + 1) for image in (output, target))
    return structural_similarity(
        *pair, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]


def test_dissimilarity_is_one_less_the_ssim_of_scikit_image():
    output, target = images(0)
    inner = [reference(*pair)[5:-5, 5:-5] for pair in zip(output, target, strict=True)]
    found = float(dissimilarity(output, target, torch.ones_like(target)))
    assert found == pytest.approx(1 - np.mean(inner), abs=1e-5)
    assert float(dissimilarity(target, target, torch.ones_like(target))) == pytest.approx(0, abs=1e-6)


def test_ssim_windows_that_reach_beyond_the_sector_do_not_count():
    output, target = images(1)
    mask = torch.zeros_like(target)
    mask[..., 20:60, 30:70] = 1
    inner = [reference(*pair)[25:55, 35:65] for pair in zip(output, target, strict=True)]
    assert float(dissimilarity(output, target, mask)) == pytest.approx(1 - np.mean(inner), abs=1e-5)
    other = torch.where(mask > 0, output, -output)
    assert float(dissimilarity(other, target, mask)) == float(dissimilarity(output, target, mask))
    assert float(dissimilarity(output, target, torch.zeros_like(mask))) == 0


def test_the_gradient_of_dissimilarity_is_finite_on_black():
    black = torch.full((1, 1, 32, 32), -1.0, requires_grad=True)
    dissimilarity(black, torch.full((1, 1, 32, 32), -1.0), torch.ones(1, 1, 32, 32)).backward()
    assert torch.isfinite(black.grad).all()


def test_histograms_are_as_far_apart_as_scipy_says():
    output, target = images(2)
    expected = [
        wasserstein_distance(*(image[n, 0, row : row + 32, left : left + 32].flatten() for image in (output, target)))
        for n in range(2)
        for row in (0, 32)
        for left in (0, 32, 64)
    ]
    found = float(histogram_distance(output, target, torch.ones_like(target)))
    assert found == pytest.approx(np.mean(expected), rel=1e-4)


def test_speckle_elsewhere_is_no_distance_of_histograms_and_speckle_smoothed_away_is():
    target = images(3)[0]
    patch = target[..., :32, :32]
    assert float(histogram_distance(patch.transpose(2, 3), patch, torch.ones_like(patch))) == 0
    flat = target.mean((2, 3), keepdim=True).expand_as(target)
    assert float(histogram_distance(flat, target, torch.ones_like(target))) > 0.05


def test_divergence_of_grey_levels_in_the_middle_of_bins_is_pkl():
    greys = 255 / PKL_BINS * (np.random.default_rng(0).integers(0, PKL_BINS, (2, 64, 96)) + 0.5)
    output, target = (torch.tensor(grey / 127.5 - 1, dtype=torch.float64)[None, None] for grey in greys)
    expected = pkl(*(np.floor(grey).astype(np.uint8) for grey in greys))
    assert float(histogram_divergence(output, target, torch.ones_like(target))) == pytest.approx(expected, rel=1e-9)


def test_a_haze_over_black_has_a_divergence_that_falls_as_it_clears():
    target = torch.full((1, 1, 32, 32), -1.0)
    grey = 7 * torch.rand(target.shape, generator=torch.Generator().manual_seed(5))
    haze = (target + grey / 127.5).requires_grad_()
    found = histogram_divergence(haze, target, torch.ones_like(target))
    found.backward()
    assert found.item() > 0.1
    assert float(haze.grad.min()) >= 0
    assert float(haze.grad.sum()) > 0
    assert float(histogram_divergence(target, target, torch.ones_like(target))) == 0


@pytest.mark.parametrize("distance", [histogram_distance, histogram_divergence])
def test_patches_that_reach_beyond_the_sector_do_not_count(distance):
    output, target = images(4)
    mask = torch.zeros_like(target)
    mask[..., :40, :70] = 1
    expected = float(distance(output[..., :32, :64], target[..., :32, :64], mask[..., :32, :64]))
    assert float(distance(output, target, mask)) == pytest.approx(expected, rel=1e-6)
    assert float(distance(output, target, torch.zeros_like(mask))) == 0
