"""A training spread over the workers of a Ray cluster: the processes that ``torchrun`` would start."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from translate.model.shipped import known_elsewhere
from translate.settings import TrainSettings
from translate.training.loop import StoppedError, TrainingSummary, train
from ussim.dataset.place import Where, everywhere, place_of
from ussim.errors import UssimError
from ussim.progress import Progress
from ussim.ray_actors import Workers, workers
from ussim.stop import ask_to_stop

_Train = Callable[..., TrainingSummary]


def train_on_workers(
    settings: TrainSettings,
    stores: Sequence[Where],
    run: Path,
    *,
    count: int | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    device: str = "auto",
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> TrainingSummary:
    """Train as :func:`~translate.training.loop.train` does, by workers of the cluster that this process has joined.

    They begin together and end together: when one dies the training ends, and ``resume`` goes on from its checkpoint.

    Args:
        settings, stores, run, resume, init, device, tensorboard: As there; all machines see the folders.
        count: How many workers; None takes one for each GPU, or for every few cores. The batch is divided by them.
        progress: Told what the first of them tells.

    Raises:
        StoppedError: SIGINT, SIGTERM or SIGHUP; a checkpoint was written.
        UssimError: As there, or what the cluster refuses.
    """
    begins = None if init is None else known_elsewhere(init)
    work = partial(
        train, settings, [everywhere(place_of(store)) for store in stores], run.absolute(),
        resume=resume, init=begins, device=device, tensorboard=tensorboard,
    )  # fmt: skip
    with workers(partial(_Trainee, work), count, on_gpus=device != "cpu", restarts=0) as team, ask_to_stop() as stop:
        host, port = team.one(_Trainee.free_address)
        size, said = len(team), _Said(progress)

        def look() -> None:
            if stop.is_set():
                team.all(_Trainee.stop, [None] * size)
            said.tell(team)

        try:
            summaries = team.all(_Trainee.train, [(rank, size, host, port) for rank in range(size)], look)
        except UssimError as error:
            if stop.is_set():
                raise StoppedError(str(error)) from None
            raise
    return summaries[0]


class _Said:
    """What the first worker told last."""

    def __init__(self, progress: Progress | None):
        self._progress, self._last = progress, None

    def tell(self, team: Workers) -> None:
        """Tell it on."""
        if self._progress is not None and (told := team.one(_Trainee.told)) not in (None, self._last):
            self._last = told
            self._progress(*told)


class _Trainee:
    """What works in an actor: one of the processes that train together."""

    def __init__(self, work: _Train, cores: int):
        self._work = work
        self._stop = threading.Event()
        self._told: tuple[str, int, int, str] | None = None

    def free_address(self, _: None) -> tuple[str, int]:
        """Where the others find this one."""
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket() as free:
            free.bind((host, 0))
            return host, free.getsockname()[1]

    def train(self, place: tuple[int, int, str, int]) -> TrainingSummary:
        """Be one of those that train: its rank, how many there are, and where the first is."""
        names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        os.environ.update({"LOCAL_RANK": "0", **dict(zip(names, map(str, place), strict=True))})
        return self._work(progress=self._tell, stop=self._stop)

    def told(self, _: None) -> Any:
        """What was told last of the progress."""
        return self._told

    def stop(self, _: None) -> None:
        """End well, with a checkpoint."""
        self._stop.set()

    def _tell(self, phase: str, done: int, total: int, note: str = "") -> None:
        self._told = (phase, done, total, note)
