"""``ussim``: scenes, rendering, stores and the bench.

Commands import what they need when they run, so that ``ussim --help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.program import Program
from cli.progress import Reporter
from cli.show import duration, gigabytes, settings_text, show_json, show_pairs, show_table
from ussim.errors import UssimError

if TYPE_CHECKING:
    from ussim.job import Plan

PATH = click.Path(path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        import ussim

        click.echo(f"ussim {ussim.__version__}")
        context.exit()


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Version.")
def main() -> None:
    """Simulated ultrasound: from triangle meshes to paired B-mode images in a Zarr store."""


# Scenes -----------------------------------------------------------------------------------------------


@main.group()
def scene() -> None:
    """Build and inspect scenes: meshes, tissues and probe sweeps."""


@scene.command("build")
@click.option("--detail", default="demo", show_default=True, help="How fine: tiny, demo or paper.")
@click.option("-o", "--output", type=PATH, required=True, help="Folder to make.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the anatomy.")
@click.option("--weeks", type=float, default=None, help="Gestational age, 16 to 36.  [default: 22]")
@click.option(
    "--cache/--no-cache", default=True, show_default=True, help="Copy it from the cache if it was built before."
)
def scene_build(detail: str, output: Path, seed: int, weeks: float | None, cache: bool) -> None:
    """Build the procedural obstetric scene.

    Built scenes are kept in $XDG_CACHE_HOME/ussim/scenes, else in ~/.cache/ussim/scenes.
    """
    import meshes

    age = {} if weeks is None else {"weeks": weeks}
    try:
        path = meshes.build_scene(
            detail, output, seed=seed, progress=lambda text: click.echo(text, err=True), cache=cache, **age
        )
    except ValueError as error:
        raise UssimError(str(error)) from None
    click.echo(f"wrote {path}; look at it with: ussim scene info {output}")


@scene.command("info")
@click.argument("path", metavar="SCENE", type=PATH)
@json_option
@click.pass_context
def scene_info(context: click.Context, path: Path, as_json: bool) -> None:
    """Check a scene and list its surfaces, tissues and sweeps. SCENE is a scene.toml or its folder.

    Exit code 1 if a surface fails its check.
    """
    from dataclasses import asdict

    from ussim.scene import Scene

    reports = Scene.inspect(path)
    sound = all(report.ok for report in reports)
    loaded = Scene.load(path) if sound else None
    if as_json:
        surfaces = [{**asdict(report), "ok": report.ok, "verdict": report.verdict} for report in reports]
        show_json({"ok": sound, "surfaces": surfaces, **(_scene_json(loaded) if loaded else {})})
    else:
        show_table(
            (
                "surface",
                "tissue",
                "priority",
                "group",
                "triangles",
                "size mm",
                "volume ml",
                "watertight",
                "verdict",
            ),
            [
                (
                    report.name,
                    report.tissue,
                    report.priority,
                    report.group,
                    report.triangles,
                    " × ".join(f"{side:.1f}" for side in report.extent_mm),
                    round(report.volume_mm3 / 1000, 2),
                    report.watertight,
                    report.verdict,
                )
                for report in reports
            ],
        )
        if loaded:
            _show_scene(loaded)
    context.exit(0 if sound else 1)


def _scene_json(loaded: Any) -> dict[str, Any]:
    from ussim.job import tissue_table

    return {
        "name": loaded.name,
        "digest": loaded.digest,
        "triangles": len(loaded.triangles),
        "bounds_mm": loaded.bounds_mm.tolist(),
        "tissues": tissue_table(loaded),
        "sweeps": {
            name: {"description": sweep.description, "keys": len(sweep.keys)} for name, sweep in loaded.sweeps.items()
        },
    }


def _show_scene(loaded: Any) -> None:
    click.echo()
    show_table(
        ("id", "tissue", "m/s", "MRayl", "dB/(cm·MHz)", "colour", "source"),
        [
            (
                number,
                tissue.name,
                tissue.speed_m_s,
                round(tissue.impedance_mrayl, 3),
                tissue.attenuation_db_cm_mhz,
                tissue.color,
                tissue.source,
            )
            for number, tissue in enumerate(loaded.media, start=1)
        ],
    )
    click.echo()
    show_table(
        ("sweep", "keys", "description"),
        [(name, len(sweep.keys), sweep.description) for name, sweep in loaded.sweeps.items()],
    )
    click.echo(f"\n{loaded.name}: {len(loaded.triangles)} triangles, digest {loaded.digest[:16]}…")


# Rendering --------------------------------------------------------------------------------------------


@main.command()
@click.argument("scene_path", metavar="[SCENE]", type=PATH, required=False)
@click.option("-o", "--output", type=PATH, required=True, metavar="STORE.zarr", help="Store to make.")
@click.option("-n", "--frames", type=int, required=True, help="Frames, spread over the sweep.")
@click.option("--sweep", default=None, help="Sweep of the scene.  [default: its first]")
@click.option("--scenes", type=int, default=None, help="Instead of SCENE: so many anatomies, built and cached.")
@click.option("--detail", default=None, help="With --scenes, how fine: tiny, demo or paper.  [default: demo]")
@click.option("--weeks", default=None, help="With --scenes, gestational age or a range, as in 18-30.  [default: 22]")
@click.option("--anatomy-seed", type=int, default=None, help="With --scenes, seed of the first.  [default: 0]")
@click.option("--quality", default="lq,hq", show_default=True, help="Images to render.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random numbers.")
@click.option("--size", metavar="HxW", default=None, help="Image size in pixels.  [default: 1000x1386]")
@click.option("--backend", type=click.Choice(("auto", "cpu", "cuda")), default="auto", show_default=True, help="Where.")
@click.option("--unit", type=int, default=8, show_default=True, help="Frames that are finished together.")
@click.option("--resume", is_flag=True, help="Go on with a store that was interrupted.")
@click.option("--shard", metavar="i/n", default=None, help="Render the i-th of n parts; all may run at once.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE",
    help="Change a setting of probe, imaging, lq or hq, as in probe.depth_mm=120; --dry-run lists all.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Check everything, show the plan and render nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan of --dry-run as JSON.")
def render(
    scene_path: Path | None,
    output: Path,
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
    unit: int,
    resume: bool,
    shard: str | None,
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
    from ussim import job
    from ussim.overrides import build_settings
    from ussim.scene import Scene

    part = job.parse_shard(shard) if shard else None
    names = [name.strip() for name in quality.split(",") if name.strip()]
    settings = build_settings(assignments, names, _parse_size(size) if size else None)
    series = None
    if scenes is None:
        scene = Scene.load(scene_path)
    else:
        scene, series = _read_anatomies(scenes, detail, weeks, anatomy_seed, frames, sweep)
    plan = job.make_plan(
        scene, frames, settings, sweep=sweep, seed=seed, unit_frames=unit, backend=backend, series=series
    )
    if dry_run:
        show = show_json if as_json else _show_plan
        show(_plan_json(plan, output, resume or part is not None, part))
        return
    phases = {
        "prepare": "checking poses",
        "gain": "fitting the gain (a first run compiles)",
        "render": "rendered",
    }
    with Reporter(phases) as progress:
        summary = job.run(plan, output, resume=resume, shard=part, progress=progress)
    if summary.rendered:
        speed = duration(summary.seconds / summary.rendered)
        click.echo(f"{summary.rendered} frames in {duration(summary.seconds)}, {speed} a frame, on {summary.device}")
    else:
        click.echo("nothing left to render")
    click.echo(f"{output}: {summary.units_done} of {summary.units} units are done")


def _read_anatomies(
    count: int, detail: str | None, weeks: str | None, first_seed: int | None, frames: int, sweep: str | None
) -> Any:
    """The first scene and the series; what is not in the cache is built."""
    from ussim.anatomies import anatomy_sources, parse_weeks
    from ussim.series import read_series

    sources = anatomy_sources(count, detail or "demo", first_seed or 0, parse_weeks(weeks or "22"))
    with Reporter({"scenes": "building and checking scenes"}, unit="scenes") as progress:
        return read_series(sources, frames, sweep, progress)


def _parse_size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UssimError(f"--size {text}: write height x width in pixels, as in 1000x1386")
    return int(height), int(width)


def _scene_pairs(rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """One line on the scenes of a series; none for a single scene."""
    if not rows:
        return []
    ages = sorted({row["weeks"] for row in rows})
    age = f"{ages[0]:g} weeks" if len(ages) == 1 else f"{ages[0]:g} to {ages[-1]:g} weeks"
    return [("scenes", f"seeds {rows[0]['seed']} to {rows[-1]['seed']}, {age}, detail {rows[0]['detail']}")]


def _plan_json(plan: Plan, output: Path, resume: bool, part: tuple[int, int] | None) -> dict[str, Any]:
    import shutil

    from ussim import job
    from ussim.dataset import make_split

    plan.check_poses()
    header = plan.header()
    existing = job.open_existing(plan, output, resume)
    done = existing.done.tolist() if existing else [False] * header.units
    first, step = part or (1, 1)
    mine = [unit for unit in range(header.units) if unit % step == first - 1 and not done[unit]]
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    return {
        "scene": header.scene.model_dump(),
        "scenes": [row.model_dump() for row in header.scenes],
        "triangles": len(plan.scene.triangles),
        "sweep": plan.sweep,
        "frames": plan.frames,
        "test_frames": int(make_split(plan.frames, header.split_seed).sum()),
        "unit_frames": plan.unit_frames,
        "units": header.units,
        "units_done": sum(done),
        "units_to_render": len(mine),
        "frames_to_render": sum(len(header.unit_range(unit)) for unit in mine),
        "seed": plan.seed,
        "backend": plan.backend,
        "image": header.image.model_dump(mode="json"),
        "bytes_in_memory": plan.bytes_in_memory(),
        "bytes_on_disk_estimate": plan.bytes_on_disk(),
        "bytes_free": shutil.disk_usage(folder).free,
        "store": str(output),
        "probe": header.probe,
        "imaging": header.imaging,
        "qualities": header.qualities,
    }


def _show_plan(plan: dict[str, Any]) -> None:
    image, free = plan["image"], gigabytes(plan["bytes_free"])
    sizes = ", ".join(f"{name} {gigabytes(size)}" for name, size in plan["bytes_in_memory"].items())
    show_pairs(
        [
            (
                "scene",
                f"{plan['scene']['name']}, {plan['triangles']} triangles{' in the first' if plan['scenes'] else ''}",
            ),
            *_scene_pairs(plan["scenes"]),
            ("sweep", plan["sweep"]),
            ("frames", f"{plan['frames']}, of them {plan['test_frames']} for testing"),
            (
                "units",
                f"{plan['units']} of {plan['unit_frames']} frames; {plan['units_done']} done, "
                f"{plan['units_to_render']} to render ({plan['frames_to_render']} frames)",
            ),
            ("image", f"{image['height']} × {image['width']} px of {image['mm_per_pixel']:.4f} mm"),
            ("arrays", sizes),
            ("on disk", f"about {gigabytes(plan['bytes_on_disk_estimate'])}; {free} are free"),
            ("backend", plan["backend"]),
            ("seed", plan["seed"]),
            ("store", plan["store"]),
            ("probe", settings_text(plan["probe"])),
            ("imaging", settings_text(plan["imaging"])),
            *((name, settings_text(fields)) for name, fields in plan["qualities"].items()),
        ]
    )
    click.echo("dry run: nothing was rendered")


@main.command()
@click.argument("scene_path", metavar="SCENE", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, metavar="DIR", help="Folder for the pictures.")
@click.option("--sweep", "sweeps", multiple=True, help="Sweep to draw; again for more.  [default: all of one pose]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random numbers.")
@click.option("--backend", type=click.Choice(("auto", "cpu", "cuda")), default="auto", show_default=True, help="Where.")
@click.option("--width", type=click.IntRange(100, 4000), default=620, show_default=True, help="Pixels a picture.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As for render: probe, imaging or hq.")
def gallery(
    scene_path: Path,
    output: Path,
    sweeps: tuple[str, ...],
    seed: int,
    backend: str,
    width: int,
    assignments: tuple[str, ...],
) -> None:
    """Draw the standard planes of a SCENE: each in high quality beside its segmentation, one JPEG file each."""
    from ussim.gallery import save_gallery
    from ussim.overrides import build_settings
    from ussim.scene import Scene

    settings = build_settings(assignments, ["hq"], None)
    with Reporter({"render": "drawn"}) as progress:
        files = save_gallery(
            Scene.load(scene_path), output, sweeps, settings.probe, settings.imaging, settings.qualities["hq"],
            backend, seed, width, progress,
        )  # fmt: skip
    click.echo(f"wrote {len(files)} pictures to {output}")


# Stores -----------------------------------------------------------------------------------------------


@main.command()
@click.argument("store", type=PATH)
@click.argument("frames", metavar="[FRAME]...", type=int, nargs=-1)
@click.option("-o", "--output", type=PATH, required=True, metavar="PNG", help="File to write.")
@click.option("--width", type=click.IntRange(100, 4000), default=560, show_default=True, help="Pixels an image.")
def preview(store: Path, frames: tuple[int, ...], output: Path, width: int) -> None:
    """Draw a contact sheet: LQ, HQ, segmentation and attenuation of some frames, with axes in mm."""
    from ussim.dataset import Dataset
    from ussim.preview import save_sheet

    click.echo(f"wrote {save_sheet(Dataset.open(store), output, frames, panel_width=width)}")


@main.command()
@click.argument("store", type=PATH)
@json_option
@click.pass_context
def verify(context: click.Context, store: Path, as_json: bool) -> None:
    """Check a store: schema, checksums, done flags, value ranges. Exit code 1 if something is wrong."""
    from dataclasses import asdict

    from ussim.verify import verify as check

    with Reporter() as progress:
        verdict = check(store, progress=lambda done, total: progress("checked", done, total))
    if as_json:
        show_json({**asdict(verdict), "path": str(verdict.path), "ok": verdict.ok})
    else:
        for problem in verdict.problems:
            click.echo(problem)
        size = f"{verdict.chunks} chunks, {gigabytes(verdict.bytes_on_disk)}"
        state = "sound" if verdict.ok else f"{len(verdict.problems)} problems"
        click.echo(f"{store}: {state}; {verdict.frames_done} of {verdict.frames} frames done, {size}")
    context.exit(0 if verdict.ok else 1)


@main.command()
@click.argument("store", type=PATH)
@json_option
def info(store: Path, as_json: bool) -> None:
    """Show what a store holds and what it was made with."""
    from ussim.dataset import Dataset

    dataset = Dataset.open(store)
    header, done = dataset.header, dataset.done
    test_frames = int(dataset.split.sum())
    if as_json:
        state = {"units": header.units, "units_done": int(done.sum()), "test_frames": test_frames}
        show_json({"path": str(store), **state, "attributes": dataset.attrs})
        return
    image = header.image
    show_pairs(
        [
            ("store", store),
            ("schema", f"version {header.schema_version}, made by ussim {header.ussim_version}"),
            ("scene", f"{header.scene.name}, digest {header.scene.digest[:16]}…"),
            *_scene_pairs([row.model_dump() for row in header.scenes]),
            ("frames", f"{header.frames} ({test_frames} for testing) of sweep {header.sweep}"),
            ("done", f"{done.sum()} of {header.units} units of {header.unit_frames} frames"),
            ("images", " + ".join(dataset.qualities)),
            ("size", f"{image.height} × {image.width} px of {image.mm_per_pixel:.4f} mm"),
            ("backend", header.backend),
            ("seed", header.seed),
            ("probe", settings_text(header.probe)),
            ("imaging", settings_text(header.imaging)),
            *((name, settings_text(header.qualities[name])) for name in dataset.qualities),
            ("tissues", ", ".join(f"{row['id']} {row['name']}" for row in header.tissues)),
        ]
    )


@main.command()
@click.argument("scene_path", metavar="[SCENE]", type=PATH, required=False)
@click.option("--backend", type=click.Choice(("auto", "cpu", "cuda")), default="auto", show_default=True, help="Where.")
@json_option
def bench(scene_path: Path | None, backend: str, as_json: bool) -> None:
    """Measure how fast frames are rendered; without a SCENE, the demo scene is built for it."""
    from tempfile import TemporaryDirectory

    from ussim import bench as benchmark

    if scene_path is not None:
        result = benchmark.run(scene_path, backend=backend)
    else:
        import meshes

        with TemporaryDirectory() as folder:
            result = benchmark.run(meshes.build_scene("demo", Path(folder)), backend=backend)
    if as_json:
        show_json(result)
    else:
        show_pairs(_flat(result))


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested figures as ``frame_ms.lq.single``."""
    pairs: list[tuple[str, Any]] = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            pairs += _flat(inner, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, inner))
    return pairs


if __name__ == "__main__":
    main()
