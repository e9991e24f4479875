"""Gathers the figures of generators and of the low-quality images, one test frame after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from translate.data.split import is_held_out
from translate.evaluation.distances import frechet_distance, frechet_interval, kernel_distance
from translate.evaluation.features import PIECE_PX, Extractor, centre_pieces
from translate.evaluation.figures import Example
from translate.evaluation.metrics import PKL_PATCH_PX, Target, nan_mean, paired_test, psnr_of_mse, summarise
from translate.evaluation.protocol import Protocol, crop_places
from translate.evaluation.results import (
    FIGURES,
    HIGH_QUALITY,
    LOW_QUALITY,
    Comparison,
    Distance,
    Evaluation,
    FullView,
    RowResult,
)
from translate.evaluation.speckle import Selection, Speckle, Statistics
from ussim.dataset.store import Dataset, Frame
from ussim.errors import UssimError
from ussim.jit import compiled

MIN_BAND_PX = 1024
"""A crop with fewer pixels of a depth band says nothing of that band."""
_PATCH_EXAMPLES = 4
_FULL_EXAMPLES = 2


Enhance = Callable[[dict[str, np.ndarray], np.ndarray, tuple[int, int]], np.ndarray]
"""Translates a frame or a window of it: arrays by name, mask, row and column of the window → uint8 (H, W)."""


@dataclass(frozen=True)
class Candidate:
    """A generator to be judged.

    Attributes:
        name: Its row in the tables.
        enhance: Translates a frame or a window.
        run: Where it comes from.
    """

    name: str
    enhance: Enhance
    run: str = ""


class Bench:
    """Gathers the figures of all test frames."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        dataset: Dataset,
        protocol: Protocol,
        extractor: Extractor | None,
        frames: np.ndarray,
    ):
        self.candidates, self.dataset, self.protocol = candidates, dataset, protocol
        self.extractor, self.frames = extractor, frames
        self.names = [LOW_QUALITY, *(candidate.name for candidate in candidates)]
        self.speckle = Speckle(dataset.header, dataset.mask, protocol.bands)
        edges = self.speckle.band_edges_mm[1:-1]
        self.bands = np.digitize(self.speckle.pixel_depths_mm, edges).astype(np.int64)
        self.places: list[tuple[int, int, int]] = []
        self.crop_scores: dict[str, list[_Score]] = {name: [] for name in self.names}
        self.full_scores: dict[str, list[_Score]] = {name: [] for name in self.names[1:]}
        self.overlap = {name: np.zeros(2) for name in self.names[1:]}
        self.features: dict[str, list[np.ndarray]] = {name: [] for name in (*self.names, HIGH_QUALITY)}
        self.piece_frames: list[int] = []
        self.ratios: dict[str, list[np.ndarray]] = {name: [] for name in (*self.names, HIGH_QUALITY)}
        self.sums: dict[str, Any] = dict.fromkeys((*self.names, HIGH_QUALITY), 0)
        spread = np.linspace(0, len(frames) - 1, min(_PATCH_EXAMPLES, len(frames))).round()
        self._patch_frames = {int(frames[int(k)]) for k in spread}
        self._full_frames = {int(frames[int(k)]) for k in spread[1 : 1 + _FULL_EXAMPLES]} or set(self._patch_frames)
        self.patch_examples: list[Example] = []
        self.full_examples: list[Example] = []

    def add(self, index: int, pool: ThreadPoolExecutor) -> None:
        """Evaluate one test frame."""
        frame = self.dataset.frame(index)
        side = self.protocol.crop
        corners = crop_places(self.dataset.mask, index, self.protocol)
        windows = [(slice(row, row + side), slice(col, col + side)) for row, col in corners]
        full = {LOW_QUALITY: frame.lq}
        crops = {LOW_QUALITY: [frame.lq[window] for window in windows]}
        maps = {"lq": frame.lq, "segmentation": frame.segmentation, "attenuation": frame.attenuation}
        for candidate in self.candidates:
            full[candidate.name] = _enhanced(candidate, maps, frame.mask)
            crops[candidate.name] = [_enhanced(candidate, maps, frame.mask, window) for window in windows]
        self.places += [(index, int(row), int(col)) for row, col in corners]

        targets = [
            _CropTarget(frame.hq[window], frame.mask[window], self.bands[window], self.protocol) for window in windows
        ]
        scores = _score(self.names, targets, crops, pool)
        cuts = {name: [full[name][window] for window in windows] for name in self.names[1:]}
        for name, found in scores.items():
            self.crop_scores[name] += found
        for name, found in _score(self.names[1:], targets, cuts, pool).items():
            self.full_scores[name] += found
        for name in self.names[1:]:
            self.overlap[name] += _overlap(crops[name], windows, frame.mask)
        self._add_textures(frame, full, pool)
        self._add_examples(frame, full, crops, windows)

    def _add_textures(self, frame: Frame, full: dict[str, np.ndarray], pool: ThreadPoolExecutor) -> None:
        images = {**full, HIGH_QUALITY: frame.hq}
        where: Selection = self.speckle.select(frame.hq, frame.segmentation)
        samples = pool.map(lambda image: self.speckle.samples(image, where), images.values())
        for name, (ratios, sums) in zip(images, samples, strict=True):
            self.ratios[name].append(ratios)
            self.sums[name] = self.sums[name] + sums
        if self.extractor is None:
            return
        pieces = {name: centre_pieces(image) for name, image in images.items()}
        count = len(pieces[HIGH_QUALITY])
        if count:
            features = self.extractor(np.concatenate(list(pieces.values())))
            for k, name in enumerate(pieces):
                self.features[name].append(features[k * count : (k + 1) * count])
            self.piece_frames += [frame.index] * count

    def _add_examples(self, frame: Frame, full: dict, crops: dict, windows: list) -> None:
        if frame.index in self._patch_frames:
            best = int(np.argmax([frame.mask[window].sum() for window in windows]))
            images = [*(crops[name][best] for name in self.names), frame.hq[windows[best]]]
            self.patch_examples.append(Example(frame.index, images))
        if frame.index in self._full_frames:
            self.full_examples.append(Example(frame.index, [*full.values(), frame.hq]))

    # Summing up -----------------------------------------------------------------------------------
    def result(self, digest: str, notes: list[str], seconds: float) -> Evaluation:
        """Everything, summed up."""
        scores = {
            name: {
                "whole": np.array([score.whole for score in self.crop_scores[name]]),
                "inside": np.array([score.inside for score in self.crop_scores[name]]),
            }
            for name in self.names
        }
        runs = ["", *(candidate.run for candidate in self.candidates)]
        rows = [self._row(name, run, scores[name]) for name, run in zip(self.names, runs, strict=True)]
        extractor = self.extractor
        about = (
            {"name": extractor.name, "label": extractor.label, "sha256": extractor.sha256}
            if extractor
            else {"name": "", "label": "FD", "sha256": ""}
        )
        return Evaluation(
            store=self.dataset.path.name,
            digest=digest,
            protocol=self.protocol,
            shape=self.dataset.mask.shape,
            test_images=len(self.frames),
            crops=len(self.places),
            band_edges_mm=tuple(map(float, self.speckle.band_edges_mm)),
            extractor=about,
            rows=rows,
            reference_speckle=self._speckle_of(HIGH_QUALITY),
            tests=list(_tests(scores)),
            notes=notes + self._notes(),
            scores=scores,
            places=np.array(self.places),
            patch_examples=self.patch_examples,
            full_examples=self.full_examples,
            seconds=seconds,
        )

    def _row(self, name: str, run: str, scores: dict[str, np.ndarray]) -> RowResult:
        summaries = {
            kind: {figure: summarise(values[:, k], more_is_better=figure != "pkl") for k, figure in enumerate(FIGURES)}
            for kind, values in scores.items()
        }
        return RowResult(
            name=name,
            run=run,
            whole=summaries["whole"],
            inside=summaries["inside"],
            distance=self._distance(name),
            speckle=self._speckle_of(name),
            full_view=self._full_view(name) if name in self.full_scores else None,
        )

    def _speckle_of(self, name: str) -> Statistics:
        return self.speckle.statistics(np.concatenate(self.ratios[name]), self.sums[name])

    def _distance(self, name: str) -> Distance | None:
        if len(self.piece_frames) < 2:
            return None
        found, wanted = (np.concatenate(self.features[key]) for key in (name, HIGH_QUALITY))
        groups = np.array(self.piece_frames)
        # a thousand pieces cost seconds a draw, and their interval is narrow anyway
        replicates = 100 if len(groups) <= 1000 else 25
        low, high = math.nan, math.nan
        if len(set(self.piece_frames)) > 1:
            low, high = frechet_interval(found, wanted, groups, replicates, self.protocol.seed)
        kid = kernel_distance(found, wanted, seed=self.protocol.seed)
        distance = frechet_distance(found, wanted)
        return Distance(distance, low, high, kid, len(groups), len(set(self.piece_frames)))

    def _full_view(self, name: str) -> FullView:
        crop, full = self.crop_scores[name], self.full_scores[name]
        inside_crop, inside_full = (np.array([score.inside for score in scores]) for scores in (crop, full))
        core_crop, core_full = (np.array([score.core for score in scores]) for scores in (crop, full))
        with np.errstate(invalid="ignore"):  # infinite − infinite, where an output equals its target
            inside, core = inside_full - inside_crop, core_full - core_crop
        gap, core_gap = (
            {figure: _finite_mean(part[:, k]) for k, figure in enumerate(FIGURES)} for part in (inside, core)
        )
        band_gap, band_relative_pkl = _band_gaps(*([score.bands for score in scores] for scores in (crop, full)))
        core_bands, core_band_pkl = _band_gaps(*([score.core_bands for score in scores] for scores in (crop, full)))
        pkl = FIGURES.index("pkl")
        total, count = self.overlap[name]
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

    def _notes(self) -> list[str]:
        notes = []
        height, width = self.dataset.mask.shape
        if self.extractor is not None:
            per_image = min(2, height // PIECE_PX) * min(2, width // PIECE_PX)
            if per_image == 0:
                notes.append(
                    f"No Fréchet distance and no KID: images of {height} × {width} hold no piece of "
                    f"{PIECE_PX} × {PIECE_PX}."
                )
            elif per_image < 4:
                notes.append(
                    f"Images of {height} × {width} hold {per_image} instead of 4 pieces of {PIECE_PX} × {PIECE_PX}."
                )
            if 0 < len(self.piece_frames) <= self.extractor.dimensions:
                notes.append(
                    f"The Fréchet distance rests on {len(self.piece_frames)} pieces, fewer than its "
                    f"{self.extractor.dimensions} features: it is biased upwards. Compare rows of this table only, "
                    "and look at KID, which has no such bias."
                )
        used, all_test = len(self.frames), int(is_held_out(self.dataset, self.protocol.split).sum())
        if used < all_test:
            notes.append(f"{used} of the {all_test} test images were used.")
        left_out = max(
            summarise(np.array(score), True).left_out
            for scores in self.crop_scores.values()
            for score in zip(*(s.whole for s in scores), strict=True)
        )
        if left_out:
            notes.append(f"Up to {left_out} crops are left out of a mean: an output equal to its target has no PSNR.")
        return notes


@dataclass(frozen=True)
class _Score:
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


class _CropTarget:
    """A target crop and its depth bands."""

    def __init__(self, target: np.ndarray, mask: np.ndarray, bands: np.ndarray, protocol: Protocol):
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

    def score(self, output: np.ndarray) -> _Score:
        """PSNR, SSIM and pKL of an output, uint8 of the target's shape."""
        similarity = self.target.ssim_map(output)
        sums = _sums(self.label, output, self.target.image, similarity, 2 * self.count + 1)
        kl_whole, kl_inside = self.target.pkl_patches(output)
        kl_core = np.full_like(kl_inside, np.nan)
        kl_core[self.core_patches] = kl_inside[self.core_patches]
        everything, inside, core = (slice(0, stop) for stop in (None, 2 * self.count, self.count))
        return _Score(
            self._means(sums, everything, kl_whole),
            self._means(sums, inside, kl_inside),
            self._means(sums, core, kl_core) if self.pixels[core].sum() >= MIN_BAND_PX else (math.nan,) * 3,
            self._bands(sums, 2, kl_inside),
            self._bands(sums, 1, kl_core),
        )

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


@compiled(nogil=True)
def _sums(label, output, target, similarity, count):
    """Sums of squared error and of similarity over the pixels of each label, (count, 2)."""
    sums = np.zeros((count, 2))
    for y in range(label.shape[0]):
        for x in range(label.shape[1]):
            error = np.int64(output[y, x]) - np.int64(target[y, x])
            sums[label[y, x], 0] += error * error
            sums[label[y, x], 1] += similarity[y, x]
    return sums


def _score(
    names: Sequence[str], targets: Sequence[_CropTarget], crops: dict[str, Any], pool: ThreadPoolExecutor
) -> dict[str, list[_Score]]:
    """Scores of every name's crops. One thread for each crop: its target is worked out once."""

    def one(k: int) -> list[_Score]:
        return [targets[k].score(crops[name][k]) for name in names]

    by_crop = list(pool.map(one, range(len(targets))))
    return {name: [scores[k] for scores in by_crop] for k, name in enumerate(names)}


def _enhanced(
    candidate: Candidate,
    maps: dict[str, np.ndarray],
    mask: np.ndarray,
    window: tuple[slice, slice] = (slice(0, None), slice(0, None)),
) -> np.ndarray:
    """A candidate's output for a window of a frame."""
    origin = (window[0].start, window[1].start)
    output = candidate.enhance({name: values[window] for name, values in maps.items()}, mask[window], origin)
    shape = mask[window].shape
    if output.shape != shape or output.dtype != np.uint8:
        raise UssimError(f"{candidate.name} gave an image of {output.dtype} {output.shape}, expected uint8 {shape}")
    return output


def _overlap(crops: Sequence[np.ndarray], windows: Sequence[tuple], mask: np.ndarray) -> np.ndarray:
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


def _tests(scores: dict[str, dict[str, np.ndarray]]) -> Iterator[Comparison]:
    for (first, a), (second, b) in combinations(scores.items(), 2):
        for k, figure in enumerate(FIGURES):
            yield Comparison(figure, first, second, paired_test(b["whole"][:, k], a["whole"][:, k]))


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
