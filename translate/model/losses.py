"""The objective: L = L_GAN + λ · L_F (equations 2 to 4 of the paper).

Images are multiplied by the mask before either loss sees them, so what lies outside the sector never counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.channels import GREY_PER_UNIT
from translate.data.metrics import PKL_BINS, PKL_SMOOTHING, SSIM_C1, SSIM_C2, SSIM_RADIUS_PX, SSIM_SIGMA_PX
from translate.settings import LOCAL_PX


def adversarial(logits: Tensor, is_real: bool) -> Tensor:
    """Binary cross-entropy of the discriminator's verdicts (equation 3).

    With ``is_real`` for a generated image it is the generator's non-saturating form: −log D(G(x̃)|x̃).
    """
    wanted = logits.new_full((), float(is_real)).expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, wanted)


def discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Equation 3 as the discriminator minimises it, halved as in pix2pix (Adam does not see the factor)."""
    return (adversarial(real_logits, True) + adversarial(fake_logits, False)) / 2


def fidelity(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of masked images (equation 4)."""
    return F.l1_loss(output, target)


def feature_distance(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean absolute difference between the discriminator's features, averaged over its layers (pix2pixHD)."""
    distances = [F.l1_loss(a, b.detach()) for a, b in zip(fake, real, strict=True)]
    return sum(distances[1:], distances[0]) / len(distances)


TEXTURE_WINDOWS_PX = (8, LOCAL_PX)
"""A few speckles wide, and what pKL compares histograms of."""
_LEAST_VARIANCE = (
    1e-4  # of grey levels from −1 to 1: a standard deviation of 1.3 levels of 255, and of its gradient's reach
)


def texture_distance(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of local means plus that of local standard deviations, over windows inside the mask.

    Alone, a distance of pixels is least where speckle that cannot be foretold is averaged away. Its mean and spread can
    be foretold, and here they count.

    Args:
        output, target: Images, (N, 1, H, W).
        mask: 1 inside the sector, of the same shape.
    """
    total = output.new_zeros(())
    for side in TEXTURE_WINDOWS_PX:
        pooled = [F.avg_pool2d(image, side, side // 2) for image in (output, output**2, target, target**2, mask)]
        mean, square, wanted_mean, wanted_square, share = pooled
        spread, wanted = (
            (second - first**2).clamp(min=_LEAST_VARIANCE).sqrt()
            for first, second in ((mean, square), (wanted_mean, wanted_square))
        )
        total = total + _mean_inside((mean - wanted_mean).abs() + (spread - wanted).abs(), share)
    return total / len(TEXTURE_WINDOWS_PX)


def histogram_distance(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean 1-Wasserstein distance of the grey levels of patches, those that pKL compares the histograms of.

    The distance of two samples of one size is that of their values in order: unlike a divergence of histograms it has a
    gradient however far apart they are, and no bins. Patches that reach beyond the sector are left out.

    Args:
        output, target: Images, (N, 1, H, W).
        mask: 1 inside the sector, of the same shape.
    """
    found, wanted, share = map(_patches, (output, target, mask))
    apart = (found.sort(1).values - wanted.sort(1).values).abs().mean(1)
    return _mean_inside(apart, share.mean(1))


def histogram_divergence(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """pKL with soft bins: a grey level counts in the two bins whose middles it lies between, by its nearness to each.

    Where all is nearly black a haze of few grey levels costs much, as in pKL and little in other losses. It sees no
    further than the next bin. Bins and smoothing are those of ``translate.data.metrics.pkl``; patches that reach beyond
    the sector are left out.

    Args:
        output, target: Images in [-1, 1], (N, 1, H, W).
        mask: 1 inside the sector, of the same shape.
    """
    found, wanted, share = map(_patches, (output, target, mask))
    q, p = (_soft_histogram(GREY_PER_UNIT * (levels + 1)) for levels in (found, wanted))
    return _mean_inside((p * (p / q).log()).sum(1), share.mean(1))


def _patches(images: Tensor) -> Tensor:
    """(N, 1, H, W) → (N, 32², patches)."""
    return F.unfold(images, LOCAL_PX, stride=LOCAL_PX)


def _soft_histogram(grey: Tensor) -> Tensor:
    """Shares of soft bins, smoothed: (N, pixels, patches) → (N, bins, patches)."""
    place = (grey * (PKL_BINS / 255) - 0.5).clamp(0, PKL_BINS - 1)
    below = place.detach().long().clamp(max=PKL_BINS - 2)
    nearness = place - below
    counts = grey.new_full((len(grey), PKL_BINS, grey.shape[2]), PKL_SMOOTHING)
    counts = counts.scatter_add(1, below, 1 - nearness).scatter_add(1, below + 1, nearness)
    return counts / (grey.shape[1] + PKL_BINS * PKL_SMOOTHING)


def _mean_inside(values: Tensor, share: Tensor) -> Tensor:
    """Mean of the windows that lie in the sector, given what share of each does; 0 if there is none."""
    inside = (share > 0.999).to(values.dtype)
    return (values * inside).sum() / inside.sum().clamp(min=1)


def dissimilarity(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 − SSIM, its mean over the pixels whose window lies in the image and in the sector.

    Windows and constants are those of ``translate.data.metrics.ssim``.

    Args:
        output, target: Images in [-1, 1], (N, 1, H, W).
        mask: 1 inside the sector, of the same shape.
    """
    steps = torch.arange(-SSIM_RADIUS_PX, SSIM_RADIUS_PX + 1, device=output.device, dtype=output.dtype)
    window = torch.exp(-(steps**2) / (2 * SSIM_SIGMA_PX**2))
    window = window / window.sum()

    def local_mean(images: Tensor) -> Tensor:
        # a CPU multiplies matrices several times faster than it convolves single channels
        across, along = (
            torch.eye(side, device=window.device).unfold(1, len(window), 1) @ window for side in images.shape[2:]
        )
        return across.T @ images @ along

    x, y = (GREY_PER_UNIT * (image + 1) for image in (output, target))
    count = len(x)
    mean_x, mean_y, xx, yy, xy, share = local_mean(torch.cat([x, y, x * x, y * y, x * y, mask])).split(count)
    similarity = (2 * mean_x * mean_y + SSIM_C1) * (2 * (xy - mean_x * mean_y) + SSIM_C2)
    similarity = similarity / (mean_x**2 + mean_y**2 + SSIM_C1)
    similarity = similarity / (xx - mean_x**2 + yy - mean_y**2 + SSIM_C2)
    return _mean_inside(1 - similarity, share)
