"""Rendering a store by workers that come and go: each claims the units that it renders.

How two never render the same unit is said by :mod:`ussim.dataset.claims`.
"""

from __future__ import annotations

import os
import platform
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing

import numpy as np

from ussim.dataset import job
from ussim.dataset.claims import LEASE_S, Claims, remove_all_claims
from ussim.dataset.lock import one_of_many
from ussim.dataset.place import Where, place_of
from ussim.dataset.plan import Plan
from ussim.dataset.store import Dataset
from ussim.dataset.units import UnitRenderer
from ussim.dataset.writer_threads import Writers
from ussim.errors import UssimError
from ussim.progress import Progress

SHORTEST_LEASE_S, LONGEST_LEASE_S = 1.0, 86400.0
_WRITING = 2  # units that are written while the next is rendered


def run(
    plan: Plan,
    path: Where,
    *,
    lease_s: float = LEASE_S,
    make_renderer: job.RendererFactory | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> job.Summary:
    """Render what a store still lacks, beside any number of others that do the same; return when all units are done.

    Args:
        plan: What to render.
        path: The store: a new path or URL, or a store of the same plan.
        lease_s: Seconds after which what a dead worker had claimed is rendered by another; the same for all workers.
        make_renderer: Makes the renderer; the default is ``ussim.render.renderer.Renderer``.
        progress: Told how far ``prepare``, ``gain`` and ``render`` are, the last for all workers together.
        warn: Told, in one line, that another machine began the store.

    Returns:
        What was done; ``rendered`` counts the frames of this worker.

    Raises:
        UssimError: As :func:`ussim.dataset.job.run`, or a lease out of range.
        InterruptedJobError: Ctrl-C; what was finished is kept, the rest is left to the others at once.
    """
    if not SHORTEST_LEASE_S <= lease_s <= LONGEST_LEASE_S:
        raise UssimError(
            f"lease = {lease_s:g} is not allowed: must be {SHORTEST_LEASE_S:g} to {LONGEST_LEASE_S:g} seconds"
        )
    place = place_of(path)
    start = time.perf_counter()
    progress = progress or (lambda phase, done, total, note="": None)
    dataset, first = job.open_existing(plan, place, resume=True), None
    rendered, device = 0, ""
    with ExitStack() as held:
        if dataset is None:
            place.require()
        progress("prepare", 0, 1)
        plan.check_poses()
        if dataset is None:
            make = make_renderer or job.default_renderer
            dataset, first = job.create_store(plan, place, plan.poses, make, progress, join=True)
        else:
            job.compare_machines(dataset, warn)
        progress("prepare", 1, 1)
        if not dataset.complete:
            held.enter_context(one_of_many(place))
            renderer = UnitRenderer(plan, dataset, make_renderer, first)
            with closing(Claims(place, f"{platform.node()} {os.getpid()}", lease_s)) as claims:
                rendered = _render(dataset, claims, renderer, progress, pause_s=min(1.0, lease_s / 4))
            if dataset.complete:
                remove_all_claims(place)  # of a worker that died between its flag and their removal
            device = renderer.device
    return job.Summary(
        path=place.where,
        rendered=rendered,
        seconds=time.perf_counter() - start,
        units_done=int(dataset.done.sum()),
        units=dataset.header.units,
        device=device,
    )


def _render(dataset: Dataset, claims: Claims, renderer: UnitRenderer, progress: Progress, pause_s: float) -> int:
    """Render what can be claimed until all units are done; returns the number of frames."""
    store = _ClaimedStore(dataset, claims)
    with job.all_written(dataset, Writers(store, limit=_WRITING)) as writers:
        for unit in _claimed(dataset, claims, writers, progress, pause_s):
            writers.submit(unit, renderer.render(unit))
    return sum(store.written)


def _claimed(dataset: Dataset, claims: Claims, writers: Writers, progress: Progress, pause_s: float) -> Iterator[int]:
    """Units, each claimed and not done, until all of the store are done."""
    header, claimed = dataset.header, set[int]()
    done = dataset.done
    total = header.frames - _frames(dataset, done)
    next_unit = random.randrange(header.units)  # each begins elsewhere, lest all try for the same
    while True:
        looked = time.monotonic()
        done = dataset.done
        progress("render", total - (header.frames - _frames(dataset, done)), total)
        if done.all():
            return
        others = claims.look()
        cost_s = time.monotonic() - looked
        taken = False
        for unit in np.roll(np.arange(header.units), -next_unit).tolist():
            if done[unit] or unit in others or unit in claimed or not claims.take(unit):
                continue
            if dataset.is_done(unit):
                claims.finish(unit)
                continue
            claimed.add(unit)
            taken, next_unit = True, unit
            yield unit
            if time.monotonic() - looked > 1 + 20 * cost_s:
                break  # look again what the others did
        if not taken:
            writers.finish()
            claimed.clear()  # what others took over is theirs, and may come back
            time.sleep(pause_s)


def _frames(dataset: Dataset, done: np.ndarray) -> int:
    """Frames of the units that are done."""
    header = dataset.header
    return int(np.repeat(done, header.unit_frames)[: header.frames].sum())


class _ClaimedStore:
    """A store that takes only units whose claims are still held, and ends the claims.

    Attributes:
        written: Frames of each unit that was written.
    """

    def __init__(self, dataset: Dataset, claims: Claims):
        self._dataset, self._claims = dataset, claims
        self.written: list[int] = []

    def write_unit(self, unit: int, data: Mapping[str, np.ndarray]) -> None:
        """Write a unit if no other worker has taken it over."""
        for attempt in range(2):
            if not self._claims.renew(unit):
                return
            if self._dataset.is_done(unit):
                self._claims.finish(unit)
                return
            try:
                self._dataset.write_unit(unit, data)
                break
            except FileNotFoundError:  # who was suspended while writing this unit has cleared half-written files away
                if attempt:
                    raise
        self.written.append(len(self._dataset.header.unit_range(unit)))
        self._claims.finish(unit)
