"""The whole field of view in one go against crops: figures at the same pixels, and crops that overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from translate.data.metrics import nan_mean
from translate.evaluation.results import FIGURES, FullView
from translate.evaluation.scores import CropScore


def compare_views(crop: Sequence[CropScore], full: Sequence[CropScore], overlap: np.ndarray) -> FullView:
    """What changes when whole images are translated instead of crops.

    Args:
        crop: Scores of the crops' own outputs.
        full: Scores of the whole images' outputs at the same crops.
        overlap: See :func:`overlap_difference`, summed over all images.
    """
    inside_crop, inside_full = (np.array([score.inside for score in scores]) for scores in (crop, full))
    core_crop, core_full = (np.array([score.core for score in scores]) for scores in (crop, full))
    with np.errstate(invalid="ignore"):  # infinite − infinite, where an output equals its target
        inside, core = inside_full - inside_crop, core_full - core_crop
    gap, core_gap = ({figure: _finite_mean(part[:, k]) for k, figure in enumerate(FIGURES)} for part in (inside, core))
    band_gap, band_relative_pkl = _band_gaps(*([score.bands for score in scores] for scores in (crop, full)))
    core_bands, core_band_pkl = _band_gaps(*([score.core_bands for score in scores] for scores in (crop, full)))
    pkl = FIGURES.index("pkl")
    total, count = overlap
    return FullView(
        gap=gap,
        core_gap=core_gap,
        band_gap=band_gap,
        core_band_gap=core_bands,
        relative_pkl=_ratio(gap["pkl"], nan_mean(inside_crop[:, pkl])),
        core_relative_pkl=_ratio(core_gap["pkl"], nan_mean(core_crop[:, pkl])),
        band_relative_pkl=band_relative_pkl,
        core_band_relative_pkl=core_band_pkl,
        overlap_grey=_ratio(total, count),
    )


def overlap_difference(crops: Sequence[np.ndarray], windows: Sequence[tuple], mask: np.ndarray) -> np.ndarray:
    """Sum of absolute differences between overlapping crops inside the mask, and the number of pixels."""
    total = np.zeros(2)
    for (a, (rows_a, cols_a)), (b, (rows_b, cols_b)) in combinations(zip(crops, windows, strict=True), 2):
        top, bottom = max(rows_a.start, rows_b.start), min(rows_a.stop, rows_b.stop)
        left, right = max(cols_a.start, cols_b.start), min(cols_a.stop, cols_b.stop)
        if top >= bottom or left >= right:
            continue
        part_a = a[top - rows_a.start : bottom - rows_a.start, left - cols_a.start : right - cols_a.start]
        part_b = b[top - rows_b.start : bottom - rows_b.start, left - cols_b.start : right - cols_b.start]
        inside = mask[top:bottom, left:right].astype(bool)
        difference = np.abs(part_a.astype(np.int16) - part_b)[inside]
        total += difference.sum(), difference.size
    return total


def _band_gaps(
    crop: Sequence[np.ndarray], full: Sequence[np.ndarray]
) -> tuple[dict[str, tuple[float, ...]], tuple[float, ...]]:
    """Figures of the whole view minus those of crops by depth band, each (B, 3) a crop; and pKL's as a share."""
    by_crop, by_full = np.array(crop), np.array(full)
    with np.errstate(invalid="ignore"):  # infinite − infinite, where an output equals its target
        by_band = by_full - by_crop
    bands = range(by_band.shape[1])
    gap = {figure: tuple(_finite_mean(by_band[:, band, k]) for band in bands) for k, figure in enumerate(FIGURES)}
    pkl = FIGURES.index("pkl")
    return gap, tuple(_ratio(gap["pkl"][band], nan_mean(by_crop[:, band, pkl])) for band in bands)


def _finite_mean(values: np.ndarray) -> float:
    return nan_mean(np.where(np.isfinite(values), values, np.nan))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
