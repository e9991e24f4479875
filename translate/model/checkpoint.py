"""What a run keeps on disk: the state to go on from, the generator's weights and the mask to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.channels import Encoder
from translate.data.images import read_png
from translate.model.networks import UNet, make_generator
from translate.settings import Run
from ussim.errors import UssimError
from ussim.files import file_digest, whole_file

LAST = "checkpoint_last.pt"
WEIGHTS = "generator.safetensors"
MASK = "mask.png"
CHECKPOINTS = ("ema", "last")
"""Weights of a run that can be used: the moving average, or the generator of the last checkpoint."""


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state to go on from; the one before stays until the new one is whole."""
    with whole_file(folder / LAST) as scratch:
        torch.save(state, scratch)


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state to go on from, onto the CPU.

    Raises:
        UssimError: There is none, or it is damaged.
    """
    path = folder / LAST
    if not path.is_file():
        raise UssimError(f"{folder}: no checkpoint to go on from (no {LAST} in it)")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its archive reader and unpickler raise
        raise UssimError(f"{path}: damaged checkpoint: {_one_line(error)}") from None


def save_weights(path: Path, network: nn.Module, about: dict[str, str] | None = None) -> None:
    """Write a network's weights as safetensors."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(path) as scratch:
        save_file(tensors, scratch, metadata=about)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights.

    Raises:
        UssimError: There are none, or they are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise UssimError(f"{path}: no such weights; the run has not reached its first checkpoint")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UssimError(f"{path}: damaged weights: {_one_line(error)}") from None


def fill(network: nn.Module, weights: dict[str, Tensor], where: object) -> None:
    """Put weights into a network.

    Raises:
        UssimError: They belong to a network of other inputs, width or depth; the first difference is named.
    """
    wanted = network.state_dict()
    for name in sorted({*wanted, *weights}):
        if name not in weights:
            raise UssimError(f"{where}: weights of another network: {name} is missing")
        if name not in wanted:
            raise UssimError(f"{where}: weights of another network: {name} is not part of this one")
        if wanted[name].shape != weights[name].shape:
            found, expected = tuple(weights[name].shape), tuple(wanted[name].shape)
            raise UssimError(f"{where}: weights of another network: {name} is {found}, expected {expected}")
    network.load_state_dict(weights)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def load_network(folder: Path, run: Run, which: str = "ema") -> tuple[UNet, str]:
    """The network of a run, on the CPU in evaluation mode, and the SHA-256 of the file its weights are from.

    Raises:
        UssimError: No such weights, or weights that do not fit the run's settings.
    """
    if which not in CHECKPOINTS:
        raise UssimError(f"checkpoint {which!r}: must be one of {', '.join(CHECKPOINTS)}")
    network = make_generator(run.train, Encoder(run.train, run.data).channels)
    path = folder / (WEIGHTS if which == "ema" else LAST)
    weights = load_weights(path) if which == "ema" else load_state(folder)["generator"]
    fill(network, weights, path)
    return network.eval().requires_grad_(False), file_digest(path)


def load_mask(folder: Path) -> np.ndarray | None:
    """The mask of the store that a run was trained on, uint8 of shape (H, W); None if the run holds none.

    Raises:
        UssimError: It is damaged.
    """
    path = folder / MASK
    return (read_png(path) > 0).astype(np.uint8) if path.is_file() else None
