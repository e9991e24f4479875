"""The folder of a run: who may write to it, and what it says of the run."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import torch

import ussim
from translate.data.images import save_png
from translate.model import checkpoint
from translate.model.networks import parameters
from translate.settings import MAY_CHANGE, Run
from translate.training.devices import describe
from translate.training.trainer import Trainer
from ussim.errors import UssimError
from ussim.files import write_text


def check_folder(run: Path, wanted: Run, resume: bool) -> None:
    """See that the run folder is new, or that it is the one to go on in.

    Raises:
        UssimError: It exists; or, to resume, it does not or was made with other settings or another store.
    """
    if not resume:
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise UssimError(f"{run} exists already; go on with --resume, or choose another folder")
        return
    before = Run.load(run)
    for name, value in wanted.train.model_dump().items():
        old = getattr(before.train, name)
        if name not in MAY_CHANGE and value != old:
            raise UssimError(f"{run}: was trained with {name} = {old!r}; it cannot go on with {value!r}")
    if before.data.digest != wanted.data.digest:
        raise UssimError(f"{run}: was trained on {before.data.store}, another store than {wanted.data.store}")
    done = checkpoint.load_state(run)["iteration"]
    if done > wanted.train.iterations:
        raise UssimError(f"{run}: has seen {done} iterations already, more than {wanted.train.iterations}")


def prepare_folder(run: Path, wanted: Run, trainer: Trainer, mask: np.ndarray) -> None:
    """Make the folder and write what is known before the first update: settings, environment and mask."""
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
