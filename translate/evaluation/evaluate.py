"""Compare trained generators with the low-quality images on the test frames of a store.

The protocol is the paper's: a few random crops of every test image, PSNR, SSIM and pKL of each, a Fréchet
distance from pieces of centre crops. What the paper leaves open is measured too: how far the whole field of
view falls behind crops, in depth bands; whether overlapping crops agree; whether the speckle is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from translate.data.split import Split
from translate.evaluation.collect import Candidate, Collector, FrameFigures
from translate.evaluation.features import Extractor, ExtractorMissingError, load_extractor
from translate.evaluation.protocol import EvaluationProtocol, frames_to_use
from translate.evaluation.report import Report, new_folder
from translate.evaluation.results import Evaluation
from translate.evaluation.steadiness import require_slow, sweep_steadiness
from ussim.dataset.place import Where
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.progress import Progress

if TYPE_CHECKING:
    from translate.data.store import StoreReader


def evaluate(
    runs: Sequence[Path],
    store: Where,
    report: Path,
    *,
    crops: int = 4,
    crop: int = 512,
    seed: int = 0,
    device: str = "auto",
    engine: str = "torch",
    images: int | None = None,
    split: Split | None = None,
    sweep: Where | None = None,
    inception_weights: Path | None = None,
    measure: Measure | None = None,
    progress: Progress | None = None,
) -> Report:
    """Evaluate runs on the test frames of a store and write a report.

    Args:
        runs: Run folders; each becomes a row named after its inputs (L2HMSA, …). Test frames are those that their
            training held out. ``default`` is the shipped generator.
        store: Path or URL of the dataset.
        report: Folder to create for ``report.md``, ``report.json``, ``table.csv``, ``crops.csv`` and two
            pictures.
        crops: Random crops of each test image.
        crop: Side of a crop [px].
        seed: Seed of the crops, the bootstrap and the KID subsets.
        device: ``auto``, ``cpu`` or ``cuda``.
        engine: What runs the generators: ``torch``, ``onnx`` or ``openvino``.
        images: Use so many test images at most; None for all.
        split: What is held out: ``frame`` or ``scene``; by default what the runs held out, frames if there is only the
            shipped generator, which has seen none of a user's.
        sweep: Store of a slow sweep, on which to measure how steady the images are.
        inception_weights: Weights file of the Inception network of 2015-12-05, for FID; without it the
            Fréchet distance is taken between features of EfficientNet-Lite0.
        measure: Measures frames elsewhere, as ``translate.evaluation.spread.SpreadMeasure`` does.
        progress: Called with a phase, how much of it is done and how much there is.

    Raises:
        UssimError: A store without test frames or of another schema, images smaller than the crop, a run that
            cannot be loaded, runs that were not trained on the same split, weights that are not the named ones, a
            report folder that is taken.
    """
    folder = new_folder(Path(report))
    dataset = Dataset.open(store)
    protocol = EvaluationProtocol(crops, crop, seed, images, split=split or split_of(runs))
    frames_to_use(dataset, protocol)  # the mistakes that cost nothing to find come first
    extractor, missing = find_extractor(inception_weights, device)
    from translate.data.store import StoreReader  # needs torch

    reader = StoreReader(store)
    candidates, notes = load_candidates(runs, reader, device, engine)
    steady = _slow_sweep(sweep, runs, device, engine) if sweep else None
    result = compare(
        candidates,
        dataset,
        protocol,
        extractor,
        sweep=steady,
        measure=measure and partial(measure, protocol=protocol, features=extractor.sha256 if extractor else ""),
        digest=reader.digest,
        notes=[*notes, *([f"No Fréchet distance and no KID: {missing}."] if missing else [])],
        progress=progress,
    )
    return Report(result).save(folder)


def split_of(runs: Sequence[Path]) -> Split:
    """What runs held out in their training: single frames or whole anatomies.

    Raises:
        UssimError: No runs, one that cannot be read, or runs that differ: test frames of one were seen by another.
    """
    from translate.model.shipped import DEFAULT
    from translate.settings import Run

    if not runs:
        raise UssimError("no run to evaluate")
    own = [run for run in runs if str(run) != DEFAULT]
    splits = [Run.load(Path(run)).train.split for run in own]
    if not splits:
        return "frame"
    if len(set(splits)) > 1:
        named = ", ".join(f"{run} by {split}" for run, split in zip(own, splits, strict=True))
        raise UssimError(f"runs of different splits cannot be compared: {named}; evaluate each split on its own")
    return splits[0]


def find_extractor(weights: Path | None, device: str) -> tuple[Extractor | None, str]:
    """Features for the Fréchet distance, or None and why there are none."""
    try:
        return load_extractor(weights, device), ""
    except ExtractorMissingError as error:
        return None, str(error)


def load_candidates(
    runs: Sequence[Path], reader: StoreReader, device: str = "auto", engine: str = "torch"
) -> tuple[list[Candidate], list[str]]:
    """Load generators; notes say which was trained on another store.

    Raises:
        UssimError: No runs, or one that cannot be loaded.
    """
    from translate.model.shipped import DEFAULT, is_shipped, run_folder
    from translate.settings import Run
    from translate.use.inference import Generator

    if not runs:
        raise UssimError("no run to evaluate")
    paths = [run_folder(run) for run in runs]
    trained = [Run.load(path) for path in paths]
    own = [(run.train.inputs, path.name) for run, path in zip(trained, paths, strict=True) if not is_shipped(path)]
    others = iter(row_names(*map(list, zip(*own, strict=True))) if own else [])
    names = ["Shipped" if is_shipped(path) else next(others) for path in paths]
    candidates, notes = [], []
    for path, run, name in zip(paths, trained, names, strict=True):
        generator = Generator.load(DEFAULT if is_shipped(path) else path, device=device, engine=engine)
        candidates.append(Candidate(name, generator.view(reader).enhance, path.name))
        if run.data.digest != reader.digest and not is_shipped(path):
            notes.append(
                f"{name} was trained on another store ({run.data.store}, {run.data.digest[:12]}) than it is "
                f"evaluated on ({reader.place.name}, {reader.digest[:12]}): its training frames may be among the "
                "test frames here, or nothing like them."
            )
    return candidates, notes


Measure = Callable[..., Iterable[FrameFigures]]
"""Measures frames, given their numbers and the keyword ``protocol``, in their order."""

SlowSweep = tuple[Dataset, dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]]]
"""A store, and what generators make of its frames, by row."""


def _slow_sweep(store: Where, runs: Sequence[Path], device: str, engine: str) -> SlowSweep:
    from translate.data.store import StoreReader

    dataset, reader = Dataset.open(store), StoreReader(store)
    require_slow(dataset)
    candidates, _ = load_candidates(runs, reader, device, engine)
    return dataset, {one.name: partial(_enhance_whole, one, reader.mask) for one in candidates}


def _enhance_whole(candidate: Candidate, mask: np.ndarray, maps: dict[str, np.ndarray]) -> np.ndarray:
    return candidate.enhance(maps, mask, (0, 0))


def row_names(inputs: Sequence[str], runs: Sequence[str]) -> list[str]:
    """Rows named as in the paper: L2HMSA has the inputs L, M, S and A. Equal ones are told apart by run."""
    names = [f"L2H{letters[1:]}" if letters.startswith("L") else f"{letters}2H" for letters in inputs]
    return [f"{name} ({run})" if names.count(name) > 1 else name for name, run in zip(names, runs, strict=True)]


def compare(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    protocol: EvaluationProtocol,
    extractor: Extractor | None = None,
    *,
    sweep: SlowSweep | None = None,
    measure: Callable[[Sequence[int]], Iterable[FrameFigures]] | None = None,
    digest: str = "",
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Compare candidates and the low-quality images with the high-quality ones.

    Args:
        candidates: What to judge.
        dataset: The store; its test frames are used.
        protocol: How.
        extractor: Features for the Fréchet distance and KID; None leaves both out.
        sweep: A slow sweep, on which to measure steadiness.
        measure: Measures frames elsewhere, in their order.
        digest: Of the store, for the report.
        notes: Put before the evaluation's own notes.
        progress: Called with a phase, how much of it is done and how much there is.

    Raises:
        UssimError: See ``evaluate``.
    """
    start = time.perf_counter()
    frames = frames_to_use(dataset, protocol)
    collector = Collector(candidates, dataset, protocol, extractor, frames)
    numbers = frames.tolist()
    with ThreadPoolExecutor(2) as pool:
        measured = measure(numbers) if measure else (collector.measure(frame, pool) for frame in numbers)
        if progress:
            progress("evaluate", 0, len(frames))
        for done, figures in enumerate(measured, start=1):
            collector.take(figures)
            if progress:
                progress("evaluate", done, len(frames))
    steadiness = sweep_steadiness(*sweep) if sweep else {}
    if progress:
        progress("summarise", 0, 1)
    return collector.result(digest, list(notes), time.perf_counter() - start, steadiness)
