"""The objective: L = L_GAN + λ · L_F (equations 2 to 4 of the paper).

Images are multiplied by the mask before either loss sees them, so what lies outside the sector never counts.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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
