"""Figures that compare an output with its target, pixel by pixel or patch by patch: PSNR, SSIM, pKL.

Images are grey, (H, W), 0 … 255. Floats are rounded to uint8 first: what is compared is what would be stored.
Every figure comes for the whole image, as in the paper, and for the pixels inside the mask alone; ``Target``
holds what depends on the target only, so that several outputs are compared with it at little cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.ndimage import gaussian_filter

from translate.data.tiles import tiles
from translate.settings import LOCAL_PX
from ussim.errors import UssimError

SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5
SSIM_C1 = (0.01 * 255) ** 2
SSIM_C2 = (0.03 * 255) ** 2

PKL_BINS = 50
PKL_PATCH_PX = LOCAL_PX
PKL_SMOOTHING = 0.5
PKL_MIN_MASK = 0.5
PKL_RULE = (
    f"{PKL_BINS} bins on [0, 255], non-overlapping patches of {PKL_PATCH_PX} × {PKL_PATCH_PX} pixels, "
    f"KL(target ‖ output) in nats, {PKL_SMOOTHING} added to every bin, patches with less than "
    f"{PKL_MIN_MASK:.0%} of their pixels in the mask left out"
)
"""How empty bins and image borders are treated. The paper does not say, and the value moves ninefold with it:
printed beside every pKL."""

_BIN_OF_GREY = np.minimum(np.arange(256) * PKL_BINS // 255, PKL_BINS - 1)


def as_uint8(image: np.ndarray) -> np.ndarray:
    """Round an image of grey levels to uint8; values beyond 0 … 255 are clipped.

    Raises:
        UssimError: Values that are not finite.
    """
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    if not np.isfinite(image).all():
        raise UssimError("an image holds values that are not finite: no metric can be computed")
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _pair(output: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    output, target = as_uint8(output), as_uint8(target)
    if output.shape != target.shape or output.ndim != 2:
        raise UssimError(f"cannot compare images of shape {output.shape} and {target.shape}")
    return output, target


def psnr_of_mse(mse: np.ndarray | float) -> np.ndarray:
    """10·log₁₀(255² / MSE) [dB]; infinite where the MSE is 0."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255.0**2 / np.asarray(mse, float))


def psnr(output: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio [dB], with 255² as the peak (the paper's text has dropped the square).

    Args:
        output, target: Images of shape (H, W).
        mask: Pixels that count, of shape (H, W); all of them by default.
    """
    output, target = _pair(output, target)
    error = (output.astype(np.int32) - target) ** 2
    return float(psnr_of_mse(error.mean() if mask is None else error[np.asarray(mask, bool)].mean()))


def ssim(output: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Structural similarity as MATLAB's ``ssim`` computes it with its default settings.

    An 11 × 11 Gaussian window of σ = 1.5 over images continued by their border pixels, population
    variances, mean over every pixel.

    Args:
        output, target: Images of shape (H, W).
        mask: Pixels over which the map is averaged, of shape (H, W); all of them by default.
    """
    similarity = Target(target).ssim_map(output)
    return float(similarity.mean() if mask is None else similarity[np.asarray(mask, bool)].mean())


def pkl(output: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Kullback-Leibler divergence of grey-level histograms, averaged over patches; see ``PKL_RULE``.

    Args:
        output, target: Images of shape (H, W).
        mask: Image mask of shape (H, W): pixels outside are left out of the histograms, and patches that
            lie mostly outside are left out of the mean. NaN if no patch is left.
    """
    whole, inside = Target(target, mask).pkl_patches(output)
    return nan_mean(whole if mask is None else inside)


def nan_mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else math.nan


@dataclass(frozen=True)
class Target:
    """A target image with all that is needed to compare outputs with it.

    Attributes:
        image: uint8 of shape (H, W).
        mask: Pixels inside the sector, of shape (H, W); None for all of them.
    """

    image: np.ndarray
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", as_uint8(self.image))
        if self.image.ndim != 2:
            raise UssimError(f"a target image has shape {self.image.shape}, expected (H, W)")
        inside = np.ones(self.image.shape, bool) if self.mask is None else np.asarray(self.mask, bool)
        if inside.shape != self.image.shape:
            raise UssimError(f"a mask of shape {inside.shape} does not fit an image of {self.image.shape}")
        object.__setattr__(self, "mask", inside)

    # SSIM -----------------------------------------------------------------------------------------
    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = self.image.astype(np.float64)
        mean = _window_mean(image)
        return image, mean, _window_mean(image * image) - mean * mean

    def ssim_map(self, output: np.ndarray) -> np.ndarray:
        """Structural similarity around each pixel, float64 of shape (H, W)."""
        output, _ = _pair(output, self.image)
        target, mean_t, variance_t = self._moments
        image = output.astype(np.float64)
        mean_o = _window_mean(image)
        variance_o = _window_mean(image * image) - mean_o * mean_o
        covariance = _window_mean(image * target) - mean_o * mean_t
        return ((2 * mean_o * mean_t + SSIM_C1) * (2 * covariance + SSIM_C2)) / (
            (mean_o * mean_o + mean_t * mean_t + SSIM_C1) * (variance_o + variance_t + SSIM_C2)
        )

    # pKL ------------------------------------------------------------------------------------------
    @cached_property
    def patch_shape(self) -> tuple[int, int]:
        """Rows and columns of whole patches; what is left over at the lower and right border is not used.

        Raises:
            UssimError: The image is smaller than a patch.
        """
        rows, columns = (size // PKL_PATCH_PX for size in self.image.shape)
        if not rows or not columns:
            height, width = self.image.shape
            raise UssimError(f"an image of {height} × {width} holds no pKL patch of {PKL_PATCH_PX} × {PKL_PATCH_PX}")
        return rows, columns

    @cached_property
    def _patch_mask(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mask of every patch's pixels (P, 32²), their number (P,), whether the patch counts (P,)."""
        mask = _patches(np.asarray(self.mask))
        count = mask.sum(axis=1)
        return mask, count, count >= PKL_MIN_MASK * PKL_PATCH_PX**2

    def _histograms(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed, normalised histograms of all pixels and of those in the mask, each (P, bins)."""
        mask, count, _ = self._patch_mask
        # one bincount gives both: pixels outside the mask go to a second half of the table
        address = _BIN_OF_GREY[_patches(image)] + np.where(mask, 0, PKL_BINS)
        address += (np.arange(len(mask)) * 2 * PKL_BINS)[:, None]
        table = np.bincount(address.ravel(), minlength=len(mask) * 2 * PKL_BINS).reshape(-1, 2, PKL_BINS)
        extra = PKL_BINS * PKL_SMOOTHING
        whole = (table.sum(axis=1) + PKL_SMOOTHING) / (PKL_PATCH_PX**2 + extra)
        return whole, (table[:, 0] + PKL_SMOOTHING) / (count[:, None] + extra)

    @cached_property
    def _target_histograms(self) -> tuple[np.ndarray, np.ndarray]:
        return self._histograms(self.image)

    def pkl_patches(self, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Divergence of each patch over all its pixels, and over those inside the mask.

        Returns:
            Two arrays of shape ``patch_shape``, float64; NaN for patches that lie mostly outside the mask.
        """
        output, _ = _pair(output, self.image)
        shape = self.patch_shape
        counts = self._patch_mask[2]
        result = []
        for p, q in zip(self._target_histograms, self._histograms(output), strict=True):
            divergence = np.where(counts, (p * np.log(p / q)).sum(axis=1), np.nan)
            result.append(divergence.reshape(shape))
        return result[0], result[1]


def _window_mean(image: np.ndarray) -> np.ndarray:
    """Gaussian mean around each pixel, (H, W) float64; pixels beyond the border repeat it."""
    return gaussian_filter(image, SSIM_SIGMA_PX, mode="nearest", radius=SSIM_RADIUS_PX)


def _patches(image: np.ndarray) -> np.ndarray:
    """(H, W) → (patches, 32²)."""
    return tiles(image, PKL_PATCH_PX).reshape(-1, PKL_PATCH_PX**2)


# Over many images -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class FigureSummary:
    """A figure over many crops.

    Attributes:
        mean, std: Mean and sample standard deviation over the crops where it is finite.
        percentile: The 5th percentile where more is better, the 95th where less is: how bad the worst are.
        count: Crops that went into it.
        left_out: Crops where it is not defined or infinite (identical images have no finite PSNR).
    """

    mean: float
    std: float
    percentile: float
    count: int
    left_out: int


def summarise(values: np.ndarray, more_is_better: bool) -> FigureSummary:
    """Mean, spread and the percentile on the bad side of a figure, of shape (crops,)."""
    values = np.asarray(values, float)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return FigureSummary(math.nan, math.nan, math.nan, 0, len(values))
    std = float(finite.std(ddof=1)) if finite.size > 1 else 0.0
    tail = float(np.percentile(finite, 5 if more_is_better else 95))
    return FigureSummary(float(finite.mean()), std, tail, int(finite.size), int(len(values) - finite.size))


@dataclass(frozen=True)
class PairedTest:
    """Wilcoxon's signed-rank test of one figure between two methods, paired by crop.

    Attributes:
        median_difference: Median of first − second.
        p_value: Two-sided; 1 if no pair differs.
        pairs: Number of pairs.
    """

    median_difference: float
    p_value: float
    pairs: int


def paired_test(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Wilcoxon's signed-rank test of two arrays of shape (crops,); pairs that are not finite are left out."""
    with np.errstate(invalid="ignore"):
        difference = np.asarray(first, float) - np.asarray(second, float)
    difference = difference[np.isfinite(difference)]
    if not difference.size:
        return PairedTest(math.nan, math.nan, 0)
    p = float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
    return PairedTest(float(np.median(difference)), p, int(difference.size))
