"""Scenes of the procedural anatomy for a dataset over many of them: one seed after another, from the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from meshes.build import check_detail
from meshes.cache import cached_scene
from meshes.fetus.growth import check_weeks
from meshes.variation import check_seed
from ussim.dataset.series import SceneSource
from ussim.errors import UssimError
from ussim.scene.scene import Scene

GOLDEN = 0.6180339887498949
"""Steps of this share of a range fill it evenly, wherever one stops."""


def parse_weeks(text: str) -> tuple[float, float]:
    """``22`` as (22, 22), ``18-30`` as (18, 30).

    Raises:
        UssimError: Another form, or the first is larger than the second.
    """
    low, dash, high = text.partition("-")
    try:
        span = (float(low), float(high if dash else low))
    except ValueError:
        span = (1.0, 0.0)
    if not 0 <= span[0] <= span[1]:
        raise UssimError(f"--weeks {text}: write one age or a range, as in 22 or 18-30")
    return span


def weeks_of(seed: int, span: tuple[float, float]) -> float:
    """Age of an anatomy: the seeds fill the span evenly; to a tenth of a week."""
    low, high = span
    return round(low + (high - low) * ((0.5 + seed * GOLDEN) % 1.0), 1) if high > low else low


def anatomy_sources(
    count: int,
    detail: str,
    first_seed: int = 0,
    weeks: tuple[float, float] = (22.0, 22.0),
    progress: Callable[[str], None] | None = None,
) -> list[SceneSource]:
    """Anatomies of the seeds ``first_seed``, ``first_seed`` + 1, …; each is built when it is loaded first.

    Args:
        count: How many.
        detail: ``tiny``, ``demo`` or ``paper``.
        first_seed: Seed of the first.
        weeks: Youngest and oldest age, see :func:`weeks_of`.
        progress: Told what a build is doing.

    Raises:
        UssimError: An argument out of range.
    """
    if not 1 <= count <= 65536:
        raise UssimError(f"scenes = {count} is not allowed: must be a whole number from 1 to 65536")
    check_detail(detail)
    for end in weeks:
        check_weeks(end)
    for end in (first_seed, first_seed + count - 1):
        check_seed(end)
    seeds = range(first_seed, first_seed + count)
    return [
        SceneSource(seed, weeks_of(seed, weeks), detail, partial(_load, detail, seed, weeks_of(seed, weeks), progress))
        for seed in seeds
    ]


def _load(detail: str, seed: int, weeks: float, progress: Callable[[str], None] | None) -> Scene:
    return Scene.load(cached_scene(detail, seed, weeks, progress))
