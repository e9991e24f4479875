"""The loss of structure: 1 − SSIM, as others compute it, inside the sector."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from translate.model.losses import dissimilarity


def images(seed: int) -> torch.Tensor:
    rough = torch.rand(2, 2, 1, 80, 96, generator=torch.Generator().manual_seed(seed))
    return 2 * torch.nn.functional.avg_pool2d(rough.flatten(0, 1), 3, 1, 1).view_as(rough) - 1


def reference(output: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    pair = (127.5 * (image[0].double().numpy() + 1) for image in (output, target))
    return structural_similarity(
        *pair, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]


def test_it_is_one_less_the_ssim_of_scikit_image():
    output, target = images(0)
    inner = [reference(*pair)[5:-5, 5:-5] for pair in zip(output, target, strict=True)]
    found = float(dissimilarity(output, target, torch.ones_like(target)))
    assert found == pytest.approx(1 - np.mean(inner), abs=1e-5)
    assert float(dissimilarity(target, target, torch.ones_like(target))) == pytest.approx(0, abs=1e-6)


def test_windows_that_reach_beyond_the_sector_do_not_count():
    output, target = images(1)
    mask = torch.zeros_like(target)
    mask[..., 20:60, 30:70] = 1
    inner = [reference(*pair)[25:55, 35:65] for pair in zip(output, target, strict=True)]
    assert float(dissimilarity(output, target, mask)) == pytest.approx(1 - np.mean(inner), abs=1e-5)
    other = torch.where(mask > 0, output, -output)
    assert float(dissimilarity(other, target, mask)) == float(dissimilarity(output, target, mask))
    assert float(dissimilarity(output, target, torch.zeros_like(mask))) == 0


def test_its_gradient_is_finite_on_black():
    black = torch.full((1, 1, 32, 32), -1.0, requires_grad=True)
    dissimilarity(black, torch.full((1, 1, 32, 32), -1.0), torch.ones(1, 1, 32, 32)).backward()
    assert torch.isfinite(black.grad).all()
