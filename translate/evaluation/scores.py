"""Figures of single crops: over all pixels, inside the mask, in the core and by depth band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from translate.data.metrics import PKL_PATCH_PX, Target, nan_mean, psnr_of_mse
from translate.evaluation.protocol import EvaluationProtocol

MIN_BAND_PX = 1024
"""A crop with fewer pixels of a depth band says nothing of that band."""


@dataclass(frozen=True)
class CropScore:
    """PSNR, SSIM, pKL of one output crop.

    Attributes:
        whole: Over all pixels.
        inside: Inside the mask.
        core: Inside the mask and away from the crop's edges; NaN where too little is left.
        bands: Inside the mask in each depth band, (B, 3).
        core_bands: The same for the core alone; NaN where too little is left.
    """

    whole: tuple[float, float, float]
    inside: tuple[float, float, float]
    core: tuple[float, float, float]
    bands: np.ndarray
    core_bands: np.ndarray


class CropTarget:
    """A target crop and its depth bands."""

    def __init__(self, target: np.ndarray, mask: np.ndarray, bands: np.ndarray, protocol: EvaluationProtocol):
        self.target = Target(target, mask)
        self.count = count = protocol.bands
        self.margin = protocol.core_margin
        edge = np.ones(mask.shape, bool)
        height, width = mask.shape
        edge[self.margin : height - self.margin, self.margin : width - self.margin] = False
        # bands of the core, the same bands at the edge, background: one pass sums everything
        self.label = np.where(mask, bands + count * edge, 2 * count).astype(np.uint8)
        self.pixels = np.bincount(self.label.ravel(), minlength=2 * count + 1)
        rows, columns = self.target.patch_shape
        half = PKL_PATCH_PX // 2
        patch_band = bands[half::PKL_PATCH_PX, half::PKL_PATCH_PX][:rows, :columns]
        self.patch_bands = [patch_band == band for band in range(count)]
        patches = self.margin // PKL_PATCH_PX
        self.core_patches = (slice(patches, -patches or None),) * 2

    def score(self, output: np.ndarray) -> CropScore:
        """PSNR, SSIM and pKL of an output, uint8 of the target's shape."""
        similarity = self.target.ssim_map(output)
        sums = self._sums(output, similarity)
        kl_whole, kl_inside = self.target.pkl_patches(output)
        kl_core = np.full_like(kl_inside, np.nan)
        kl_core[self.core_patches] = kl_inside[self.core_patches]
        everything, inside, core = (slice(0, stop) for stop in (None, 2 * self.count, self.count))
        return CropScore(
            self._means(sums, everything, kl_whole),
            self._means(sums, inside, kl_inside),
            self._means(sums, core, kl_core) if self.pixels[core].sum() >= MIN_BAND_PX else (math.nan,) * 3,
            self._bands(sums, 2, kl_inside),
            self._bands(sums, 1, kl_core),
        )

    def _sums(self, output: np.ndarray, similarity: np.ndarray) -> np.ndarray:
        """Sums of squared error and of similarity over the pixels of each label, (labels, 2)."""
        label = self.label.ravel()
        error = output.astype(np.int32) - self.target.image
        parts = [np.bincount(label, values.ravel(), 2 * self.count + 1) for values in (error * error, similarity)]
        return np.stack(parts, axis=1)

    def _means(self, sums: np.ndarray, part: slice, divergence: np.ndarray) -> tuple[float, float, float]:
        error, similar = sums[part].sum(axis=0) / self.pixels[part].sum()
        return float(psnr_of_mse(error)), float(similar), nan_mean(divergence)

    def _bands(self, sums: np.ndarray, parts: int, divergence: np.ndarray) -> np.ndarray:
        """Of the core alone (one part) or of core and edge (two)."""
        bands = np.full((self.count, 3), np.nan)
        pixels = self.pixels[:-1].reshape(2, -1)[:parts].sum(axis=0)
        enough = pixels >= MIN_BAND_PX
        means = sums[:-1].reshape(2, -1, 2)[:parts].sum(axis=0)[enough] / pixels[enough, None]
        bands[enough, 0], bands[enough, 1] = psnr_of_mse(means[:, 0]), means[:, 1]
        bands[:, 2] = [nan_mean(divergence[here]) for here in self.patch_bands]
        return bands


def score_crops(
    names: Sequence[str], targets: Sequence[CropTarget], crops: Mapping[str, Sequence[np.ndarray]], pool: Executor
) -> dict[str, list[CropScore]]:
    """Scores of every name's crops. One thread for each crop: its target is worked out once."""

    def one(k: int) -> list[CropScore]:
        return [targets[k].score(crops[name][k]) for name in names]

    by_crop = list(pool.map(one, range(len(targets))))
    return {name: [scores[k] for scores in by_crop] for k, name in enumerate(names)}
