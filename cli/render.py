"""``ussim render``: a dataset of paired images and maps."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from cli.options import (
    PATH,
    STORE,
    backend_option,
    local_or_ray,
    output_option,
    require_ray,
    seed_option,
    set_option,
)
from cli.plan import plan_json, show_plan
from cli.program import command
from cli.progress import Reporter
from cli.say import say_warning
from cli.show import duration, show_json
from ussim.dataset.place import Place
from ussim.errors import UssimError

_PHASES = {
    "scenes": "building and checking scenes",
    "prepare": "checking poses",
    "workers": "starting workers",
    "gain": "fitting the gain (a first run compiles)",
    "render": "rendered",
}


@command(
    example="ussim render scene -o data.zarr --frames 200 --set probe.depth_mm=120\n"
    "ussim render -o data.zarr --frames 200 --scenes 4 --weeks 20-28"
)
@click.argument("scene_path", metavar="[SCENE]", type=PATH, required=False)
@output_option("Store to make: a path or a URL.", "STORE.zarr", kind=STORE)
@click.option("-n", "--frames", type=int, required=True, help="Frames, spread over the sweep.")
@click.option("--sweep", default=None, help="Sweep of the scene.  [default: its first]")
@click.option("--scenes", type=int, default=None, help="Instead of SCENE: so many anatomies, built and cached.")
@click.option("--detail", default=None, help="With --scenes, how fine: tiny, demo or paper.  [default: demo]")
@click.option("--weeks", default=None, help="With --scenes, gestational age or a range, as in 18-30.  [default: 22]")
@click.option("--anatomy-seed", type=int, default=None, help="With --scenes, seed of the first.  [default: 0]")
@click.option("--quality", default="lq,hq", show_default=True, help="Images to render.")
@seed_option("all random numbers")
@click.option("--size", metavar="HxW", default=None, help="Image size in pixels.  [default: 1000x1386]")
@backend_option
@click.option("--unit", type=int, default=None, help="Frames that are finished together.  [default: 8; at a URL 32]")
@click.option("--resume", is_flag=True, help="Go on with a store that was interrupted.")
@click.option(
    "--shard",
    metavar="i/n|auto",
    default=None,
    help="Render the i-th of n parts; auto: that of this task of a cluster.",
)
@click.option("--elastic", is_flag=True, help="Share the work with all that do the same; they may come and go.")
@click.option(
    "--lease", type=float, default=None, help="With --elastic, seconds until a dead one's is taken.  [default: 60]"
)
@local_or_ray("Render")
@set_option(
    "Change a setting of probe, imaging, lq or hq, as in probe.depth_mm=120; --dry-run lists all. "
    "hq.preset=reference starts from 512 rays and 9 layers."
)
@click.option("--dry-run", is_flag=True, help="Check everything, show the plan and render nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan of --dry-run as JSON.")
def render(
    scene_path: Path | None,
    output: Place,
    frames: int,
    sweep: str | None,
    scenes: int | None,
    detail: str | None,
    weeks: str | None,
    anatomy_seed: int | None,
    quality: str,
    seed: int,
    size: str | None,
    backend: str,
    unit: int | None,
    resume: bool,
    shard: str | None,
    elastic: bool,
    lease: float | None,
    engine: str,
    address: str | None,
    workers: int | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Render a dataset of paired images and maps.

    SCENE is a scene.toml or its folder; with --scenes N the frames are spread over N anatomies instead.
    """
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run")
    if (scene_path is None) == (scenes is None):
        raise click.UsageError("give either a SCENE or --scenes N")
    if scenes is None and (detail, weeks, anatomy_seed) != (None, None, None):
        raise click.UsageError("--detail, --weeks and --anatomy-seed go with --scenes")
    if elastic and shard is not None:
        raise click.UsageError("give either --shard or --elastic")
    if lease is not None and not elastic:
        raise click.UsageError("--lease goes with --elastic")
    on_ray = require_ray(engine, address, workers)
    if on_ray and (elastic or shard is not None):
        raise click.UsageError("--shard and --elastic need no --engine ray")
    from ussim.dataset.array_jobs import read_shard
    from ussim.dataset.plan import UNIT_FRAMES, UNIT_FRAMES_OF_SHARDS, make_plan
    from ussim.probe.settings import build_settings
    from ussim.scene.scene import Scene

    part = read_shard(shard, os.environ) if shard is not None else None
    names = [name.strip() for name in quality.split(",") if name.strip()]
    settings = build_settings(assignments, names, _parse_size(size) if size else None)
    with ExitStack() as cluster:
        if on_ray and not dry_run:
            from ussim.ray_actors import cluster_at

            cluster.enter_context(cluster_at(address))
        series = None
        if scenes is None:
            scene = Scene.load(scene_path)
        else:
            team = (workers, on_ray and not dry_run)
            scene, series = _read_anatomies(scenes, detail, weeks, anatomy_seed, frames, sweep, *team)
        unit_frames = unit if unit is not None else UNIT_FRAMES_OF_SHARDS if output.sharded else UNIT_FRAMES
        plan = make_plan(
            scene, frames, settings, sweep=sweep, seed=seed, unit_frames=unit_frames, backend=backend, series=series
        )
        if dry_run:
            show = show_json if as_json else show_plan
            show(plan_json(plan, output, resume or elastic or part is not None, part))
            return
        with Reporter(_PHASES) as progress:
            told: dict[str, Any] = {"progress": progress, "warn": say_warning}
            if on_ray:
                from ussim.dataset import ray_engine

                summary = ray_engine.run(plan, output, resume=resume, count=workers, **told)
            elif elastic:
                from ussim.dataset import elastic as claiming

                summary = claiming.run(plan, output, **({} if lease is None else {"lease_s": lease}), **told)
            else:
                from ussim.dataset import job

                summary = job.run(plan, output, resume=resume, shard=part, **told)
    if summary.rendered:
        speed = duration(summary.seconds / summary.rendered)
        click.echo(f"{summary.rendered} frames in {duration(summary.seconds)}, {speed} a frame, on {summary.device}")
    else:
        click.echo("nothing left to render")
    click.echo(f"{output}: {summary.units_done} of {summary.units} units are done")


def _read_anatomies(
    count: int,
    detail: str | None,
    weeks: str | None,
    first_seed: int | None,
    frames: int,
    sweep: str | None,
    workers: int | None,
    on_ray: bool,
) -> Any:
    """The first scene and the series; what is not in the cache is built, here or by workers, each in its own cache."""
    from meshes.anatomies import anatomy_sources, parse_weeks
    from ussim.dataset.series import read_series

    sources = anatomy_sources(count, detail or "demo", first_seed or 0, parse_weeks(weeks or "22"))
    with ExitStack() as team, Reporter(_PHASES, units={"scenes": "scenes"}) as progress:
        if not on_ray:
            return read_series(sources, frames, sweep, progress)
        from ussim.ray_actors import workers as at_work

        return read_series(sources, frames, sweep, progress, team.enter_context(at_work(count=workers)).map)


def _parse_size(text: str) -> tuple[int, int]:
    from ussim.settings import whole_number

    height, width = map(whole_number, text.lower().partition("x")[::2])
    if height is None or width is None:
        raise UssimError(f"--size {text}: write height x width in pixels, as in 1000x1386")
    return height, width
