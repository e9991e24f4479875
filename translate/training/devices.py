"""Where the networks run: one device, or one for each process that ``torchrun`` started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from translate.settings import Run
from ussim.cpus import usable_cpus
from ussim.errors import UssimError

Result = TypeVar("Result")


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: ``auto`` is a GPU if there is one.

    Raises:
        UssimError: No such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UssimError(f"device {name!r}: must be auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UssimError(f"device {name!r}: this machine has {count or 'no'} GPU that torch can use")
    return device


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"cpu: {torch.get_num_threads()} threads"


@dataclass(frozen=True)
class Team:
    """The processes that train together.

    Attributes:
        device: This process's device.
        rank: Number of this process.
        size: Number of processes.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This process's part of a batch.

        Raises:
            UssimError: The batch cannot be divided evenly.
        """
        if batch % self.size:
            raise UssimError(f"batch {batch} cannot be divided among {self.size} processes")
        part = batch // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def first(self, work: Callable[[], Result]) -> Result | None:
        """Let the first process do something; the others wait for it and share its error."""
        error, result = None, None
        if self.is_first:
            try:
                result = work()
            except UssimError as problem:
                error = problem
        if self.size > 1:
            message = [str(error) if error else None]
            dist.broadcast_object_list(message, src=0)
            if message[0] and not self.is_first:
                error = UssimError(message[0])
        if error:
            raise error
        return result

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        value = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values = values / self.size
        return values


@contextmanager
def fixed_threads(run: Run, team: Team) -> Iterator[Run]:
    """Let torch use the threads that a run began with, whatever used this process before.

    How many there are decides the last bits of sums on a CPU.

    Args:
        run: Its threads; 0 takes as many as there are CPUs for each process.
        team: Who trains.

    Yields:
        The run, with their number.
    """
    threads = run.threads or max(1, usable_cpus() // team.size)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield run.model_copy(update={"threads": threads})
    finally:
        torch.set_num_threads(before)


@contextmanager
def join_team(device: str = "auto") -> Iterator[Team]:
    """Join the processes that ``torchrun`` started, or be alone.

    Raises:
        UssimError: No such device.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if size == 1:
        yield Team(choose_device(device))
        return
    chosen = choose_device(device)
    if chosen.type == "cuda":
        chosen = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Team(chosen, rank, size)
    finally:
        dist.destroy_process_group()
