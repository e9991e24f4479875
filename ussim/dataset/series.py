"""A dataset over several scenes: which frame shows which, and each scene loaded only while it is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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


def read_series(
    sources: Sequence[SceneSource],
    frames: int,
    sweep: str | None = None,
    progress: Progress | None = None,
) -> tuple[Scene, Series]:
    """Load every scene once: take its digest, check that it fits the others, make and check its poses.

    Of n scenes the i-th takes every n-th pose of its sweep, from the i-th, so that all of them together cover the
    sweep evenly.

    Args:
        sources: The scenes, in the order of their frames.
        frames: Number of frames of the dataset.
        sweep: Name of the sweep; the first one of the first scene without.
        progress: Told ``"scenes"``, how many are read and of how many.

    Returns:
        The first scene, and the series.

    Raises:
        UssimError: More scenes than frames, a scene without the sweep, other tissues than the first, a bad pose.
    """
    from ussim.dataset.poses import check_poses
    from ussim.dataset.schema import tissue_table

    count = len(sources)
    if not 1 <= count <= MOST_SCENES:
        raise UssimError(f"scenes = {count} is not allowed: must be a whole number from 1 to {MOST_SCENES}")
    if frames < count:
        raise UssimError(f"frames = {frames} is not allowed with {count} scenes: each needs at least one")
    first: Scene | None = None
    rows: list[SceneRow] = []
    poses: list[np.ndarray] = []
    for number, source in enumerate(sources):
        if progress:
            progress("scenes", number, count)
        scene = source.load()
        first = first or scene
        name = scene.sweep(sweep or first.sweep().name).name
        if tissue_table(scene) != tissue_table(first):
            raise UssimError(f"scene of seed {source.seed}: has other tissues than that of seed {sources[0].seed}")
        poses.append(scene.sweep(name).poses(frames)[number::count])
        check_poses(scene, poses[-1], sweep=f"{name} of seed {source.seed}")
        rows.append(SceneRow(seed=source.seed, weeks=source.weeks, detail=source.detail, digest=scene.digest))
    if progress:
        progress("scenes", count, count)
    assert first is not None, "there is at least one"
    return first, Series(tuple(sources), tuple(rows), spread_over_scenes(frames, count), np.concatenate(poses))
