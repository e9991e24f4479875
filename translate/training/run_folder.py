"""The folder of a run: who may write to it, and what it says of the run."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ussim
from translate.data.images import save_png
from translate.model import checkpoint
from translate.model.networks import parameters
from translate.settings import MAY_CHANGE, DataInfo, Run, TrainSettings
from translate.training.devices import describe
from translate.training.trainer import Trainer
from ussim.errors import UssimError
from ussim.files import write_text
from ussim.lock import is_begun, only_writer
from ussim.scratch import remove_partial


@contextmanager
def only_training(run: Path, resume: bool) -> Iterator[None]:
    """Have a run folder to oneself: made if it is new, cleared of what a killed process had not finished writing.

    Raises:
        UssimError: It exists and is not to be gone on with, it does not and is, another training works in it, or it
            cannot be written.
    """
    if resume and not run.is_dir():
        raise UssimError(f"{run}: no such run")
    if run.exists() and not run.is_dir():
        raise UssimError(f"{run} is a file; allowed: a new folder")
    if not resume:
        _require_new(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UssimError(f"{run}: cannot be made: {error.strerror or error}") from None
    try:
        with only_writer(run, "training", "another training is at work here"):
            if not resume:  # somebody may have been faster
                _require_new(run)
            remove_partial(run)
            yield
    finally:
        with suppress(OSError):  # of a run that did not come to begin nothing is left
            run.rmdir()


def _require_new(run: Path) -> None:
    if is_begun(run):
        raise UssimError(f"{run} exists already; go on with --resume, or choose another folder")


def run_to_train(run: Path, settings: TrainSettings, data: DataInfo, init: str = "") -> Run:
    """What is to be trained in a folder; what is there already goes on as it began.

    Args:
        run: The folder.
        settings, data: What to train, and from what.
        init: SHA-256 of the weights that the generator is to begin with, if any.

    Raises:
        UssimError: The folder holds something else, or a run with other settings, from another store or other weights.
    """
    if not is_begun(run):
        return Run(train=settings, data=data, threads=settings.threads, init=init)
    before = Run.load(run)
    for name, value in settings.model_dump().items():
        old = getattr(before.train, name)
        if name not in MAY_CHANGE and value != old:
            raise UssimError(f"{run}: was trained with {name} = {old!r}; it cannot go on with {value!r}")
    if before.data.digest != data.digest:
        raise UssimError(f"{run}: was trained on {before.data.store}, another store than {data.store}")
    if init not in ("", before.init):
        raise UssimError(f"{run}: began with other weights than those of --init")
    return Run(train=settings, data=data, threads=before.threads, init=before.init)


def state_to_go_on_from(run: Path, iterations: int) -> dict[str, Any] | None:
    """The state of a run's checkpoint; None if it was stopped before the first.

    Raises:
        UssimError: The checkpoint is damaged, or has seen more iterations than it is to see.
    """
    if not (run / checkpoint.LAST).is_file():
        return None
    state = checkpoint.load_state(run)
    if state["iteration"] > iterations:
        raise UssimError(f"{run}: has seen {state['iteration']} iterations already, more than {iterations}")
    return state


def has_weights(run: Path, iteration: int) -> bool:
    """Whether a run holds sound weights of an iteration."""
    try:
        _, about = checkpoint.read_weights(run / checkpoint.WEIGHTS)
    except UssimError:
        return False
    return about.get("iteration") == str(iteration)


def describe_run(run: Path, wanted: Run, trainer: Trainer, mask: np.ndarray) -> None:
    """Write what is known before the first update: settings, environment and mask."""
    wanted.save(run)
    save_png(run / checkpoint.MASK, mask * np.uint8(255))
    environment = {
        "ussim": ussim.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": describe(trainer.team.device),
        "processes": trainer.team.size,
        "generator_parameters": parameters(trainer.generator),
        "discriminator_parameters": parameters(trainer.discriminator),
    }
    write_text(run / "environment.json", json.dumps(environment, indent=2) + "\n")
