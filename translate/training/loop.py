"""Training: the conditional GAN of the paper, one loop, exactly resumable.

What an iteration sees depends on the seed and its number alone, so a run that was stopped and resumed equals
one that was not: bit by bit on a CPU.
"""

from __future__ import annotations

import copy
import json
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.channels import Encoder
from translate.data.crops import Batch, FrameSource, draw
from translate.data.store import StoreReader
from translate.model import checkpoint, losses
from translate.model.networks import PatchDiscriminator, make_generator
from translate.settings import MAY_CHANGE, Run, TrainSettings
from translate.training.devices import Team, describe, join_team
from ussim.errors import UssimError

Progress = Callable[[str, int, int, str], None]
"""Told the phase (``load`` or ``train``), how much is done, how much there is, and a note."""

LOSSES = ("discriminator", "adversarial", "fidelity", "features")
PREVIEWS = 4


class StoppedError(UssimError):
    """Training was stopped by the user; a checkpoint is on disk."""

    interrupted = True


@dataclass(frozen=True)
class Summary:
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
    store: Path,
    run: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Train the networks on the training split of a store.

    The run folder receives ``settings.json``, ``environment.json``, ``log.jsonl``, ``checkpoint_last.pt``,
    ``generator.safetensors`` (moving average), ``mask.png`` and ``previews/``.

    Args:
        settings: What to train, and how.
        store: The dataset.
        run: Folder to make, or to go on in.
        resume: Go on from the last checkpoint.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        tensorboard: Write the log for TensorBoard too.
        progress: Called now and then, by the first process.

    Raises:
        StoppedError: SIGINT or SIGTERM; a checkpoint was written.
        UssimError: A store, run folder or setting that does not do, or a loss that is not finite.
    """
    run = Path(run)
    with join_team(device) as team, _stop_signals() as stop:
        reader = StoreReader(store)
        wanted = Run(train=settings, data=reader.info(settings.split))
        team.first(lambda: _check_folder(run, wanted, resume))
        session = Session(wanted, reader, run, team, progress if team.is_first else None)
        if resume:
            session.trainer.load_state(checkpoint.load_state(run))
        team.first(lambda: _prepare_folder(run, wanted, session.trainer, team, reader.mask))
        return session.run_until_done(stop, tensorboard)


# The networks and their updates -----------------------------------------------------------------------


class Trainer:
    """Both networks, their optimisers and the moving average of the generator.

    Attributes:
        iteration: Updates done.
        seconds: Time spent on them.
        generator: The network that is trained.
        discriminator: Its opponent.
        average: The generator with averaged weights, in evaluation mode.
    """

    def __init__(self, settings: TrainSettings, encoder: Encoder, team: Team):
        self.settings, self.team = settings, team
        self.iteration, self.seconds = 0, 0.0
        torch.manual_seed(settings.seed)  # the same weights in every process
        device, on_gpu = team.device, team.device.type == "cuda"
        self.generator: nn.Module = make_generator(settings, encoder.channels).to(device)
        self.discriminator = PatchDiscriminator(encoder.channels + 1, settings.ndf, settings.d_layers).to(device)
        if team.size > 1 and on_gpu:
            self.generator = nn.SyncBatchNorm.convert_sync_batchnorm(self.generator)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        rates = {
            "lr": settings.learning_rate,
            "betas": (settings.beta1, settings.beta2),
            "fused": on_gpu or None,
        }
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), **rates)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), **rates)

        bfloat16 = settings.precision == "bfloat16" or (settings.precision == "auto" and on_gpu)
        self._autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)
        if bfloat16 and on_gpu:
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.benchmark = True
        # in the generator's step the discriminator is fixed: no gradients to exchange, so without DDP
        self._generate = self._compiled(self._distributed(self.generator))
        self._judge = self._compiled(self._distributed(self.discriminator))
        self._criticise = self._compiled(self.discriminator) if team.size > 1 else self._judge

    def _distributed(self, network: nn.Module) -> nn.Module:
        if self.team.size == 1:
            return network
        ids = [self.team.device.index] if self.team.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def _compiled(self, network: nn.Module) -> nn.Module:
        wanted = self.settings.compile
        compiles = wanted == "yes" or (wanted == "auto" and self.team.device.type == "cuda")
        return torch.compile(network) if compiles else network

    def step(self, batch: Batch) -> Tensor:
        """One update of both networks; returns the four losses before it, on the device."""
        target = batch.target * batch.mask
        with self._autocast:
            output = self._generate(batch.inputs)
        output = output.float() * batch.mask
        adversarial = self.settings.adversarial_weight > 0 or self.settings.feature_matching > 0
        zero = target.new_zeros(())
        discriminator = self._update_discriminator(batch.inputs, output.detach(), target) if adversarial else zero
        parts = self._update_generator(batch.inputs, output, target, adversarial)
        self._update_average()
        self.iteration += 1
        return torch.stack([discriminator, *parts])

    def _update_discriminator(self, inputs: Tensor, output: Tensor, target: Tensor) -> Tensor:
        self.discriminator.requires_grad_(True)
        # instance norm treats each image alone, so both halves may go through together
        pairs = torch.cat([torch.cat([inputs, target], 1), torch.cat([inputs, output], 1)])
        with self._autocast:
            logits, _ = self._judge(pairs)
        real, fake = logits.float().chunk(2)
        loss = losses.discriminator(real, fake)
        self.discriminator_adam.zero_grad()
        loss.backward()
        self.discriminator_adam.step()
        return loss.detach()

    def _update_generator(
        self, inputs: Tensor, output: Tensor, target: Tensor, adversarial: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        settings = self.settings
        fidelity = losses.fidelity(output, target)
        fooling = features = fidelity.new_zeros(())
        if adversarial:
            self.discriminator.requires_grad_(False)
            with self._autocast:
                logits, fake = self._criticise(torch.cat([inputs, output], 1))
                fooling = losses.adversarial(logits.float(), True)
                if settings.feature_matching > 0:
                    with torch.no_grad():
                        _, real = self._criticise(torch.cat([inputs, target], 1))
                    features = losses.feature_distance(fake, real).float()
        loss = (
            settings.adversarial_weight * fooling + settings.l1_weight * fidelity + settings.feature_matching * features
        )
        self.generator_adam.zero_grad()
        loss.backward()
        self.generator_adam.step()
        return fooling.detach(), fidelity.detach(), features.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        # in the first iterations a shorter memory: the initial weights are noise
        decay = min(self.settings.ema, (1 + self.iteration) / (10 + self.iteration))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), weight=1 - decay)
        for kept, current in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            kept.copy_(current)

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(
            bool(torch.isfinite(parameter).all())
            for network in (self.generator, self.discriminator)
            for parameter in network.parameters()
        )

    def state(self) -> dict[str, Any]:
        """Everything the next iteration depends on."""
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "generator_adam": self.generator_adam.state_dict(),
            "discriminator_adam": self.discriminator_adam.state_dict(),
            "rng": torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state.

        Raises:
            UssimError: It belongs to other networks.
        """
        for name in ("generator", "discriminator", "average"):
            checkpoint.fill(getattr(self, name), state[name], f"checkpoint, {name}")
        self.generator_adam.load_state_dict(state["generator_adam"])
        self.discriminator_adam.load_state_dict(state["discriminator_adam"])
        torch.set_rng_state(state["rng"])
        self.iteration, self.seconds = state["iteration"], state["seconds"]


# The loop ---------------------------------------------------------------------------------------------


class Session:
    """A trainer, the frames it learns from and the folder it writes to."""

    def __init__(self, wanted: Run, reader: StoreReader, run: Path, team: Team, progress: Progress | None):
        self.settings, self.run, self.team = wanted.train, run, team
        self.progress = progress or (lambda phase, done, total, note: None)
        encoder = Encoder(wanted.train, wanted.data)
        frames, held_out = (reader.frames(name, wanted.train.split) for name in ("train", "test"))
        if len(frames) == 0:
            raise UssimError(f"{reader.path}: its training split has no frames")
        if wanted.train.crop > min(reader.shape):
            raise UssimError(
                f"crop {wanted.train.crop} px is larger than the frames of {reader.path}: "
                f"{reader.shape[0]} × {reader.shape[1]} px"
            )
        team.share(self.settings.batch)
        self.source = FrameSource(
            reader, frames, encoder, team.device, lambda done, total: self.progress("load", done, total, "")
        )
        shown = held_out if len(held_out) else frames
        self.shown = FrameSource(reader, shown[:PREVIEWS], encoder, team.device)
        self.trainer = Trainer(self.settings, encoder, team)

    def run_until_done(self, stop: threading.Event, tensorboard: bool) -> Summary:
        """The loop: updates, log, previews, checkpoints."""
        trainer, settings, total = self.trainer, self.settings, self.settings.iterations
        log = _Log(self.run, trainer.iteration, tensorboard) if self.team.is_first else None
        pending: list[Tensor] = []
        latest: dict[str, float] = {}
        started = time.perf_counter() - trainer.seconds
        self.progress("train", trainer.iteration, total, "")
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
            if due[settings.preview_every]:
                self.team.first(self.preview)
            if stopping or due[settings.checkpoint_every]:
                self.checkpoint()
            if stopping:
                raise StoppedError(f"interrupted: {self.run} has a checkpoint at iteration {done} of {total}")
        if log:
            log.close()
        return Summary(self.run, trainer.iteration, trainer.seconds, describe(self.team.device), latest)

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
        return draw(self.settings.seed, iteration, count, (len(self.source.frames),))[:, 0]

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
            where = f"whole frames {self.source.frames[self._full_positions(iteration)].tolist()}"
        else:
            places = self.source.places(self.settings.seed, iteration, self.settings.batch, self.settings.crop)
            crops = [f"{self.source.frames[frame]} at ({row}, {column})" for frame, row, column, _ in places[:4]]
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
        if self.team.is_first:
            about = {"iteration": str(self.trainer.iteration)}
            # weights first: a run that is killed in between is trained again up to them, never left behind them
            checkpoint.save_weights(self.run / checkpoint.WEIGHTS, self.trainer.average, about)
            checkpoint.save_state(self.run, self.trainer.state())

    @torch.no_grad()
    def preview(self) -> None:
        """Save low quality, output and high quality of the same few crops, side by side."""
        from PIL import Image

        source, crop = self.shown, self.settings.crop
        places = source.places(self.settings.seed, 0, len(source.frames), crop)
        places[:, 0], places[:, 3] = np.arange(len(places)), 0
        batch = source.crops(places, crop)
        output = self.trainer.average(batch.inputs)
        shown = [*([batch.inputs[:, :1]] if "L" in self.settings.inputs else []), output, batch.target]
        images = [((image + 1) * 127.5 * batch.mask).round().clamp(0, 255).to(torch.uint8)[:, 0] for image in shown]
        grid = torch.cat([torch.cat(list(column), 0) for column in images], 1)
        folder = self.run / "previews"
        folder.mkdir(exist_ok=True)
        Image.fromarray(grid.cpu().numpy()).save(folder / f"{self.trainer.iteration:06d}.png")


def _note(values: dict[str, float]) -> str:
    names = {"discriminator": "D", "adversarial": "GAN", "fidelity": "L1"}
    return "  ".join(f"{short} {values[name]:.3f}" for name, short in names.items())


# The run folder ---------------------------------------------------------------------------------------


def _check_folder(run: Path, wanted: Run, resume: bool) -> None:
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


def _prepare_folder(run: Path, wanted: Run, trainer: Trainer, team: Team, mask: np.ndarray) -> None:
    from PIL import Image

    import ussim

    try:
        run.mkdir(parents=True, exist_ok=True)
        wanted.save(run)
        Image.fromarray(mask * np.uint8(255)).save(run / "mask.png")
        environment = {
            "ussim": ussim.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": describe(team.device),
            "processes": team.size,
            "generator_parameters": sum(p.numel() for p in trainer.generator.parameters()),
            "discriminator_parameters": sum(p.numel() for p in trainer.discriminator.parameters()),
        }
        (run / "environment.json").write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UssimError(f"{run}: cannot be written: {error.strerror or error}") from None


class _Log:
    """The file ``log.jsonl``, and TensorBoard if it is wanted."""

    def __init__(self, run: Path, iteration: int, tensorboard: bool):
        path = run / "log.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        # what was logged after the checkpoint is trained, and logged, again
        kept = [line for line in lines if json.loads(line)["iteration"] <= iteration]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._writer = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise UssimError("TensorBoard is not installed: pip install tensorboard") from None
            self._writer = SummaryWriter(run / "tensorboard", purge_step=iteration)

    def write(self, iteration: int, values: dict[str, float], seconds: float) -> None:
        self._file.write(json.dumps({"iteration": iteration, **values, "seconds": round(seconds, 3)}) + "\n")
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)

    def close(self) -> None:
        self._file.close()
        if self._writer:
            self._writer.close()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets: an update is finished first. A second SIGINT ends at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
