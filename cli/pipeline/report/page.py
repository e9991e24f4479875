"""One HTML page, complete in itself: it opens offline and asks for nothing."""

from __future__ import annotations

import json
import platform
import shlex
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cli.pipeline import STEP_NAMES
from cli.pipeline.context import Context
from cli.pipeline.records import Record, Records
from cli.pipeline.report.charts import histogram_chart, loss_chart
from cli.pipeline.report.evaluation import load_evaluation
from cli.pipeline.report.pictures import ERROR_RANGE_GREY, frame_rows, save_overview, scene_stills
from cli.show import duration, gigabytes
from ussim.files import write_text

TEMPLATE = Path(__file__).with_name("page.html.j2")
PACKAGES = ("ussim", "numpy", "numba", "torch", "zarr", "trimesh", "scipy", "scikit-image")


@dataclass(frozen=True)
class StepRow:
    """What one step did and what it cost, in words."""

    name: str
    what: str
    seconds: float
    time: str
    memory: str
    device: str


def write_page(context: Context) -> Path:
    """Write the report of a pipeline whose other steps are done.

    Raises:
        UssimError: Something it tells of is missing or damaged, or the file cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_text(context.report, template.render(_content(context)))
    return context.report


def _content(context: Context) -> dict[str, Any]:
    from ussim.dataset.store import Dataset

    settings = context.settings
    dataset, evaluation = Dataset.open(context.store), load_evaluation(context.evaluation)
    records = Records(context.folder)
    kept = {name: record for name in STEP_NAMES if (record := records.get(name)) and record.state == "done"}
    rows = frame_rows(context, dataset)
    save_overview(context, dataset, [row.frame for row in rows[:2]])
    scene = _scene_of(context, dataset, rows[0].frame)
    tissues = [row for row in dataset.header.tissues if row["id"] > 0]
    return {
        "settings": settings,
        "dataset": dataset,
        "scene": scene,
        "evaluation": evaluation,
        "better": [verdict for verdict in evaluation.verdicts if verdict.row == evaluation.verdicts[-1].row],
        "rows": rows,
        "stills": scene_stills(scene, dataset, rows[0].frame),
        "tissues": tissues,
        "losses": loss_chart({variant: context.run_folder(variant) for variant in settings.variants}),
        "histograms": histogram_chart(context, dataset),
        "error_range": ERROR_RANGE_GREY,
        "steps": [_step_row(name, record) for name, record in kept.items()],
        "total": duration(sum(record.seconds for record in kept.values())),
        "most_memory": max(kept.values(), key=lambda record: record.peak_memory_bytes).peak_memory,
        "command": _command(context),
        "versions": _versions(),
        "machine": f"{platform.platform(terse=True)}, Python {platform.python_version()}",
        "digests": [
            (f"{name}: {output}", value) for name, record in kept.items() for output, value in record.outputs.items()
        ],
        "settings_json": json.dumps(settings.flat(), indent=1),
        "held_out": "training" if settings.apply.split == "train" else "held-out",
    }


def _scene_of(context: Context, dataset, frame: int):
    """The scene a frame shows."""
    series = context.series
    return series.load(int(dataset.scene[frame])) if series else context.scene


def _step_row(name: str, record: Record) -> StepRow:
    return StepRow(
        name, _what(name, record), record.seconds, duration(record.seconds), record.peak_memory,
        record.device,
    )  # fmt: skip


def _what(name: str, record: Record) -> str:
    """What a step did, in a few words."""
    notes = record.notes
    if name == "scene":
        text = f"{notes['surfaces']} closed surfaces, {notes['triangles']:,} triangles, {notes['tissues']} tissues"
    elif name == "render":
        text = f"{notes['frames']} pairs, {notes['test_frames']} held out, {gigabytes(notes['bytes'])}"
    elif name == "train":
        text = ", ".join(f"{variant}: {one['iterations']} iterations" for variant, one in notes.items())
    else:
        text = {"evaluate": "the tables above", "apply": "whole images", "report": "this page"}[name]
    return text + (f" (in {record.sessions} sessions)" if record.sessions > 1 else "")


def _command(context: Context) -> str:
    """The command that makes all this again."""
    from cli.pipeline.settings import make_settings

    settings = context.settings
    scene = Path(settings.scene_path) if settings.scene_path else None
    plain = make_settings(settings.preset, scene, ()).flat()
    changes = [
        f"--set {shlex.quote(f'{name}={value}')}" for name, value in settings.flat().items() if plain.get(name) != value
    ]
    words = [
        "ussim-pipeline run",
        *([shlex.quote(str(scene))] if scene else []),
        "-o NEW_FOLDER",
        f"--preset {settings.preset}",
    ]
    return " ".join([*words, *changes])


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
