"""What the tests of ``translate`` share: stores and runs that take seconds to make, one thread for tiny tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import speckle_store
from support.judged import PROTOCOL, Inverter
from support.translate_runs import one_thread
from support.translate_store import make_store

from translate.evaluation.collect import Candidate
from translate.evaluation.evaluate import compare
from translate.evaluation.results import Evaluation
from translate.settings import TrainSettings
from translate.training.loop import train
from ussim.dataset.store import Dataset


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A store of 12 frames, to read from."""
    return make_store(tmp_path_factory.mktemp("translate") / "store.zarr", frames=12)


@pytest.fixture(scope="session")
def runs(store) -> Path:
    """A folder of runs trained on ``store``, to read from: LMSA, LM, SA and fast."""
    folder = store.parent
    small = {"ngf": 4, "depth": 3, "crop": 32, "batch": 4, "iterations": 6, "threads": 1}
    with one_thread():
        for inputs in ("LMSA", "LM", "SA"):
            train(TrainSettings.make(**small, inputs=inputs), store, folder / inputs)
        train(TrainSettings.make("fast", residual_threshold=1.0, **small), store, folder / "fast")
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Dataset:
    """A store whose low-quality images are negatives of the high-quality ones."""
    return speckle_store.make_store(tmp_path_factory.mktemp("judged") / "demo.zarr", frames=40)


@pytest.fixture(scope="session")
def result(dataset) -> Evaluation:
    """An evaluation of two generators off by 8 and 4 grey levels, the second by 8 on whole images."""
    candidates = [
        Candidate("L2HM", Inverter(8), "run_a"),
        Candidate("L2HMS", Inverter(4, full_error=8), "run_b"),
    ]
    return compare(candidates, dataset, PROTOCOL, digest="d" * 64)
