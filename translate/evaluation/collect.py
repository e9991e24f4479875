"""Gathers the figures of generators and of the low-quality images, one test frame after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from translate.data.metrics import paired_test, summarise
from translate.data.split import is_held_out
from translate.evaluation.distances import frechet_distance, frechet_interval, kernel_distance
from translate.evaluation.features import PIECE_PX, Extractor, centre_pieces
from translate.evaluation.figures import Example
from translate.evaluation.full_view import compare_views, overlap_difference
from translate.evaluation.protocol import EvaluationProtocol, crop_places
from translate.evaluation.results import (
    FIGURES,
    HIGH_QUALITY,
    LOW_QUALITY,
    Comparison,
    Distance,
    Evaluation,
    RowResult,
    Steadiness,
)
from translate.evaluation.scores import CropScore, CropTarget, score_crops
from translate.evaluation.speckle import Selection, Speckle, Statistics
from ussim.dataset.store import Dataset, Frame
from ussim.errors import UssimError

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


@dataclass(frozen=True)
class FrameFigures:
    """What was measured of one test frame.

    Attributes:
        index: Its number.
        places: Row and column of each crop.
        crop_scores: Scores of each row's crops.
        full_scores: Scores of the same places, cut from each generator's whole image.
        overlap: How far overlapping crops differ, by generator.
        ratios: Speckle ratios, by image.
        sums: Sums of the speckle, by image.
        features: Features of the pieces, by image; empty where there are none.
        patch_example, full_example: Pictures for the report, of a few frames.
    """

    index: int
    places: list[tuple[int, int]]
    crop_scores: dict[str, list[CropScore]]
    full_scores: dict[str, list[CropScore]]
    overlap: dict[str, np.ndarray]
    ratios: dict[str, np.ndarray]
    sums: dict[str, Any]
    features: dict[str, np.ndarray]
    patch_example: Example | None = None
    full_example: Example | None = None


class Collector:
    """Gathers the figures of all test frames."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        dataset: Dataset,
        protocol: EvaluationProtocol,
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
        self.crop_scores: dict[str, list[CropScore]] = {name: [] for name in self.names}
        self.full_scores: dict[str, list[CropScore]] = {name: [] for name in self.names[1:]}
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

    def measure(self, index: int, pool: ThreadPoolExecutor) -> FrameFigures:
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

        targets = [
            CropTarget(frame.hq[window], frame.mask[window], self.bands[window], self.protocol) for window in windows
        ]
        cuts = {name: [full[name][window] for window in windows] for name in self.names[1:]}
        ratios, sums = self._textures(frame, full, pool)
        return FrameFigures(
            index=index,
            places=[(int(row), int(col)) for row, col in corners],
            crop_scores=score_crops(self.names, targets, crops, pool),
            full_scores=score_crops(self.names[1:], targets, cuts, pool),
            overlap={name: overlap_difference(crops[name], windows, frame.mask) for name in self.names[1:]},
            ratios=ratios,
            sums=sums,
            features=self._piece_features({**full, HIGH_QUALITY: frame.hq}),
            **self._examples(frame, full, crops, windows),
        )

    def take(self, figures: FrameFigures) -> None:
        """Add up what was measured of a frame; frames come in their order."""
        self.places += [(figures.index, row, column) for row, column in figures.places]
        for name, found in figures.crop_scores.items():
            self.crop_scores[name] += found
        for name, found in figures.full_scores.items():
            self.full_scores[name] += found
        for name, difference in figures.overlap.items():
            self.overlap[name] += difference
        for name, ratios in figures.ratios.items():
            self.ratios[name].append(ratios)
            self.sums[name] = self.sums[name] + figures.sums[name]
        for name, features in figures.features.items():
            self.features[name].append(features)
        self.piece_frames += [figures.index] * len(figures.features.get(HIGH_QUALITY, ()))
        self.patch_examples += [figures.patch_example] if figures.patch_example else []
        self.full_examples += [figures.full_example] if figures.full_example else []

    def _textures(
        self, frame: Frame, full: dict[str, np.ndarray], pool: ThreadPoolExecutor
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        images = {**full, HIGH_QUALITY: frame.hq}
        where: Selection = self.speckle.select(frame.hq, frame.segmentation)
        samples = list(pool.map(lambda image: self.speckle.samples(image, where), images.values()))
        ratios = {name: sample[0] for name, sample in zip(images, samples, strict=True)}
        return ratios, {name: sample[1] for name, sample in zip(images, samples, strict=True)}

    def _piece_features(self, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Features of the pieces of each image; of none where there are no features, or no pieces."""
        if self.extractor is None:
            return {}
        pieces = {name: centre_pieces(image) for name, image in images.items()}
        count = len(pieces[HIGH_QUALITY])
        if not count:
            return {}
        features = self.extractor(np.concatenate(list(pieces.values())))
        return {name: features[k * count : (k + 1) * count] for k, name in enumerate(pieces)}

    def _examples(self, frame: Frame, full: dict, crops: dict, windows: list) -> dict[str, Example]:
        """Pictures of a few frames, for the report."""
        found = {}
        if frame.index in self._patch_frames:
            best = int(np.argmax([frame.mask[window].sum() for window in windows]))
            images = [*(crops[name][best] for name in self.names), frame.hq[windows[best]]]
            found["patch_example"] = Example(frame.index, images)
        if frame.index in self._full_frames:
            found["full_example"] = Example(frame.index, [*full.values(), frame.hq])
        return found

    # Summing up -----------------------------------------------------------------------------------
    def result(self, digest: str, notes: list[str], seconds: float, steadiness: dict[str, Steadiness]) -> Evaluation:
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
            store=self.dataset.place.name,
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
            steadiness=steadiness,
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
            full_view=compare_views(self.crop_scores[name], self.full_scores[name], self.overlap[name])
            if name in self.full_scores
            else None,
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
            if len(self.piece_frames) == 1:
                notes.append("No Fréchet distance and no KID: 1 piece, 2 are needed.")
            elif 0 < len(self.piece_frames) <= self.extractor.dimensions:
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


def _tests(scores: dict[str, dict[str, np.ndarray]]) -> Iterator[Comparison]:
    for (first, a), (second, b) in combinations(scores.items(), 2):
        for k, figure in enumerate(FIGURES):
            yield Comparison(figure, first, second, paired_test(b["whole"][:, k], a["whole"][:, k]))
