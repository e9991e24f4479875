"""Frames measured by the workers of a Ray cluster, each with generators and features of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from translate.data.store import StoreReader
from translate.evaluation.collect import Collector, FrameFigures
from translate.evaluation.evaluate import find_extractor, load_candidates
from translate.evaluation.protocol import EvaluationProtocol, frames_to_use
from translate.model.shipped import known_elsewhere
from translate.use.spread import one_thread_of
from ussim.dataset.place import Where, everywhere, place_of
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.ray_actors import workers


@dataclass(frozen=True)
class SpreadMeasure:
    """Measures frames on the cluster that this process is connected to; files lie where all machines see them.

    Attributes:
        runs: Run folders, or ``default``.
        store: The dataset.
        device: ``auto``, ``cpu`` or ``cuda``.
        inception_weights: Weights file of the Inception network.
        count: How many workers; None takes one for each GPU, or for every few cores.
    """

    runs: Sequence[Path]
    store: Where
    device: str = "auto"
    inception_weights: Path | None = None
    count: int | None = None

    def __call__(self, frames: Sequence[int], protocol: EvaluationProtocol, features: str) -> Iterator[FrameFigures]:
        """What is measured of the frames, in their order.

        Args:
            frames: Their numbers.
            protocol: How.
            features: SHA-256 of the weights that the Fréchet distance is measured with; empty for none.

        Raises:
            UssimError: A frame that cannot be measured, or what the cluster refuses.
        """
        runs = [Path(known_elsewhere(run)) for run in self.runs]
        weights = self.inception_weights and self.inception_weights.absolute()
        make = partial(_Judge, runs, everywhere(place_of(self.store)), protocol, self.device, weights, features)
        with workers(make, self.count, on_gpus=self.device != "cpu") as team:
            yield from team.in_order(_Judge.measure, frames)


class _Judge:
    """What works in an actor: frames are measured one after the other, in a thread of their own."""

    def __init__(
        self,
        runs: Sequence[Path],
        store: Where,
        protocol: EvaluationProtocol,
        device: str,
        inception_weights: Path | None,
        features: str,
        cores: int,
    ):
        dataset = Dataset.open(store)
        candidates, _ = load_candidates(runs, StoreReader(store), device)
        extractor, missing = find_extractor(inception_weights, device)
        if (extractor.sha256 if extractor else "") != features:
            raise UssimError(
                f"its features for the Fréchet distance are not those of the command: {missing or 'others'}"
            )
        self._collector = Collector(candidates, dataset, protocol, extractor, frames_to_use(dataset, protocol))
        self._thread, self._pool = one_thread_of(cores), ThreadPoolExecutor(min(2, cores))

    def measure(self, frame: int) -> FrameFigures:
        """Measure one frame."""
        return self._thread.submit(self._collector.measure, frame, self._pool).result()
