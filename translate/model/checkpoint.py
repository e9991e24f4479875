"""What a run keeps on disk: the state to go on from, the generator's weights and the mask to use."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
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
from ussim.files import file_digest, whole_file, write_bytes

LAST = "checkpoint_last.pt"
WEIGHTS = "generator.safetensors"
MASK = "mask.png"
_NOTE = "ussim"  # of the weights' metadata
CHECKPOINTS = ("ema", "last")
"""Weights of a run that can be used: the moving average, or the generator of the last checkpoint."""


def save_state(folder: Path, run: Run, state: dict[str, Any]) -> None:
    """Write the state to go on from; the one before stays until the new one is whole."""
    with whole_file(folder / LAST) as scratch, scratch.open("wb") as file:
        torch.save({**state, "run": run.digest}, file)


def load_state(folder: Path) -> dict[str, Any]:
    """Read the state to go on from, onto the CPU, and compare what is read with the checksums that are kept with it.

    Raises:
        UssimError: There is none, it is damaged, or another run's.
    """
    path = folder / LAST
    if not path.is_file():
        raise UssimError(f"{folder}: no checkpoint to go on from (no {LAST} in it)")
    try:
        with zipfile.ZipFile(path) as archive:  # torch keeps a CRC-32 of each tensor, and does not look at it
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} is not what was written")
        state = torch.load(path, map_location="cpu", weights_only=True)
        _check_state(state)
    except Exception as error:  # torch raises what its archive reader and unpickler raise
        raise UssimError(f"{path}: damaged checkpoint: {_one_line(error)}") from None
    digest = Run.load(folder).digest
    if state.get("run", digest) != digest:  # ussim 0.1.0 did not say
        raise UssimError(f"{path}: is of another run than the settings.json beside it")
    return state


def _check_state(state: Any) -> None:
    """See that a state has all its parts, each of its kind."""
    kinds = {
        "iteration": int, "seconds": float, "generator": dict, "discriminator": dict, "average": dict,
        "generator_adam": dict, "discriminator_adam": dict, "rng": Tensor,
    }  # fmt: skip
    if not isinstance(state, dict):
        raise TypeError(f"it holds a {type(state).__name__}")
    for name, kind in kinds.items():
        if not isinstance(state.get(name), kind):
            raise TypeError(f"its {name} is a {type(state.get(name)).__name__}, not a {kind.__name__}")
    if state["iteration"] < 0 or not 0 <= state["seconds"] < math.inf:
        raise ValueError(f"it is at iteration {state['iteration']} after {state['seconds']} s")
    for name in ("generator", "discriminator", "average"):
        if not all(isinstance(tensor, Tensor) for tensor in state[name].values()):
            raise TypeError(f"its {name} holds something else than tensors")


def save_weights(
    path: Path, network: nn.Module, about: dict[str, str] | None = None, dtype: torch.dtype | None = None
) -> None:
    """Write a network's weights as safetensors, with a digest of them and of what is said about them.

    Args:
        path: Where.
        network: The network.
        about: What is said about them.
        dtype: Of what is written of floating-point weights; theirs by default.
    """
    from safetensors.torch import save

    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in network.state_dict().items()
    }
    about = about or {}
    note = {**about, "sha256": _digest(tensors, about)}
    # in one piece: of several the library makes another order each time
    write_bytes(path, save(tensors, metadata={_NOTE: json.dumps(note, sort_keys=True)}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights.

    Raises:
        UssimError: There are none, or they are damaged.
    """
    return read_weights(path)[0]


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights, and what is said about them.

    Raises:
        UssimError: There are none, or they are damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UssimError(f"{path}: no such weights; the run has not reached its first checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            about = {**json.loads(about[_NOTE])} if _NOTE in about else dict(about)  # as ussim 0.1.0 has it
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise UssimError(f"{path}: damaged weights: {_one_line(error)}") from None
    digest = about.pop("sha256", None)
    if digest not in (None, _digest(tensors, about)):  # ussim 0.1.0 wrote none
        raise UssimError(f"{path}: damaged weights: they are not what was written")
    return tensors, about


def _digest(tensors: dict[str, Tensor], about: dict[str, str]) -> str:
    """SHA-256 of weights and of what is said about them."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


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
    if which == "last":
        weights = load_state(folder)["generator"]
    else:
        weights, about = read_weights(path)
        if about.get("run", run.digest) != run.digest:
            raise UssimError(f"{path}: weights of another run than the settings.json beside them")
    fill(network, weights, path)
    return network.eval().requires_grad_(False), file_digest(path)


def load_mask(folder: Path) -> np.ndarray | None:
    """The mask of the store that a run was trained on, uint8 of shape (H, W); None if the run holds none.

    Raises:
        UssimError: It is damaged.
    """
    path = folder / MASK
    return (read_png(path) > 0).astype(np.uint8) if path.is_file() else None
