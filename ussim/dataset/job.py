"""A rendering job: plan it, render its work units, write them to a store, pick it up again after a break.

One way through: ``Plan`` (what is to be rendered) → ``run`` (units that are not done yet, in batches) →
store. While a batch is rendered, a small pool of threads writes the one before. A unit is marked done after
all of its data is on disk, so whatever ends a job, the next one goes on with the units that are missing.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ussim.dataset.claims import remove_all_claims
from ussim.dataset.lock import only_renderer
from ussim.dataset.machine import this_machine
from ussim.dataset.place import Place, Where, place_of
from ussim.dataset.plan import Plan, first_difference
from ussim.dataset.remote_place import LostConnectionError
from ussim.dataset.schema import PHYSICS_VERSION, Header
from ussim.dataset.store import Dataset, StoreExistsError
from ussim.dataset.writer_threads import WriteFailedError, Writers
from ussim.errors import UssimError
from ussim.progress import Progress

if TYPE_CHECKING:
    from ussim.probe.quality import Quality

TGC_SCENES = 4
"""Of a series of scenes the first few are enough for it: the curve is the mean of theirs."""

TGC_POSES = 16
"""Poses, spread over the sweep, that time-gain compensation is fitted to, whatever the number of frames."""


class FrameRenderer(Protocol):
    """What a job needs of a renderer; ``ussim.render.renderer.Renderer`` is one."""

    @property
    def backend_name(self) -> str:
        """``"cpu"`` or ``"cuda"``."""

    def fit_tgc(self, poses: np.ndarray) -> np.ndarray:
        """Fit and set the time-gain compensation [dB], shape (axial_samples,)."""

    def batch_size(self, qualities: Sequence[Quality]) -> int:
        """How many frames to render at once."""

    def render(self, poses: np.ndarray, quality: Quality, frames: np.ndarray) -> np.ndarray:
        """Images, uint8 of shape (n, H, W)."""

    def maps(self, poses: np.ndarray) -> Any:
        """Segmentation, attenuation and attenuation_scale."""


RendererFactory = Callable[["Plan", str, "np.ndarray | None"], FrameRenderer]
"""Makes the renderer of a plan on a backend, with a fitted time-gain compensation or None."""


class InterruptedJobError(UssimError):
    """The job was stopped by the user; what it finished is on disk."""

    interrupted = True


@dataclass(frozen=True)
class Summary:
    """What a job did.

    Attributes:
        path: The store's folder or URL.
        rendered: Frames rendered by this job.
        seconds: Time taken.
        units_done: Units of the store that are done now.
        units: Units of the store.
        device: What rendered them, in words; empty when there was nothing to do.
    """

    path: Path | str
    rendered: int
    seconds: float
    units_done: int
    units: int
    device: str = ""


def run(
    plan: Plan,
    path: Where,
    *,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    make_renderer: RendererFactory | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Summary:
    """Render what a store still lacks.

    Args:
        plan: What to render.
        path: The store: a new path or URL, or a store of the same plan with ``resume`` or ``shard``.
        resume: Go on with a store that exists.
        shard: (i, n): take every n-th unit, from the i-th (1-based). The processes of all n shards may run at
            once and share the path.
        make_renderer: Makes the renderer; the default is ``ussim.render.renderer.Renderer``.
        progress: Told how far ``prepare``, ``gain`` and ``render`` are.
        warn: Told, in one line, that another machine began the store.

    Returns:
        What was done.

    Raises:
        UssimError: The path is taken, its store has other settings, another process renders the same units, a pose
            is bad, a value cannot be stored, or the disk is full.
        InterruptedJobError: Ctrl-C; what was finished is kept.
    """
    place = place_of(path)
    start = time.perf_counter()
    make_renderer = make_renderer or default_renderer
    progress = progress or (lambda phase, done, total, note="": None)
    part = shard or (1, 1)

    dataset = open_existing(plan, place, resume=resume or shard is not None)
    with ExitStack() as held:
        if dataset is not None and _pending(dataset, part):
            held.enter_context(only_renderer(place, part))
            compare_machines(dataset, warn)
        if dataset is None:
            place.require()
        progress("prepare", 0, 1)
        plan.check_poses()
        renderer = None
        if dataset is None:
            dataset, renderer = create_store(plan, place, plan.poses, make_renderer, progress, join=shard is not None)
            held.enter_context(only_renderer(place, part))
        pending = _pending(dataset, part)  # now that nobody else renders them
        renderers = Renderers(plan, dataset.header, make_renderer, renderer)
        if pending:
            renderers.of(int(plan.scene_of_frame[dataset.header.unit_range(pending[0]).start]))
        progress("prepare", 1, 1)
        rendered = _render_units(plan, dataset, renderers, pending, progress) if pending else 0
        if pending and (place.folder or dataset.complete):
            remove_all_claims(place)  # of elastic workers that were killed: none lives beside a shard
    return Summary(
        path=place.where,
        rendered=rendered,
        seconds=time.perf_counter() - start,
        units_done=int(dataset.done.sum()),
        units=dataset.header.units,
        device=renderers.device,
    )


def open_existing(plan: Plan, path: Where, resume: bool) -> Dataset | None:
    """The store at a path if there is one, checked against the plan.

    Args:
        plan: What the store must hold.
        path: Where it may be.
        resume: Whether it may exist.

    Raises:
        UssimError: It exists and ``resume`` is false, is no store, or was rendered by another physics or with other
            settings.
    """
    place = place_of(path)
    if place.is_vacant():
        return None
    if not resume:
        raise UssimError(f"{place} exists already: give --resume to go on with it, or another path")
    dataset = Dataset.open(place, mode="r+")
    if dataset.header.physics_version != PHYSICS_VERSION:
        raise UssimError(
            f"{place} was rendered by another physics (version {dataset.header.physics_version}, here "
            f"{PHYSICS_VERSION}): it can be read but not gone on with; give another path"
        )
    difference = first_difference(dataset.header, plan)
    if difference:
        raise UssimError(f"{place} was made with other settings: {difference}")
    if not np.allclose(dataset.poses, plan.poses, rtol=0, atol=1e-6):  # other versions may round otherwise
        raise UssimError(f"{place}: its poses are not those of sweep {plan.sweep!r}: the store was damaged or changed")
    return dataset


def _pending(dataset: Dataset, shard: tuple[int, int]) -> list[int]:
    """Units of a shard that are not done."""
    return [int(unit) for unit in np.flatnonzero(~dataset.done) if unit % shard[1] == shard[0] - 1]


def compare_machines(dataset: Dataset, warn: Callable[[str], None]) -> None:
    """Tell, in one line, that another machine began a store."""
    began = dataset.header.machine
    found = began.differences(this_machine()) if began else ""
    if found:
        warn(f"{dataset.path} was begun with {found}: what is rendered here may differ from it by grey levels")


def default_renderer(plan: Plan, backend: str, tgc_db: np.ndarray | None) -> FrameRenderer:
    """The ray tracer, with the settings of a plan."""
    from ussim.render.renderer import Renderer

    settings = plan.settings
    return Renderer(
        plan.scene,
        probe=settings.probe,
        imaging=settings.imaging,
        backend=backend,
        seed=plan.seed,
        tgc_db=tgc_db,
    )


def create_store(
    plan: Plan,
    place: Place,
    poses: np.ndarray,
    make_renderer: RendererFactory,
    progress: Progress,
    join: bool,
) -> tuple[Dataset, FrameRenderer | None]:
    """Fit the gain and make the store; of several shards that try, one makes it and the others open it.

    Returns:
        The store and, if it fits the first frame, the renderer that the gain was fitted with.
    """
    progress("gain", 0, 1)
    curves: list[np.ndarray] = []
    renderer: FrameRenderer | None = None
    for number in range(min(TGC_SCENES, len(plan.series.rows) if plan.series else 1)):
        part, renderer = plan.of_scene(number), None  # before the next: two need twice the memory
        renderer = make_renderer(part, plan.backend, None)
        curves.append(renderer.fit_tgc(part.scene.sweep(plan.sweep).poses(TGC_POSES)))
    tgc_db = np.asarray(np.mean(curves, axis=0, dtype=np.float64), np.float32)
    assert renderer is not None, "there is at least one scene"
    progress("gain", 1, 1)
    header = plan.header(renderer.backend_name, tgc_db).model_copy(update={"sharded": place.sharded})
    try:
        return Dataset.create(
            place, header, poses, plan.settings.probe.mask()
        ), renderer if plan.series is None else None
    except StoreExistsError:
        if not join:
            raise
        dataset = open_existing(plan, place, resume=True)
        if dataset is None:
            raise
        same = dataset.header.tgc_db == header.tgc_db and not plan.series
        return dataset, renderer if same else None


class Renderers:
    """The renderer of each scene, one at a time: frames come in the order of their scenes."""

    def __init__(self, plan: Plan, header: Header, make: RendererFactory, first: FrameRenderer | None):
        self._plan, self._header, self._make = plan, header, make
        self._number, self._renderer = 0, first

    def of(self, number: int) -> FrameRenderer:
        """The renderer of a scene."""
        if self._renderer is None or number != self._number:
            self._renderer = None  # before the next is made: two need twice the memory
            tgc = np.asarray(self._header.tgc_db, np.float32)
            self._renderer = self._make(self._plan.of_scene(number), self._plan.backend, tgc)
            self._number = number
        return self._renderer

    @property
    def device(self) -> str:
        """What renders, in words; empty if nothing did."""
        return getattr(self._renderer, "device", "") if self._renderer else ""


def _render_units(
    plan: Plan,
    dataset: Dataset,
    renderers: Renderers,
    pending: list[int],
    progress: Progress,
) -> int:
    """Render units batch by batch while a pool writes those before; returns the number of frames."""
    header, poses = dataset.header, dataset.poses  # those in the store, to the last bit
    scene_of_frame = plan.scene_of_frame
    first = renderers.of(int(scene_of_frame[header.unit_range(pending[0]).start]))
    batch = max(1, int(first.batch_size(list(plan.settings.qualities.values()))))
    together = max(1, batch // header.unit_frames)
    total = sum(len(header.unit_range(unit)) for unit in pending)
    rendered = 0

    progress("render", 0, total)
    with all_written(dataset, Writers(dataset, limit=2 * together)) as writers:
        for start in range(0, len(pending), together):
            units = pending[start : start + together]
            frames = np.concatenate([header.unit_range(unit) for unit in units])
            parts = []
            for some in batches(frames, scene_of_frame, batch):
                parts.append(render_frames(plan, renderers.of(int(scene_of_frame[some[0]])), some, poses))
                rendered += len(some)
                progress("render", rendered, total)
            for unit, data in by_unit(header, units, parts):
                writers.submit(unit, data)
    return rendered


@contextmanager
def all_written(dataset: Dataset, writers: Writers) -> Iterator[Writers]:
    """See that all units are written that were submitted in a ``with`` block, however it ends; errors say what is done.

    Raises:
        InterruptedJobError: Ctrl-C.
        UssimError: The disk is full, or the renderer failed.
    """
    try:
        yield writers
        writers.finish()
    except KeyboardInterrupt:
        writers.drain()
        raise InterruptedJobError(f"interrupted: {state(dataset)}") from None
    except WriteFailedError as error:
        writers.drain()
        raise UssimError(f"{dataset.path}: {error}: {state(dataset)}") from None
    except LostConnectionError as error:  # what is queued would wait for it too
        raise UssimError(f"{error}: what is finished is kept; run the same command with --resume to go on") from None
    except UssimError as error:  # of the renderer: a GPU that fails
        writers.drain()
        raise UssimError(f"{error}: {state(dataset)}") from None
    finally:
        writers.close()


def batches(frames: np.ndarray, scene_of_frame: np.ndarray, batch: int) -> list[np.ndarray]:
    """Frames in order, so many at once as a batch holds and of one scene each."""
    changes = np.flatnonzero(np.diff(scene_of_frame[frames])) + 1
    return [part[i : i + batch] for part in np.split(frames, changes) for i in range(0, len(part), batch)]


def render_frames(plan: Plan, renderer: FrameRenderer, frames: np.ndarray, poses: np.ndarray) -> dict[str, np.ndarray]:
    """All arrays of some frames."""
    poses = poses[frames]
    data = {name: renderer.render(poses, quality, frames=frames) for name, quality in plan.settings.qualities.items()}
    maps = renderer.maps(poses)
    data["segmentation"] = maps.segmentation
    data["attenuation"] = maps.attenuation
    data["attenuation_scale"] = maps.attenuation_scale
    return data


def by_unit(
    header: Header, units: list[int], parts: list[dict[str, np.ndarray]]
) -> list[tuple[int, dict[str, np.ndarray]]]:
    """The arrays of consecutive batches, cut where one unit ends and the next begins."""
    ends = np.cumsum([len(header.unit_range(unit)) for unit in units])[:-1]
    cut = {name: np.split(np.concatenate([part[name] for part in parts]), ends) for name in parts[0]}
    return [(unit, {name: arrays[i] for name, arrays in cut.items()}) for i, unit in enumerate(units)]


def state(dataset: Dataset) -> str:
    """What is finished and how to go on."""
    try:
        done = int(dataset.done.sum())
    except UssimError:
        return "run the same command with --resume to go on"
    units = dataset.header.units
    return f"{done} of {units} units are finished and kept; run the same command with --resume to go on"
