"""``ussim-pipeline``: from a mesh to enhanced images and a report, in one command.

Commands import what they need when they run, so that ``ussim-pipeline --help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.completion import add_completion
from cli.options import CONTEXT_SETTINGS, PATH, backend_option, device_option, output_option, set_option, version_option
from cli.pipeline import STEP_NAMES
from cli.program import Program, command
from cli.say import say
from cli.show import duration, show_pairs, show_table

if TYPE_CHECKING:
    from cli.pipeline.context import Context
    from cli.pipeline.runner import Due
    from cli.pipeline.settings import PipelineSettings


@click.group(
    cls=Program,
    optional=dict.fromkeys(("torch", "safetensors", "jinja2", "matplotlib"), "pipeline"),
    context_settings=CONTEXT_SETTINGS,
    example="ussim-pipeline run -o demo\nussim-pipeline run my_scene -o mine --preset small",
)
@version_option("ussim-pipeline")
def main() -> None:
    """From a mesh to enhanced images: scene, dataset, training, evaluation and a report, in one command."""


@command(
    example="ussim-pipeline run -o demo\n"
    "ussim-pipeline run my_scene -o mine --set train.iterations=2000\n"
    "ussim-pipeline run -o demo --resume\n"
    "ussim-pipeline run -o demo --from train --set train.ngf=32"
)
@click.argument("scene_path", metavar="[SCENE]", type=PATH, required=False)
@output_option("Folder for all that comes out.", "DIR")
@click.option("--preset", default=None, help="demo, small or paper; see ussim-pipeline presets.  [default: demo]")
@set_option("Change a setting, as in render.frames=200 or train.iterations=1000; ussim-pipeline presets lists them.")
@click.option("--resume", is_flag=True, help="Go on where a run was stopped.")
@click.option("--from", "start", type=click.Choice(STEP_NAMES), default=None, help="Redo a step and all that use it.")
@backend_option
@device_option
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def run(
    scene_path: Path | None,
    output: Path,
    preset: str | None,
    assignments: tuple[str, ...],
    resume: bool,
    start: str | None,
    backend: str,
    device: str,
    dry_run: bool,
) -> None:
    """Go from SCENE (a scene.toml or its folder) to enhanced images and a report; without one, build an anatomy.

    What is finished and up to date is kept: a second run of a finished folder does nothing. A folder remembers its
    scene, preset and settings, so --resume and --from need no others.
    """
    from cli.pipeline import runner
    from cli.pipeline.context import Context
    from cli.pipeline.settings import change_settings, make_settings

    def wanted(before: PipelineSettings | None) -> PipelineSettings:
        if before is None or preset is not None:
            given = scene_path or (before and before.scene_path and Path(before.scene_path))
            return make_settings(preset or "demo", given or None, assignments)
        if scene_path is not None:
            before = before.with_scene(scene_path)
        return change_settings(before, assignments)

    settings, changes = runner.open_folder(output, wanted)
    context = Context(output, settings, device, backend, say=say)
    if dry_run:
        show_pairs(settings.flat().items())
        click.echo()
        _show_due(runner.survey(context, start), changes)
        return
    runner.run(context, changes=changes, resume=resume, start=start)
    _show_end(context)


def _show_due(due: list[Due], changes: list[str]) -> None:
    words = {"done": "done", "new": "to do", "unfinished": "to be finished", "stale": "stale", "redo": "to redo"}
    show_table(("step", "state", "why"), [(item.step, words[item.state], item.reason) for item in due])
    for change in changes:
        click.echo(f"changed: {change}")


def _show_end(context: Context) -> None:
    """What it cost, what it gave, and where that is."""
    from cli.pipeline.records import Records
    from cli.pipeline.report.evaluation import load_evaluation

    records = Records(context.folder)
    kept = {name: record for name in STEP_NAMES if (record := records.get(name))}
    click.echo()
    table = load_evaluation(context.evaluation).tables[0]
    show_table(table.columns, table.rows, title=table.title)
    click.echo()
    show_table(
        ("step", "time", "peak memory"),
        [(name, duration(record.seconds), record.peak_memory) for name, record in kept.items()],
    )
    click.echo()
    images = sorted(context.enhanced.glob("*.png"))
    click.echo(f"Dataset:         {context.store.absolute()}")
    click.echo(f"Enhanced image:  {images[len(images) // 2].absolute()}")
    click.echo(f"Report:          {context.report.absolute()}")


@command(example="ussim-pipeline presets --preset small")
@click.option("--preset", default=None, help="Show all settings of one.")
def presets(preset: str | None) -> None:
    """List the presets, or all settings of one: their names are what --set takes."""
    from cli.pipeline.settings import ABOUT_PRESETS, PRESETS, make_settings

    if preset is None:
        show_table(("preset", "what it does"), [(name, ABOUT_PRESETS[name]) for name in PRESETS])
        return
    settings = make_settings(preset, None, ())
    rendering, training = settings.rendering(), settings.training(settings.primary)
    pairs = dict(settings.flat())
    for name, model in {"probe": rendering.probe, "imaging": rendering.imaging, **rendering.qualities}.items():
        pairs |= {f"{name}.{field}": value for field, value in model.model_dump(mode="json").items()}
    pairs |= {f"train.{field}": value for field, value in training.model_dump().items() if field != "inputs"}
    show_pairs((name, "default" if value is None else value) for name, value in pairs.items())


for _command in (run, presets):
    main.add_command(_command)
add_completion(main, "ussim-pipeline")

if __name__ == "__main__":
    from cli.surroundings import prepare

    prepare()
    main()
