"""``ussim preview``, ``verify`` and ``info``: what is in a store, and is it sound?"""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import STORE, json_option, output_option
from cli.plan import series_pairs
from cli.program import command
from cli.progress import Reporter
from cli.show import gigabytes, settings_text, show_json, show_pairs
from ussim.dataset.place import Place


@command(example="ussim preview data.zarr 0 7 -o sheet.png")
@click.argument("store", type=STORE)
@click.argument("frames", metavar="[FRAME]...", type=int, nargs=-1)
@output_option("File to write.", "PNG")
@click.option("--width", type=click.IntRange(100, 4000), default=560, show_default=True, help="Pixels an image.")
def preview(store: Place, frames: tuple[int, ...], output: Path, width: int) -> None:
    """Draw a contact sheet: LQ, HQ, segmentation and attenuation of some frames, with axes in mm."""
    from ussim.dataset.store import Dataset
    from ussim.pictures.contact_sheet import save_sheet

    click.echo(f"wrote {save_sheet(Dataset.open(store), output, frames, panel_width=width)}")


@command(example="ussim verify data.zarr")
@click.argument("store", type=STORE)
@json_option
@click.pass_context
def verify(context: click.Context, store: Place, as_json: bool) -> None:
    """Check a store: schema, checksums, done flags, value ranges. Exit code 1 if something is wrong.

    Arrays of others and stray files of operating systems are named, and are no problem.
    """
    from dataclasses import asdict

    from ussim.dataset.verify import verify as check

    with Reporter() as progress:
        verdict = check(store, progress=lambda done, total: progress("checked", done, total))
    if as_json:
        show_json({**asdict(verdict), "path": str(verdict.path), "ok": verdict.ok})
    else:
        for problem in verdict.problems:
            click.echo(problem)
        for array in verdict.added:
            click.echo(f"{array.name}: made by {array.made_by}, {array.frames} of {verdict.frames} frames")
        if verdict.litter:
            click.echo(f"stray files, no harm: {', '.join(verdict.litter)}")
        size = f"{verdict.chunks} chunks, {gigabytes(verdict.bytes_on_disk)}"
        state = "sound" if verdict.ok else f"{len(verdict.problems)} problems"
        click.echo(f"{store}: {state}; {verdict.frames_done} of {verdict.frames} frames done, {size}")
    context.exit(0 if verdict.ok else 1)


@command(example="ussim info data.zarr --json")
@click.argument("store", type=STORE)
@json_option
def info(store: Place, as_json: bool) -> None:
    """Show what a store holds and what it was made with."""
    from ussim.dataset.store import Dataset

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
            *series_pairs([row.model_dump() for row in header.scenes]),
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
