"""What a run keeps on disk: the state to go on from, and the generator's weights to use."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ussim.errors import UssimError

LAST = "checkpoint_last.pt"
WEIGHTS = "generator.safetensors"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state to go on from; the one before stays until the new one is whole."""
    _replace(folder / LAST, lambda path: torch.save(state, path))


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
    _replace(path, lambda scratch: save_file(tensors, scratch, metadata=about))


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


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, write: Any) -> None:
    scratch = path.with_name(f".{path.name}.partial")
    try:
        write(scratch)
        os.replace(scratch, path)
    except OSError as error:
        raise UssimError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        scratch.unlink(missing_ok=True)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
