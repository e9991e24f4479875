"""Speckle statistics: is the texture of an output that of the high-quality image?

The log compression is undone first: grey level g is the amplitude 10^(g/255 · R/20) for a dynamic range of R dB.

Two figures, in tissue that makes speckle and is neither black nor white in the high-quality image:

- the envelope's signal-to-noise ratio, mean / standard deviation within patches of one tissue: 1.91 for fully
  developed speckle, more where an image is smoothed;
- the widths of the autocovariance along and across the scanlines, in depth bands: the size of a speckle grain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates, uniform_filter

from translate.data.tiles import tiles
from ussim.dataset.schema import Header
from ussim.probe.probe import make_probe

RAYLEIGH_SNR = math.sqrt(math.pi / (4 - math.pi))
"""Signal-to-noise ratio of fully developed speckle, 1.913."""
PATCH_PX = 32
MIN_GREY = 25
"""Darker surroundings are shadow or fluid, where the display clips the envelope."""
_MAX_CLIPPED = 0.01
_SURROUNDINGS_MM = 6.0
_SURROUNDINGS_LINES = 31
_LAGS = 12


@dataclass(frozen=True)
class Statistics:
    """Speckle of many images.

    Attributes:
        snr: Median over patches of the envelope's signal-to-noise ratio.
        band_snr: The same in each depth band; NaN where there is no patch.
        patches: Number of patches.
        axial_mm, lateral_mm: Full width at half maximum of the autocovariance in each depth band; NaN where
            there is too little tissue.
    """

    snr: float
    band_snr: tuple[float, ...]
    patches: int
    axial_mm: tuple[float, ...]
    lateral_mm: tuple[float, ...]


@dataclass(frozen=True)
class Selection:
    """Where a frame's speckle is measured, the same places for every image of it.

    Attributes:
        patches: Which patches of 32 × 32 pixels lie in one tissue, bool of shape (H // 32, W // 32).
        weight: 1 where a sample of the polar grid counts, float32 of shape (depths, lines).
        share: Share of the surroundings of each sample that counts, same shape.
        pairs: Pairs of samples that count, for each direction, depth band and lag; (2, B, lags).
    """

    patches: np.ndarray
    weight: np.ndarray
    share: np.ndarray
    pairs: np.ndarray


def amplitudes(header: Header) -> np.ndarray:
    """The envelope that each grey level stands for, float64 of shape (256,): the log compression undone."""
    return 10 ** (np.arange(256) / 255 * float(header.imaging["dynamic_range_db"]) / 20)


class Speckle:
    """Measures the speckle of images on one store's pixel grid.

    Attributes:
        band_edges_mm: Depths between the bands, (B + 1,).
        pixel_depths_mm: Depth of every pixel along its scanline, (H, W).
    """

    def __init__(self, header: Header, mask: np.ndarray, bands: int):
        self._mask = mask.astype(bool)
        self._tissues = np.zeros(256, bool)
        for row in header.tissues:
            makes_speckle = row.get("scatter_density", 0) > 0 and row.get("scatter_std", 0) > 0
            self._tissues[row["id"]] = makes_speckle
        self._amplitude = amplitudes(header).astype(np.float32)

        probe = make_probe(**header.probe)
        spacing = header.image.mm_per_pixel
        self.pixel_depths_mm = probe.pixel_lines()[1]
        self.band_edges_mm = np.linspace(0, probe.depth_mm, bands + 1)
        depth = np.arange(0, probe.depth_mm, spacing)
        origin, direction = probe.scanline_rays()
        x = origin[:, 0] + depth[:, None] * direction[:, 0]
        z = origin[:, 2] + depth[:, None] * direction[:, 2]
        x0, z0 = header.image.origin_mm
        self._polar = np.stack([(z - z0) / spacing, (x - x0) / spacing])
        self._line_mm = probe.line_pitch_mm(depth)
        self._depth_mm = spacing
        middle = tiles(self.pixel_depths_mm, PATCH_PX).mean(axis=2)
        self._patch_bands = np.digitize(middle, self.band_edges_mm[1:-1]).astype(np.float64)
        self._window = (max(3, round(_SURROUNDINGS_MM / spacing)), _SURROUNDINGS_LINES)
        self._rows = [
            np.flatnonzero((depth >= low) & (depth < high))
            for low, high in zip(self.band_edges_mm[:-1], self.band_edges_mm[1:], strict=True)
        ]

    def select(self, target: np.ndarray, segmentation: np.ndarray) -> Selection:
        """Choose where a frame's speckle is measured.

        Args:
            target: High-quality image, uint8 of shape (H, W).
            segmentation: Tissue ids, uint8 of shape (H, W).
        """
        bright = uniform_filter(target.astype(np.float32), PATCH_PX) >= MIN_GREY
        usable = self._tissues[segmentation] & self._mask & bright
        weight = map_coordinates(usable.astype(np.float32), self._polar, order=1) > 0.999
        weight = weight.astype(np.float32)
        share = np.maximum(uniform_filter(weight, self._window), 1e-6)
        patches = self._homogeneous(target, segmentation, usable)
        return Selection(patches, weight, share, self._lagged_sums(weight))

    def _homogeneous(self, target: np.ndarray, segmentation: np.ndarray, usable: np.ndarray) -> np.ndarray:
        ids = tiles(segmentation, PATCH_PX)
        clipped = tiles((target == 0) | (target == 255), PATCH_PX).mean(axis=2)
        uniform = ids.min(axis=2) == ids.max(axis=2)
        return uniform & tiles(usable, PATCH_PX).all(axis=2) & (clipped <= _MAX_CLIPPED)

    def samples(self, image: np.ndarray, where: Selection) -> tuple[np.ndarray, np.ndarray]:
        """What one image adds to the statistics.

        Returns:
            Depth band and the envelope's signal-to-noise ratio of each patch, (P, 2), and for each direction, depth
            band and lag the sum of products of the relative envelope and their number, (2, B, lags, 2).
        """
        envelope = self._amplitude[image]
        patches = tiles(envelope, PATCH_PX)[where.patches].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.stack([self._patch_bands[where.patches], patches.mean(axis=1) / patches.std(axis=1)], axis=1)
        # a cubic spline: linear interpolation would widen grains of a pixel or two by a tenth
        polar = map_coordinates(envelope, self._polar, order=3, output=np.float32)
        mean = uniform_filter(polar * where.weight, self._window) / where.share
        relative = (polar / np.maximum(mean, 1e-6) - 1) * where.weight
        return ratios, np.stack([self._lagged_sums(relative), where.pairs], axis=-1)

    def _lagged_sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of v(x)·v(x + lag) for each direction (axial, lateral), depth band and lag: (2, B, lags)."""
        sums = np.zeros((2, len(self._rows), _LAGS))
        height, width = values.shape
        for lag in range(_LAGS):
            axial = np.einsum("ij,ij->i", values[lag:], values[: height - lag])
            lateral = np.einsum("ij,ij->i", values[:, lag:], values[:, : width - lag])
            for direction, products in enumerate((axial, lateral)):
                for band, rows in enumerate(self._rows):
                    sums[direction, band, lag] = products[rows[rows < len(products)]].sum(dtype=np.float64)
        return sums

    def statistics(self, ratios: np.ndarray, sums: np.ndarray) -> Statistics:
        """Statistics of many images from their ``samples``, ratios joined and sums added up."""
        widths: tuple[list[float], list[float]] = ([], [])
        for direction in (0, 1):
            for band, rows in enumerate(self._rows):
                pitch = self._depth_mm if direction == 0 else float(self._line_mm[rows].mean())
                widths[direction].append(pitch * _full_width(sums[direction, band]))
        bands, values = ratios.T
        by_band = tuple(_median(values[bands == band]) for band in range(len(self._rows)))
        return Statistics(_median(values), by_band, len(ratios), tuple(widths[0]), tuple(widths[1]))


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _full_width(sums: np.ndarray) -> float:
    """Full width at half maximum, in lags, of an autocovariance given as (lags, [sum, number])."""
    total, number = sums.T
    if number[0] < 1000 or number.min() == 0:
        return math.nan
    correlation = total / number
    if correlation[0] <= 0:
        return math.nan
    correlation = correlation / correlation[0]
    below = np.flatnonzero(correlation < 0.5)
    if not below.size:
        return math.nan
    k = below[0]
    return 2 * float(k - 1 + (correlation[k - 1] - 0.5) / (correlation[k - 1] - correlation[k]))
