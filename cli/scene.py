"""``ussim scene``: build, import and inspect scenes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from cli.options import PATH, json_option, output_option, seed_option
from cli.program import command_group
from cli.say import say
from cli.scene_import import scene_from_labels, scene_init
from cli.show import show_json, show_table


@command_group(example="ussim scene build --detail demo -o scene\nussim scene info scene")
def scene() -> None:
    """Make and inspect scenes: meshes, tissues and probe sweeps."""


@scene.command("build", example="ussim scene build --detail demo --weeks 24 -o scene")
@click.option("--detail", default="demo", show_default=True, help="How fine: tiny, demo or paper.")
@output_option("Folder to make.", "DIR")
@seed_option("the anatomy")
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
    build = meshes.place_cached_scene if cache else meshes.build_scene
    path = build(detail, output, seed=seed, progress=say, **age)
    click.echo(f"wrote {path}; look at it with: ussim scene info {shlex.quote(str(output))}")


@scene.command("phantom", example="ussim scene phantom pins -o pins\nussim scene phantom grey-scale -o grey")
@click.argument("name")
@output_option("Folder to make.", "DIR")
def scene_phantom(name: str, output: Path) -> None:
    """Make a phantom, to measure with: NAME is pins, cysts, grey-scale or uniform."""
    from meshes.phantoms.build import build_phantom

    path = build_phantom(name, output)
    click.echo(f"wrote {path}; look at it with: ussim scene info {shlex.quote(str(output))}")


scene.add_command(scene_init)
scene.add_command(scene_from_labels)


@scene.command("info", example="ussim scene info scene")
@click.argument("path", metavar="SCENE", type=PATH)
@json_option
@click.pass_context
def scene_info(context: click.Context, path: Path, as_json: bool) -> None:
    """Check a scene and list its surfaces, tissues and sweeps. SCENE is a scene.toml or its folder.

    Exit code 1 if a surface fails its check.
    """
    from dataclasses import asdict

    from ussim.scene.scene import Scene

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
    from ussim.dataset.schema import tissue_table

    return {
        "name": loaded.name,
        "digest": loaded.digest,
        "triangles": len(loaded.triangles),
        "bounds_mm": loaded.bounds_mm.tolist(),
        "tissues": tissue_table(loaded),
        "points": len(loaded.points),
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
    points = f", {len(loaded.points)} points" if loaded.points else ""
    click.echo(f"\n{loaded.name}: {len(loaded.triangles)} triangles{points}, digest {loaded.digest[:16]}…")
