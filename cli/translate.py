"""``translate``: train, apply, evaluate and export generators.

Commands import what they need when they run, so that ``translate --help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.completion import add_completion
from cli.options import (
    CONTEXT_SETTINGS,
    PATH,
    STORE,
    address_option,
    device_option,
    json_option,
    local_or_ray,
    output_option,
    require_ray,
    seed_option,
    set_option,
    version_option,
    workers_option,
)
from cli.program import Program
from cli.progress import Reporter, training_reporter
from cli.show import duration, show_pairs, show_table
from ussim.dataset.place import Place
from ussim.errors import UssimError

if TYPE_CHECKING:
    from translate.settings import TrainSettings

INPUTS = click.Choice(("LM", "LMS", "LMSA", "SA"), case_sensitive=False)
checkpoint_option = click.option(
    "--checkpoint",
    type=click.Choice(("ema", "last")),
    default="ema",
    show_default=True,
    help="Averaged weights, or those of the last iteration.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(("torch", "onnx", "openvino", "ray")),
    default="torch",
    show_default=True,
    help="What runs the network; ray: torch, in many workers.",
)


@click.group(
    cls=Program,
    optional={"ray": "ray", "torch": "translate", "safetensors": "translate"},
    context_settings=CONTEXT_SETTINGS,
    example="translate train data.zarr -o run --inputs LMSA\ntranslate apply run data.zarr",
)
@version_option("translate")
def main() -> None:
    """Low-quality simulated ultrasound → high quality: a generator trained on stores of ``ussim render``."""


# Training ---------------------------------------------------------------------------------------------


@main.command(example="translate train data.zarr -o run --inputs LMSA --iterations 50000")
@click.argument("stores", metavar="STORE...", type=STORE, nargs=-1, required=True)
@output_option("Run folder to make.", "RUN", name="run")
@click.option("--inputs", type=INPUTS, default=None, help="What the generator sees.  [default: LMSA]")
@click.option(
    "--model",
    type=click.Choice(("pix2pix", "fast")),
    default=None,
    help="The paper's network, or a faster one.  [default: pix2pix]",
)
@click.option("--iterations", type=int, default=None, help="Updates of the networks.  [default: 50000]")
@click.option("--ngf", type=int, default=None, help="Width of the generator.  [default: 64; fast: 48]")
@click.option("--batch", type=int, default=None, help="Crops of an update, over all processes.  [default: 16]")
@click.option("--crop", type=int, default=None, help="Side of a crop in pixels.  [default: 512]")
@seed_option("weights and crops", default=None)
@click.option("--polar/--no-polar", default=None, help="Give depth and angle to the networks.  [default: as the model]")
@set_option("Change another setting, as in learning_rate=1e-4; --settings lists all.")
@click.option("--settings", "list_settings", is_flag=True, help="List all settings and train nothing.")
@click.option(
    "--init",
    metavar="RUN|default",
    default=None,
    help="Begin with the generator of another run, or with the shipped one, and take its network.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of RUN.")
@click.option("--tensorboard", is_flag=True, help="Log for TensorBoard too, into RUN/tensorboard.")
@device_option
@local_or_ray("Train")
def train(
    stores: tuple[Place, ...],
    run: Path,
    assignments: tuple[str, ...],
    list_settings: bool,
    init: str | None,
    resume: bool,
    tensorboard: bool,
    device: str,
    engine: str,
    address: str | None,
    workers: int | None,
    **options: Any,
) -> None:
    """Train a generator on the training split of STORE, or of several.

    Several GPUs: --engine ray, or torchrun --nproc-per-node=N -m cli.translate train STORE -o RUN …
    """
    on_ray = require_ray(engine, address, workers)
    given = {name: value for name, value in options.items() if value is not None} | _assigned(assignments)
    settings = _settings(given, run, resume, init)
    if list_settings:
        show_pairs(settings.model_dump().items())
        return
    from translate.training.loop import train as train_networks

    with ExitStack() as cluster, training_reporter() as progress:
        how: dict[str, Any] = {"resume": resume, "init": init, "device": device, "tensorboard": tensorboard}
        if on_ray:
            from translate.training.spread import train_on_workers
            from ussim.ray_actors import cluster_at

            cluster.enter_context(cluster_at(address))
            summary = train_on_workers(settings, stores, run, count=workers, progress=progress, **how)
        else:
            summary = train_networks(settings, stores, run, progress=progress, **how)
    losses = "  ".join(f"{name} {value:.4f}" for name, value in summary.losses.items())
    click.echo(f"{run}: {summary.iterations} iterations in {duration(summary.seconds)} on {summary.device}; {losses}")


def _assigned(assignments: tuple[str, ...]) -> dict[str, Any]:
    from ussim.settings import literal, parse_assignments

    given = parse_assignments(assignments, ("",), "ema=0.999")[""]
    return {name: literal(text) for name, text in given.items()}


def _settings(given: dict[str, Any], run: Path, resume: bool, init: str | None) -> TrainSettings:
    """The settings of a new run, or of one that goes on: those it has, changed by what is given."""
    from translate.settings import Run, TrainSettings
    from ussim.lock import is_begun

    if resume and (is_begun(run) or not run.is_dir()):  # else it was killed before it began
        return TrainSettings.make(**{**Run.load(run).train.model_dump(), **given})
    if init is not None:
        from translate.model.shipped import settings_to_begin_with

        given = {**settings_to_begin_with(init), **given}
    return TrainSettings.make(**given)


# Using ------------------------------------------------------------------------------------------------


@main.command(
    example="translate apply data.zarr\ntranslate apply run data.zarr\n"
    "translate apply run images -o enhanced --mask sector.png"
)
@click.argument("paths", metavar="[RUN] STORE|IMAGES", type=STORE, nargs=-1, required=True)
@output_option("Folder for PNG images.  [default: an array in STORE]", "DIR", required=False)
@click.option("--name", default="enhanced", show_default=True, help="Name of the array in STORE.")
@click.option(
    "--split",
    type=click.Choice(("all", "train", "test")),
    default="all",
    show_default=True,
    help="Which frames of STORE.",
)
@click.option("--mask", type=PATH, default=None, metavar="PNG", help="Sector of IMAGES.  [default: the training's]")
@click.option("--segmentation", type=PATH, default=None, metavar="DIR", help="Tissue ids of IMAGES, same file names.")
@click.option("--attenuation", type=PATH, default=None, metavar="DIR", help="Attenuation of IMAGES, same file names.")
@engine_option
@address_option
@workers_option
@checkpoint_option
@device_option
def apply(
    paths: tuple[Place, ...],
    output: Path | None,
    name: str,
    split: str,
    mask: Path | None,
    segmentation: Path | None,
    attenuation: Path | None,
    engine: str,
    address: str | None,
    workers: int | None,
    checkpoint: str,
    device: str,
) -> None:
    """Enhance whole images: an array beside the others in STORE, or PNGs in a folder.

    RUN is a run folder; without it the shipped generator does it. IMAGES is a folder of PNGs, or one PNG. What is
    there already is kept: run it again to go on.
    """
    if len(paths) > 2:
        raise click.UsageError(f"{len(paths)} paths; allowed: [RUN] STORE|IMAGES")
    on_ray = require_ray(engine, address, workers)
    *given, source = paths
    if given and given[0].folder is None:
        raise UssimError(f"{given[0]}: only a store may lie under a URL; give the path of a run")
    run: Path | str = given[0].folder if given else "default"
    from translate.use.apply import apply_to_folder, apply_to_store
    from translate.use.inference import Generator

    is_store = source.folder is None or source.has("zarr.json")
    into_store = is_store and (output is None or (source.folder and output.absolute() == source.folder.absolute()))
    if output is None and not is_store:
        raise UssimError(f"{source}: not a store; say with -o where its images are to go")
    load = partial(Generator.load, device=device, engine="torch" if on_ray else engine, checkpoint=checkpoint)
    generator, spread = load(run), None
    with ExitStack() as cluster, Reporter({"apply": "enhanced"}) as progress:
        if on_ray:
            from translate.model.shipped import known_elsewhere
            from translate.use.spread import Spread
            from ussim.ray_actors import cluster_at

            cluster.enter_context(cluster_at(address))
            spread = Spread(partial(load, known_elsewhere(run)), workers, on_gpus=device != "cpu")
        if into_store:
            count = apply_to_store(generator, source, name, split, progress, spread)
        else:
            count = apply_to_folder(
                generator,
                source,
                output,
                frames=split,
                mask=mask,
                segmentation=segmentation,
                attenuation=attenuation,
                progress=progress,
                spread=spread,
            )
    target = f"{source}: array {name}" if into_store else str(output)
    click.echo(f"{target}: {count} images written" if count else f"{target}: nothing left to do")


@main.command(example="translate models")
@json_option
def models(as_json: bool) -> None:
    """Say which generators come with this package, and what is known of them."""
    from translate.model.shipped import DEFAULT, load_card

    card = load_card()
    if as_json:
        click.echo(card.model_dump_json(indent=2))
        return
    height, width = card.size
    rows = [
        ("name", DEFAULT),
        ("sees", card.inputs),
        ("images", f"{height} × {width} px of {card.mm_per_pixel[0]:.3f} to {card.mm_per_pixel[1]:.3f} mm"),
        ("weights", f"{card.parameters:,}, sha256 {card.sha256}"),
        ("trained on", card.data),
        ("updates", f"{card.updates:,}"),
        *(
            (row, "  ".join(f"{name} {values[0]:.2f}" for name, values in figures.items()))
            for row, figures in card.metrics.items()
        ),
        *(("falls short", text) for text in card.falls_short),
        ("not for", card.not_for),
        ("licence", card.licence),
    ]
    show_pairs(rows)


@main.command(example="translate export run --format onnx")
@click.argument("run", type=PATH)
@click.option("--format", type=click.Choice(("onnx", "openvino", "safetensors")), required=True, help="What to write.")
@output_option("Where.  [default: in RUN]", "FILE", required=False)
@checkpoint_option
def export(run: Path, format: str, output: Path | None, checkpoint: str) -> None:
    """Export a generator for another runtime and compare the result with torch."""
    from translate.use.export import export as export_generator

    done = export_generator(run, format, output, checkpoint)
    click.echo(f"wrote {done.path}; largest difference from torch {done.difference:.1e} on [-1, 1]")


@main.command(example="translate evaluate runs/LM runs/LMSA data.zarr -o report")
@click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)
@click.argument("store", type=STORE)
@output_option("Folder to make.", "REPORT", name="report")
@click.option("--crops", type=int, default=4, show_default=True, help="Random crops of each test image.")
@click.option("--crop", type=int, default=512, show_default=True, help="Side of a crop in pixels.")
@click.option("--images", type=int, default=None, help="Use so many test images at most.  [default: all]")
@click.option(
    "--split",
    type=click.Choice(("frame", "scene")),
    default=None,
    help="What is held out: frames or whole anatomies.  [default: as in the training]",
)
@click.option("--sweep", type=STORE, default=None, metavar="STORE", help="Slow sweep, to measure steadiness on.")
@seed_option("crops and bootstrap")
@click.option("--inception-weights", type=PATH, default=None, metavar="FILE", help="Inception weights, for FID.")
@engine_option
@address_option
@workers_option
@json_option
@device_option
def evaluate(
    runs: tuple[Path, ...],
    store: Place,
    report: Path,
    crops: int,
    crop: int,
    images: int | None,
    split: Any,
    sweep: Place | None,
    seed: int,
    inception_weights: Path | None,
    as_json: bool,
    engine: str,
    address: str | None,
    workers: int | None,
    device: str,
) -> None:
    """Compare generators with the low-quality images on the test split of STORE: the paper's Table 2.

    A RUN is a run folder, or default for the shipped generator.
    """
    on_ray = require_ray(engine, address, workers)
    from translate.evaluation.evaluate import evaluate as evaluate_runs

    measure = None
    with ExitStack() as cluster, Reporter() as progress:
        if on_ray:
            from translate.evaluation.spread import SpreadMeasure
            from ussim.ray_actors import cluster_at

            cluster.enter_context(cluster_at(address))
            measure = SpreadMeasure(runs, store, device, inception_weights, workers)
        result = evaluate_runs(
            list(runs),
            store,
            report,
            crops=crops,
            crop=crop,
            seed=seed,
            device=device,
            engine="torch" if on_ray else engine,
            images=images,
            split=split,
            sweep=sweep,
            inception_weights=inception_weights,
            measure=measure,
            progress=progress,
        )
    if as_json:
        json.dump(result.as_dict(), sys.stdout, indent=1, ensure_ascii=False)
        click.echo()
        return
    for table in result.tables:
        show_table(table.columns, table.rows, title=table.title)
        click.echo()
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"wrote {report}: report.md, report.json, table.csv, crops.csv and pictures")


add_completion(main, "translate")

if __name__ == "__main__":
    from cli.surroundings import prepare

    prepare()
    main()
