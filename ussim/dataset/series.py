"""A dataset over several scenes: which frame shows which, and each scene loaded only while it is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ussim.dataset.schema import MOST_SCENES, SceneReference, SceneRow, spread_over_scenes
from ussim.errors import UssimError
from ussim.progress import Progress
from ussim.scene.scene import Scene


@dataclass(frozen=True)
class SceneSource:
    """Where one scene of a series comes from.

    Attributes:
        seed, weeks, detail: What it was built from.
        load: Loads it; two calls must give the same scene.
    """

    seed: int
    weeks: float
    detail: str
    load: Callable[[], Scene]


@dataclass(frozen=True, eq=False)
class Series:
    """Several scenes of one kind, and the poses of a dataset over them. Make one with :func:`read_series`.

    Attributes:
        sources: Where the scenes come from.
        rows: What a store says of them.
        scene_of_frame: (frames,) uint16, index into ``rows``, never falling.
        poses: (frames, 4, 4) float64, probe → scene, mm.
    """

    sources: tuple[SceneSource, ...]
    rows: tuple[SceneRow, ...]
    scene_of_frame: np.ndarray = field(repr=False)
    poses: np.ndarray = field(repr=False)

    @property
    def reference(self) -> SceneReference:
        """Name and digest of the whole."""
        digest = hashlib.sha256("\n".join(row.digest for row in self.rows).encode()).hexdigest()
        return SceneReference(name=f"{len(self.rows)} scenes", digest=digest)

    def load(self, number: int) -> Scene:
        """Load one of the scenes.

        Raises:
            UssimError: It is not the scene that was read before.
        """
        scene, row = self.sources[number].load(), self.rows[number]
        if scene.digest != row.digest:
            raise UssimError(f"scene of seed {row.seed}: changed while it was in use; run the same command again")
        return scene


@dataclass(frozen=True)
class Reading:
    """What a store has to know of one scene of a series.

    Attributes:
        row: What it says of the scene.
        poses: (frames of the scene, 4, 4) float64, probe → scene, mm.
        tissues: Its table of tissues.
    """

    row: SceneRow
    poses: np.ndarray = field(repr=False)
    tissues: list[dict[str, Any]] = field(repr=False)


ReadAll = Callable[[Callable[[tuple[int, SceneSource]], Reading], Iterable[tuple[int, SceneSource]]], Iterable[Reading]]
"""Reads numbered sources in their order, as ``map`` does."""


def read_scene(numbered: tuple[int, SceneSource], count: int, frames: int, sweep: str) -> Reading:
    """Load one scene of a series, take its digest, make and check its poses.

    Args:
        numbered: Its number in the series, and where it comes from.
        count: Number of scenes.
        frames: Number of frames of all.
        sweep: Name of the sweep.

    Raises:
        UssimError: It has no such sweep, or a bad pose.
    """
    number, source = numbered
    return _read(source.load(), source, number, count, frames, sweep)


def _read(scene: Scene, source: SceneSource, number: int, count: int, frames: int, sweep: str) -> Reading:
    from ussim.dataset.poses import check_poses
    from ussim.dataset.schema import tissue_table

    poses = scene.sweep(sweep).poses(frames)[number::count]
    check_poses(scene, poses, sweep=f"{sweep} of seed {source.seed}")
    row = SceneRow(seed=source.seed, weeks=source.weeks, detail=source.detail, digest=scene.digest)
    return Reading(row, poses, tissue_table(scene))


def read_series(
    sources: Sequence[SceneSource],
    frames: int,
    sweep: str | None = None,
    progress: Progress | None = None,
    read_all: ReadAll = map,
) -> tuple[Scene, Series]:
    """Load every scene once: take its digest, check that it fits the others, make and check its poses.

    Of n scenes the i-th takes every n-th pose of its sweep, from the i-th, so that all of them together cover the
    sweep evenly.

    Args:
        sources: The scenes, in the order of their frames.
        frames: Number of frames of the dataset.
        sweep: Name of the sweep; the first one of the first scene without.
        progress: Told ``"scenes"``, how many are read and of how many.
        read_all: Reads them, perhaps on many machines.

    Returns:
        The first scene, and the series.

    Raises:
        UssimError: More scenes than frames, a scene without the sweep, other tissues than the first, a bad pose.
    """
    count = len(sources)
    if not 1 <= count <= MOST_SCENES:
        raise UssimError(f"scenes = {count} is not allowed: must be a whole number from 1 to {MOST_SCENES}")
    if frames < count:
        raise UssimError(f"frames = {frames} is not allowed with {count} scenes: each needs at least one")
    if progress:
        progress("scenes", 0, count)
    first = sources[0].load()
    name = first.sweep(sweep).name
    readings = [_read(first, sources[0], 0, count, frames, name)]
    others = read_all(partial(read_scene, count=count, frames=frames, sweep=name), list(enumerate(sources))[1:])
    for reading in others:
        if reading.tissues != readings[0].tissues:
            raise UssimError(f"scene of seed {reading.row.seed}: has other tissues than that of seed {sources[0].seed}")
        readings.append(reading)
        if progress:
            progress("scenes", len(readings), count)
    poses = np.concatenate([reading.poses for reading in readings])
    rows = tuple(reading.row for reading in readings)
    return first, Series(tuple(sources), rows, spread_over_scenes(frames, count), poses)
