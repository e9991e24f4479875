"""Training: the conditional GAN of the paper, one loop, exactly resumable.

What an iteration sees depends on the seed and its number alone, so a run that was stopped and resumed equals
one that was not: bit by bit on a CPU.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.data.channels import Encoder, to_grey
from translate.data.crops import Batch, FrameSource, draw, open_frames, require_room
from translate.data.images import save_png
from translate.data.store import StoreReader, joint_info
from translate.model import checkpoint
from translate.settings import Run, TrainSettings
from translate.training.devices import Team, describe, fixed_threads, join_team
from translate.training.init import initial_weights
from translate.training.log import Log, last_losses
from translate.training.run_folder import (
    describe_run,
    has_weights,
    only_training,
    run_to_train,
    state_to_go_on_from,
)
from translate.training.trainer import LOSSES, Trainer
from translate.training.validation import CURVE, Validation
from ussim.dataset.place import Where
from ussim.errors import UssimError
from ussim.progress import Progress
from ussim.stop import ask_to_stop

PREVIEWS = 4


class StoppedError(UssimError):
    """Training was stopped by the user; a checkpoint is on disk."""

    interrupted = True


@dataclass(frozen=True)
class TrainingSummary:
    """What a training did.

    Attributes:
        run: Its folder.
        iterations: Updates that the networks have seen now.
        seconds: Time spent on them, over all sessions.
        device: Where.
        losses: Mean losses of the last log interval.
    """

    run: Path
    iterations: int
    seconds: float
    device: str
    losses: dict[str, float]


def train(
    settings: TrainSettings,
    store: Where | Sequence[Where],
    run: Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    device: str = "auto",
    tensorboard: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> TrainingSummary:
    """Train the networks on the training split of a store.

    The run folder receives ``settings.json``, ``environment.json``, ``log.jsonl``, ``checkpoint_last.pt``,
    ``generator.safetensors`` (moving average), ``mask.png``, ``previews/`` and, if wanted, ``validation.jsonl``.

    Args:
        settings: What to train, and how.
        store: Path or URL of the dataset, or of several whose images have one size.
        run: Folder to make, or to go on in.
        resume: Go on from the last checkpoint; without one, from the beginning.
        init: Run folder whose generator this one begins as, or ``default`` for the shipped one; random weights without.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        tensorboard: Write the log for TensorBoard too.
        progress: Called now and then, by the first process.
        stop: Stops the training when it is set, as signals do where this is called in the main thread.

    Raises:
        StoppedError: SIGINT, SIGTERM or SIGHUP; a checkpoint was written.
        UssimError: A store, run folder or setting that does not do, another training in this folder, a checkpoint that
            is damaged, or a loss that is not finite.
    """
    run = Path(run)
    with join_team(device) as team, ExitStack() as held, ask_to_stop() as asked:
        readers = [
            StoreReader(path)
            for path in (store if isinstance(store, Sequence) and not isinstance(store, str) else [store])
        ]
        data = joint_info(readers, settings)
        first = None if init is None else initial_weights(init, settings, data)
        team.first(lambda: held.enter_context(only_training(run, resume)))
        to_train = run_to_train(run, settings, data, first.digest if first else "")
        wanted = held.enter_context(fixed_threads(to_train, team))
        state = state_to_go_on_from(run, settings.iterations)
        if state and state["iteration"] == settings.iterations and has_weights(run, settings.iterations):
            return TrainingSummary(run, state["iteration"], state["seconds"], describe(team.device), last_losses(run))
        session = Session(wanted, readers, run, team, progress if team.is_first else None)
        if state:
            session.take_over(state)
        elif first:
            session.trainer.begin_as(first.network)
        elif wanted.init:
            raise UssimError(f"{run}: began with the weights of another run and has no checkpoint: give --init again")
        team.first(lambda: describe_run(run, wanted, session.trainer, readers[0].mask))
        return session.run_until_done(asked if stop is None else stop, tensorboard)


class Session:
    """A trainer, the frames it learns from and the folder it writes to."""

    def __init__(self, wanted: Run, readers: Sequence[StoreReader], run: Path, team: Team, progress: Progress | None):
        self.wanted, self.settings, self.run, self.team = wanted, wanted.train, run, team
        self.progress = progress or (lambda phase, done, total, note="": None)
        encoder = Encoder(wanted.train, wanted.data)
        frames, held_out = ([one.frames(name, wanted.train.split) for one in readers] for name in ("train", "test"))
        if not any(map(len, frames)):
            raise UssimError(f"{readers[0].place}: its training split has no frames")
        for one in readers:
            require_room(one, wanted.train.crop)
        team.share(self.settings.batch)
        self.source = open_frames(
            readers, frames, encoder, team.device, lambda done, total: self.progress("load", done, total)
        )
        pairs = [pair for part in (held_out, frames) for pair in zip(readers, part, strict=True)]
        reader, shown = next(pair for pair in pairs if len(pair[1]))
        self.shown = FrameSource(reader, shown[:PREVIEWS], encoder, team.device)
        self.validation: Validation | None = None
        if self.settings.validate_every and team.is_first:
            self.validation = Validation(readers, held_out, encoder, self.settings, team.device)
        self.trainer = Trainer(self.settings, encoder, team)

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; weights that are not those of its iteration are written anew from it."""
        self.trainer.load_state(state)
        if self.team.is_first and not has_weights(self.run, self.trainer.iteration):
            self._save_weights()

    def run_until_done(self, stop: threading.Event, tensorboard: bool) -> TrainingSummary:
        """The loop: updates, log, previews, checkpoints."""
        trainer, settings, total = self.trainer, self.settings, self.settings.iterations
        log = Log(self.run, trainer.iteration, tensorboard) if self.team.is_first else None
        curve = Log(self.run, trainer.iteration, name=CURVE) if self.validation else None
        if self.validation and curve and trainer.iteration == 0:
            curve.write(0, self.validation.low_quality(), 0.0)
        pending: list[Tensor] = []
        latest: dict[str, float] = {}
        started = time.perf_counter() - trainer.seconds
        self.progress("train", trainer.iteration, total)
        while trainer.iteration < total:
            pending.append(trainer.step(self.batch(trainer.iteration)))
            done = trainer.iteration
            due = {
                every: done % every == 0 or done == total
                for every in (settings.log_every, settings.checkpoint_every, settings.preview_every)
            }
            # across processes the wish to stop is shared only now and then: it costs an exchange
            asks = due[settings.log_every] if self.team.size > 1 else True
            stopping = asks and self.team.any(stop.is_set())
            if stopping or any(due.values()):
                latest = self._flush(pending)
                trainer.seconds = time.perf_counter() - started
                if log:
                    log.write(done, latest, trainer.seconds)
                self.progress("train", done, total, _note(latest))
            if self.validation and curve and done % settings.validate_every == 0:
                curve.write(done, self.validation.measure(trainer.average), time.perf_counter() - started)
            if due[settings.preview_every]:
                self.team.first(self.preview)
            if stopping or due[settings.checkpoint_every]:
                self.checkpoint()
            if stopping:
                raise StoppedError(f"interrupted: {self.run} has a checkpoint at iteration {done} of {total}")
        for one in (log, curve):
            if one:
                one.close()
        return TrainingSummary(self.run, trainer.iteration, trainer.seconds, describe(self.team.device), latest)

    def batch(self, iteration: int) -> Batch:
        """This process's part of what an iteration sees."""
        settings = self.settings
        if iteration >= settings.full_frames_from:
            part = self.team.share(max(settings.full_batch, self.team.size))
            return self.source.whole(self._full_positions(iteration)[part])
        places = self._places(iteration)
        upcoming = self._places(iteration + 1) if not self.source.resident else None
        return self.source.crops(places, settings.crop, upcoming)

    def _places(self, iteration: int) -> np.ndarray:
        settings = self.settings
        places = self.source.places(settings.seed, iteration, settings.batch, settings.crop)
        return places[self.team.share(settings.batch)]

    def _full_positions(self, iteration: int) -> np.ndarray:
        count = max(self.settings.full_batch, self.team.size)
        return draw(self.settings.seed, iteration, count, (len(self.source),))[:, 0]

    def _flush(self, pending: list[Tensor]) -> dict[str, float]:
        """Mean losses since the last time. They are looked at only now, so that a GPU never has to wait.

        Raises:
            UssimError: One of them is not finite.
        """
        values = self.team.mean(torch.stack(pending)).cpu()
        first = self.trainer.iteration - len(pending)
        pending.clear()
        bad = (~torch.isfinite(values)).any(1).nonzero()
        if len(bad):
            row = int(bad[0])
            raise UssimError(self._not_finite(first + row, values[row].tolist()))
        return dict(zip(LOSSES, values.mean(0).tolist(), strict=True))

    def _not_finite(self, iteration: int, values: list[float]) -> str:
        named = ", ".join(f"{name} {value:g}" for name, value in zip(LOSSES, values, strict=True))
        if iteration >= self.settings.full_frames_from:
            where = f"whole frames {', '.join(map(self.source.name_of, self._full_positions(iteration)))}"
        else:
            places = self.source.places(self.settings.seed, iteration, self.settings.batch, self.settings.crop)
            crops = [f"{self.source.name_of(frame)} at ({row}, {column})" for frame, row, column, _ in places[:4]]
            more = f" and {len(places) - 4} more" if len(places) > 4 else ""
            where = f"crops of frames {', '.join(crops)}{more}"
        kept = "its last checkpoint is kept" if (self.run / checkpoint.LAST).exists() else "no checkpoint yet"
        return f"{self.run}: the loss of iteration {iteration} is not finite ({named}); its batch: {where}; {kept}"

    def checkpoint(self) -> None:
        """Write the state to go on from and the averaged generator."""
        if not self.trainer.is_finite():
            raise UssimError(
                f"{self.run}: weights are not finite after iteration {self.trainer.iteration - 1}; "
                "its last checkpoint is kept"
            )
        self.team.first(self._save)  # the others wait: who ends before it is written may take the first one along

    def _save(self) -> None:
        # weights first: a run that is killed in between is trained again up to them, never left behind them
        self._save_weights()
        checkpoint.save_state(self.run, self.wanted, self.trainer.state())

    def _save_weights(self) -> None:
        about = {"iteration": str(self.trainer.iteration), "run": self.wanted.digest}
        checkpoint.save_weights(self.run / checkpoint.WEIGHTS, self.trainer.average, about)

    @torch.no_grad()
    def preview(self) -> None:
        """Save low quality, output and high quality of the same few crops, side by side."""
        source, crop = self.shown, self.settings.crop
        places = source.places(self.settings.seed, 0, len(source.frames), crop)
        places[:, 0], places[:, 3] = np.arange(len(places)), 0
        batch = source.crops(places, crop)
        output = self.trainer.average(batch.inputs)
        shown = [*([batch.inputs[:, :1]] if "L" in self.settings.inputs else []), output, batch.target]
        images = [(to_grey(image) * (batch.mask > 0))[:, 0] for image in shown]
        grid = torch.cat([torch.cat(list(column), 0) for column in images], 1)
        save_png(self.run / "previews" / f"{self.trainer.iteration:06d}.png", grid.cpu().numpy())


def _note(values: dict[str, float]) -> str:
    names = {"discriminator": "D", "adversarial": "GAN", "fidelity": "L1"}
    return "  ".join(f"{short} {values[name]:.3f}" for name, short in names.items())
