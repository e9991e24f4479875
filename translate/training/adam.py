"""The state of an optimiser from a checkpoint, looked at before it is used: torch finds most faults late, or never."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ussim.errors import UssimError

_PARTS = ("step", "exp_avg", "exp_avg_sq")


def take_over_adam(adam: torch.optim.Adam, state: dict[str, Any], where: str) -> None:
    """Give an optimiser the moments of a checkpoint. Its rates stay those of the settings.

    Args:
        adam: The optimiser of the network.
        state: What its ``state_dict`` gave.
        where: What the state belongs to, for messages.

    Raises:
        UssimError: It is of another network, or damaged.
    """
    parameters = [one for group in adam.param_groups for one in group["params"]]
    moments = state.get("state")
    if not isinstance(moments, dict) or not set(moments) <= set(range(len(parameters))):
        raise UssimError(f"{where}: damaged: it is not the state of an optimiser of {len(parameters)} parameters")
    if moments and len(moments) < len(parameters):
        raise UssimError(f"{where}: damaged: it knows {len(moments)} of {len(parameters)} parameters")
    for number, parts in moments.items():
        fault = _fault(parts, parameters[number])
        if fault:
            raise UssimError(f"{where}: damaged: parameter {number}: {fault}")
    adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})


def _fault(parts: Any, parameter: Tensor) -> str:
    """What is wrong with the moments of a parameter; empty if nothing is."""
    if not isinstance(parts, dict) or set(parts) != set(_PARTS):
        return f"must be {', '.join(_PARTS)}"
    for name, tensor in parts.items():
        shape = () if name == "step" else tuple(parameter.shape)
        if not isinstance(tensor, Tensor) or tensor.is_complex() or tuple(tensor.shape) != shape:
            return f"{name} must be a tensor of shape {shape}"
        if not torch.isfinite(tensor).all() or (name != "exp_avg" and (tensor < 0).any()):
            return f"{name} holds what no training gives"
    return ""
