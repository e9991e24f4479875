"""A generator's work, spread over the workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from translate.use.inference import Generator
from ussim.errors import UssimError
from ussim.ray_actors import workers


class Task(Protocol):
    """How an item is loaded, and how it is finished then."""

    @property
    def load(self) -> Callable[[Any], Any]:
        """Reads what an item needs."""

    @property
    def finish(self) -> Callable[[Any, Any], None]:
        """Makes an item of what was read, and writes it."""


@dataclass(frozen=True)
class Spread:
    """How work is spread over a cluster that this process is connected to, see :mod:`ussim.ray_actors`.

    Attributes:
        load: Loads the generator, in each worker: from a place that all machines see.
        count: How many workers; None takes one for each GPU, or for every few cores.
        on_gpus: Whether a worker takes a GPU, where the cluster has any.
    """

    load: Callable[[], Generator]
    count: int | None = None
    on_gpus: bool = False

    def each(self, items: Sequence[Any], task: Callable[[Generator], Task], digest: str) -> Iterator[Any]:
        """Let workers finish items, in any order; yields each that is done.

        Args:
            items: What is to be done.
            task: How, given the generator.
            digest: That of the generator's weights.

        Raises:
            UssimError: An item that could not be done, other weights at a worker, or what the cluster refuses.
        """
        make = partial(_Enhancer, self.load, task, digest)
        with workers(make, self.count, on_gpus=self.on_gpus) as team:
            for result in team.each(_Enhancer.do, [items]):
                yield result.item


class _Enhancer:
    """What works in an actor: the network in a thread of its own, while the next item is read."""

    def __init__(self, load: Callable[[], Generator], task: Callable[[Generator], Task], digest: str, cores: int):
        self._thread = one_thread_of(cores)
        generator = load()
        if generator.digest != digest:
            raise UssimError("its weights are not those that the command was given: use one folder for all")
        self._task = task(generator)

    def do(self, item: Any) -> None:
        """Finish one item."""
        loaded = self._task.load(item)
        self._thread.submit(self._task.finish, item, loaded).result()


def one_thread_of(cores: int) -> ThreadPoolExecutor:
    """A thread whose sums torch spreads over so many cores."""
    return ThreadPoolExecutor(1, "translate", initializer=torch.set_num_threads, initargs=(cores,))
