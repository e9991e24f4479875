"""Beginning with the weights of a generator that was trained before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from translate.model.checkpoint import load_network
from translate.model.networks import UNet
from translate.model.shipped import require_like, run_folder
from translate.settings import DataInfo, Run, TrainSettings
from ussim.errors import UssimError


@dataclass(frozen=True)
class InitialWeights:
    """A generator to begin with.

    Attributes:
        network: On the CPU.
        digest: SHA-256 of the file its weights are from.
    """

    network: UNet
    digest: str


def initial_weights(init: str | Path, settings: TrainSettings, data: DataInfo) -> InitialWeights:
    """The averaged generator of a run, for a training with these settings.

    Args:
        init: The run folder, or ``default`` for the shipped generator.
        settings: Of the training that is to begin with it.
        data: What that learns from.

    Raises:
        UssimError: No such run, one whose network sees other inputs or is built otherwise, or one that knows tissues
            by number, and others than these.
    """
    folder = run_folder(init)
    run = Run.load(folder)
    require_like(run, settings, f"--init {init}: its generator")
    if "S" in settings.inputs and settings.segmentation != "acoustic" and run.data.tissues != data.tissues:
        raise UssimError(f"--init {init}: its generator knows tissues by number, and other ones than {data.store} has")
    network, digest = load_network(folder, run)
    return InitialWeights(network, digest)
