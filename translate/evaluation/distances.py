"""Distances between two sets of feature vectors: Fréchet distance and kernel distance (KID).

They compare distributions, not pairs: which output belongs to which target plays no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ussim.errors import UssimError

KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000


def _as_sets(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise UssimError(f"feature sets of shape {first.shape} and {second.shape} cannot be compared")
    if min(len(first), len(second)) < 2:
        raise UssimError(f"a set of {min(len(first), len(second))} samples has no covariance: 2 are needed")
    return first, second


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of the Gaussians that fit two feature sets.

    With Σ = Rᵀ·R the cross term tr((Σa·Σb)^½) is the sum of the singular values of Ra·Rbᵀ. R may be the
    centred features themselves, so that fewer samples than dimensions cost no more than their number asks for,
    and no small negative eigenvalue is ever rooted.

    Args:
        first, second: Features of shape (N, D) and (M, D).

    Raises:
        UssimError: Fewer than two samples, or different D.
    """
    first, second = _as_sets(first, second)
    root_a, root_b = _root(first), _root(second)
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    shift = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum()
    return float(shift + (root_a**2).sum() + (root_b**2).sum() - 2 * cross)


def _root(features: np.ndarray) -> np.ndarray:
    """R with Rᵀ·R = sample covariance, of shape (min(N, D), D)."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred


def frechet_interval(
    first: np.ndarray,
    second: np.ndarray,
    groups: np.ndarray,
    replicates: int = 100,
    seed: int = 0,
    coverage: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap interval of the Fréchet distance between paired feature sets.

    Whole images are drawn with replacement, and all pieces of an image come together in both sets, because
    pieces of one image are alike. Drawing with replacement lowers the rank of the covariances and with it
    shifts the distance up; the shift is taken out, so that the interval lies around the distance itself.

    Args:
        first, second: Features of shape (N, D) of the same N pieces.
        groups: Which image each piece is from, (N,).
        replicates: Sets drawn.
        seed: Seed of the draws.
        coverage: Share of the drawn distances inside the interval.

    Returns:
        Lower and upper end.
    """
    first, second = _as_sets(first, second)
    if len(first) != len(second) or len(groups) != len(first):
        raise UssimError("a bootstrap interval needs paired feature sets and the image of each pair")
    names, member = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    centre = first.mean(axis=0)  # a common shift changes no distance, and saves digits
    distance_of = _resampler(first - centre, second - centre)
    draws: list[float] = []
    while len(draws) < replicates:
        weight = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[member]
        if weight.sum() > 1:
            draws.append(distance_of(weight))
    tail = (1 - coverage) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - np.mean(draws)
    distance = frechet_distance(first, second)
    return float(max(0.0, distance + low)), float(distance + high)


def _resampler(first: np.ndarray, second: np.ndarray) -> Callable[[np.ndarray], float]:
    """The Fréchet distance of sets in which sample k occurs weight[k] times, by the cheaper of two ways."""
    if first.shape[1] < len(first) // 2:

        def repeated(weight: np.ndarray) -> float:
            picks = np.repeat(np.arange(len(weight)), weight)
            return frechet_distance(first[picks], second[picks])

        return repeated
    grams = (first @ first.T, second @ second.T, first @ second.T)
    return lambda weight: _weighted_frechet(grams, weight.astype(float))


def _weighted_frechet(grams: tuple[np.ndarray, np.ndarray, np.ndarray], weight: np.ndarray) -> float:
    """Fréchet distance of sets in which sample k occurs weight[k] times, from the inner products alone."""
    keep = weight > 0
    w = weight[keep]
    n = w.sum()
    aa, bb, ab = (gram[np.ix_(keep, keep)] for gram in grams)
    mean_aa, mean_bb, mean_ab = (w @ gram @ w / n**2 for gram in (aa, bb, ab))
    centred = ab - (w @ ab / n)[None, :] - (ab @ w / n)[:, None] + mean_ab
    scale = np.sqrt(w)
    cross = np.linalg.svd(scale[:, None] * centred * scale, compute_uv=False).sum()
    spread = w @ np.diag(aa) - n * mean_aa + w @ np.diag(bb) - n * mean_bb
    return float(mean_aa + mean_bb - 2 * mean_ab + (spread - 2 * cross) / (n - 1))


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance.

    Attributes:
        mean, std: Over the subsets.
        subset_size: Samples of each set in a subset.
        subsets: Number of subsets.
    """

    mean: float
    std: float
    subset_size: int
    subsets: int


def mmd2_unbiased(aa: np.ndarray, bb: np.ndarray, ab: np.ndarray) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy from kernel matrices (m, m), (n, n), (m, n).

    It can be negative; its expectation is 0 for two sets of one distribution.
    """
    m, n = ab.shape
    within_a = (aa.sum() - np.trace(aa)) / (m * (m - 1))
    within_b = (bb.sum() - np.trace(bb)) / (n * (n - 1))
    return float(within_a + within_b - 2 * ab.mean())


def kernel_distance(
    first: np.ndarray, second: np.ndarray, subsets: int = KID_SUBSETS, size: int | None = None, seed: int = 0
) -> KernelDistance:
    """Kernel inception distance: the unbiased MMD² of the kernel (x·y/D + 1)³, averaged over random subsets.

    Unlike the Fréchet distance it has no bias at a small number of samples.

    Args:
        first, second: Features of shape (N, D) and (M, D).
        subsets: Subsets drawn, without replacement within one.
        size: Samples in a subset: by default half the smaller set, 1000 at most.
        seed: Seed of the draws.
    """
    first, second = _as_sets(first, second)
    smaller = min(len(first), len(second))
    size = min(KID_SUBSET_SIZE, max(2, smaller // 2)) if size is None else size
    if not 2 <= size <= smaller:
        raise UssimError(f"KID subsets of {size} cannot be drawn from {smaller} samples: 2 to {smaller}")

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    aa, bb, ab = kernel(first, first), kernel(second, second), kernel(first, second)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        i = rng.choice(len(first), size, replace=False)
        j = rng.choice(len(second), size, replace=False)
        values.append(mmd2_unbiased(aa[np.ix_(i, i)], bb[np.ix_(j, j)], ab[np.ix_(i, j)]))
    return KernelDistance(float(np.mean(values)), float(np.std(values)), size, subsets)
