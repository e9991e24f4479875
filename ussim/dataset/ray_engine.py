"""Rendering a store by the workers of a Ray cluster: pixels go from each worker to the store, and nowhere else."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ussim.dataset import job
from ussim.dataset.claims import remove_all_claims
from ussim.dataset.lock import has_workers, only_renderer, remove_dead_workers, worker_of_renderer
from ussim.dataset.place import Place, Where, everywhere, place_of
from ussim.dataset.plan import Plan
from ussim.dataset.store import Dataset
from ussim.dataset.units import UnitRenderer
from ussim.errors import UssimError
from ussim.progress import Progress
from ussim.ray_actors import Workers, workers

_DYING_S = 20.0  # that workers may take to end, when they or the process that they work for were killed


def run(
    plan: Plan,
    path: Where,
    *,
    resume: bool = False,
    count: int | None = None,
    make_renderer: job.RendererFactory | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> job.Summary:
    """Render what a store still lacks, on the cluster that :func:`ussim.ray_actors.cluster_at` is connected to.

    Args:
        plan: What to render; it travels to the workers, which need not see the files of its scene.
        path: The store, where all machines see it: a new path or URL, or a store of the same plan with ``resume``.
        resume: Go on with a store that exists.
        count: How many workers; None takes one for each GPU, or for every few cores.
        make_renderer: Makes the renderers; the default is ``ussim.render.renderer.Renderer``. It is imported in the
            workers.
        progress: Told how far ``prepare``, ``workers``, ``gain`` and ``render`` are.
        warn: Told, in one line, that another machine began the store.

    Returns:
        What was done.

    Raises:
        UssimError: As :func:`ussim.dataset.job.run`, naming the worker; or a cluster without room, or with other
            versions.
        InterruptedJobError: Ctrl-C; what was finished is kept.
    """
    place = place_of(everywhere(place_of(path)))
    start = time.perf_counter()
    progress = progress or (lambda phase, done, total, note="": None)
    dataset = job.open_existing(plan, place, resume)
    device, rendered = "", 0
    with ExitStack() as held:
        if dataset is None:
            place.require()
        elif not dataset.complete:
            _hold(held, place)
            job.compare_machines(dataset, warn)
        progress("prepare", 0, 1)
        plan.check_poses()
        progress("prepare", 1, 1)
        if dataset is None or not dataset.complete:
            held.callback(_see_off, place)
            progress("workers", 0, 1)
            make = partial(_StoreWorker, plan, place.where, make_renderer or job.default_renderer)
            with workers(make, count, on_gpus=plan.backend != "cpu") as team:
                progress("workers", 1, 1)
                if dataset is None:
                    dataset = _created(team, plan, place, progress)
                    _hold(held, place)
                rendered = _render(team, plan, dataset, progress)
                device = f"{len(team)} workers, each {team.one(_StoreWorker.device)}"
            if place.folder or dataset.complete:  # in a bucket elastic workers may live beside
                remove_all_claims(place)
    assert dataset is not None
    return job.Summary(
        path=place.where,
        rendered=rendered,
        seconds=time.perf_counter() - start,
        units_done=int(dataset.done.sum()),
        units=dataset.header.units,
        device=device,
    )


def _hold(held: ExitStack, place: Place) -> None:
    """Hold all units; workers of a process that was killed, which follow it in a moment, are waited for."""
    end = time.monotonic() + _DYING_S
    while True:
        try:
            held.enter_context(only_renderer(place, (1, 1)))
            return
        except UssimError:
            if not has_workers(place) or time.monotonic() > end:
                raise
            time.sleep(0.2)


def _see_off(place: Place) -> None:
    """Wait until all workers have let go of the store, which those that were killed do in a moment."""
    end = time.monotonic() + _DYING_S
    remove_dead_workers(place)
    while has_workers(place) and time.monotonic() < end:
        time.sleep(0.05)
        remove_dead_workers(place)


def _created(team: Workers, plan: Plan, place: Place, progress: Progress) -> Dataset:
    """The store, made by one of the workers: this process need not be able to render."""
    progress("gain", 0, 1)
    with _said(None):
        team.one(_StoreWorker.create)
    progress("gain", 1, 1)
    dataset = job.open_existing(plan, place, resume=True)
    if dataset is None:
        raise UssimError(f"{place} was made by a worker and is not seen from here: {_SHARED}")
    return dataset


_SHARED = "choose a place that all machines see under the same name"


def _render(team: Workers, plan: Plan, dataset: Dataset, progress: Progress) -> int:
    """Render what is missing; returns the number of frames."""
    header, scene_of_frame = dataset.header, plan.scene_of_frame
    groups: dict[int, list[int]] = {}
    for unit in np.flatnonzero(~dataset.done).tolist():
        groups.setdefault(int(scene_of_frame[header.unit_range(unit).start]), []).append(unit)
    total = sum(len(header.unit_range(unit)) for group in groups.values() for unit in group)
    rendered, digests = 0, dict[int, str]()
    progress("render", 0, total)
    with _said(dataset):
        for result in team.each(_StoreWorker.render, groups.values()):
            digests[result.item] = result.value
            rendered += len(header.unit_range(result.item))
            progress("render", rendered, total)
    lost = [unit for unit, digest in digests.items() if _digest(dataset, unit) != digest]
    if lost:
        raise UssimError(f"{dataset.path}: unit {lost[0]} is not here what a worker wrote: {_SHARED}")
    return rendered


@contextmanager
def _said(dataset: Dataset | None) -> Iterator[None]:
    """Let errors say what is finished."""
    try:
        yield
    except KeyboardInterrupt:
        raise job.InterruptedJobError(f"interrupted: {_kept(dataset)}") from None
    except UssimError as error:
        raise UssimError(f"{error}: {_kept(dataset)}") from None


def _kept(dataset: Dataset | None) -> str:
    return job.state(dataset) if dataset else "nothing is rendered yet; run the same command again"


def _digest(dataset: Dataset, unit: int) -> str:
    """SHA-256 over the digests of a unit's frames."""
    frames = dataset.header.unit_range(unit)
    return hashlib.sha256(dataset.read("digest", slice(frames.start, frames.stop)).tobytes()).hexdigest()


class _StoreWorker:
    """What works in an actor: a scene, its renderer, and the store. Units are rendered in a thread of their own, one
    after the other, while the one before is written."""

    def __init__(self, plan: Plan, path: Path | str, make_renderer: job.RendererFactory, cores: int):
        self._plan, self._path = plan, path
        self._make = make_renderer
        self._first: job.FrameRenderer | None = None
        self._dataset: Dataset | None = None
        self._units: UnitRenderer | None = None
        self._held = ExitStack()
        self._renders = ThreadPoolExecutor(1, "ussim-renderer", initializer=_use, initargs=(cores,))

    def create(self, _: None) -> None:
        """Make the store; if a worker that died did, it stays."""
        if job.open_existing(self._plan, self._path, resume=True) is None:
            self._renders.submit(self._create).result()

    def render(self, unit: int) -> str:
        """Render a unit and write it; returns its digest."""
        data = self._renders.submit(self._render, unit).result()
        assert self._dataset is not None
        self._dataset.write_unit(unit, data)
        return _digest(self._dataset, unit)

    def device(self, _: None) -> str:
        """What renders, in words."""
        return self._renders.submit(lambda: self._units.device if self._units else "").result()

    def close(self) -> None:
        """Let go of the store."""
        self._renders.shutdown()
        self._held.close()

    def _create(self) -> None:
        plan = self._plan
        _, self._first = job.create_store(plan, place_of(self._path), plan.poses, self._make, _quiet, join=True)

    def _render(self, unit: int) -> dict[str, np.ndarray]:
        if self._units is None:
            self._dataset = job.open_existing(self._plan, self._path, resume=True)
            if self._dataset is None:
                raise UssimError(f"{self._path} is not seen from here: {_SHARED}")
            self._held.enter_context(worker_of_renderer(self._path))
            self._units, self._first = UnitRenderer(self._plan, self._dataset, self._make, self._first), None
        return self._units.render(unit)


def _use(cores: int) -> None:
    """Let this thread's compiled code run on so many cores."""
    import numba

    numba.set_num_threads(min(cores, numba.get_num_threads()))  # a new thread has all there are


def _quiet(phase: str, done: int, total: int, note: str = "") -> None:
    """No progress: who was asked for the work tells it."""
