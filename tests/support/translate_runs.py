"""Runs of ``translate`` for tests that need one, without a training; and small tensors without idle threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from translate.data.channels import Encoder
from translate.data.store import StoreReader
from translate.model import checkpoint
from translate.model.networks import make_generator
from translate.settings import Run, TrainSettings


@contextmanager
def one_thread() -> Iterator[None]:
    """Tiny layers: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def untrained_run(folder: Path, store: Path, settings: TrainSettings) -> Path:
    """A run folder as training leaves it, with the weights that training starts from; without checkpoint and mask."""
    run = Run(train=settings, data=StoreReader(store).info())
    run.save(folder)
    torch.manual_seed(settings.seed)
    network = make_generator(settings, Encoder(run.train, run.data).channels)
    checkpoint.save_weights(folder / checkpoint.WEIGHTS, network)
    return folder
