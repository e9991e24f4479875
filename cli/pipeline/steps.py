"""The six steps. Each calls the function that the single command of its kind calls, and can be picked up again.

A step knows what decides its result (``key``), whether its output is there (``is_whole``), how to make it (``run``) and
how to remove it (``clear``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from cli.pipeline import ENHANCED
from cli.pipeline.context import Context
from cli.pipeline.records import digest_of
from cli.progress import Reporter, training_reporter
from cli.say import say_warning
from ussim.errors import UssimError
from ussim.files import file_digest, whole_folder

DISK_RESERVE_BYTES = 1 << 30
"""Left free beside the dataset: for checkpoints, reports and everybody else."""


@dataclass
class Result:
    """What a step gave.

    Attributes:
        outputs: Digests by name; the keys of later steps are made from them.
        device: What did the work, in words.
        notes: Figures for the report.
    """

    outputs: dict[str, str]
    device: str = ""
    notes: dict[str, Any] = field(default_factory=dict)


class Step(Protocol):
    """One step of the pipeline.

    Attributes:
        name: What the user calls it.
        needs: The steps whose output it uses.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]

    def key(self, context: Context) -> str:
        """Digest of all that decides the result; the steps before have to be done."""

    def is_whole(self, context: Context, outputs: dict[str, str]) -> bool:
        """Whether what a finished step gave is still there as it was; quick."""

    def run(self, context: Context) -> Result:
        """Do it, or what is left of it."""

    def clear(self, context: Context) -> None:
        """Remove what it gave."""


class SceneStep:
    """Build the anatomy, or check the user's scene."""

    name = "scene"
    needs = ()

    def key(self, context: Context) -> str:
        scene = context.settings.scene
        if context.settings.scene_path:
            return digest_of(_scene_files(context.scene_folder))
        if scene.count > 1:
            return digest_of(scene.model_dump())
        from meshes.cache import scene_key

        return digest_of(scene_key(scene.detail, scene.seed, scene.age_weeks))

    def is_whole(self, context: Context, outputs: dict[str, str]) -> bool:
        if "digest" not in outputs:
            return False
        if context.settings.scene.count > 1:  # kept in the user's cache, built again if it is gone
            return True
        try:
            return digest_of(_scene_files(context.scene_folder)) == outputs.get("files")
        except UssimError:
            return False

    def run(self, context: Context) -> Result:
        scene = context.settings.scene
        if context.settings.scene_path is None and scene.count == 1:
            import meshes

            folder = context.folder / "scene"
            meshes.place_cached_scene(scene.detail, folder, scene.seed, scene.age_weeks, context.say)
        context.__dict__.pop("scene", None)
        loaded = context.scene  # every surface is checked here, before anything is rendered
        notes = {
            "name": context.series.reference.name if context.series else loaded.name,
            "triangles": len(loaded.triangles),
            "surfaces": len(loaded.surfaces),
            "tissues": len(loaded.media),
        }
        if context.series:
            return Result({"digest": context.series.reference.digest}, notes=notes)
        files = digest_of(_scene_files(context.scene_folder))
        return Result({"digest": loaded.digest, "files": files}, notes=notes)

    def clear(self, context: Context) -> None:
        """What was built is replaced when it is built again, and what the user put there is not."""


class RenderStep:
    """Render the paired dataset."""

    name = "render"
    needs = ("scene",)

    def key(self, context: Context) -> str:
        from ussim.dataset.schema import PHYSICS_VERSION

        render, settings = context.settings.render, context.settings.rendering()
        return digest_of(
            [
                PHYSICS_VERSION,
                context.outputs["scene"]["digest"],
                render.model_dump(),
                settings.probe.model_dump(mode="json"),
                settings.imaging.model_dump(mode="json"),
                {name: quality.model_dump(mode="json") for name, quality in settings.qualities.items()},
            ]
        )

    def is_whole(self, context: Context, outputs: dict[str, str]) -> bool:
        from ussim.dataset.store import Dataset

        try:
            dataset = Dataset.open(context.store)
            return dataset.complete and dataset.digest == outputs.get("dataset")
        except UssimError:
            return False

    def run(self, context: Context) -> Result:
        from ussim.dataset import job
        from ussim.dataset.store import Dataset

        self._check_disk(context)
        phases = {"prepare": "checking poses", "gain": "fitting the gain (a first run compiles)", "render": "rendered"}
        with Reporter(phases) as progress:
            summary = job.run(context.plan, context.store, resume=True, progress=progress, warn=say_warning)
        dataset = Dataset.open(context.store)
        notes = {
            "frames": dataset.frames,
            "test_frames": int(dataset.split.sum()),
            "bytes": sum(path.stat().st_size for path in context.store.rglob("*") if path.is_file()),
        }
        return Result({"dataset": dataset.digest}, summary.device, notes)

    def _check_disk(self, context: Context) -> None:
        held = sum(path.stat().st_size for path in context.store.rglob("*") if path.is_file())
        needed = max(0, context.plan.bytes_on_disk() - held) + DISK_RESERVE_BYTES
        free = shutil.disk_usage(context.folder).free
        if needed > free:
            raise UssimError(
                f"{context.folder}: the dataset needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: "
                "make room, or ask for fewer or smaller frames with --set render.frames=… or render.size=…"
            )

    def clear(self, context: Context) -> None:
        _remove(context.store)


class TrainStep:
    """Train a generator for each variant."""

    name = "train"
    needs = ("render",)

    def key(self, context: Context) -> str:
        wanted = [context.settings.training(variant).model_dump() for variant in context.settings.variants]
        return digest_of([context.outputs["render"]["dataset"], wanted, *_shipped_digest(context)])

    def is_whole(self, context: Context, outputs: dict[str, str]) -> bool:
        return all(outputs.get(variant) == _weights_digest(context, variant) for variant in context.settings.variants)

    def run(self, context: Context) -> Result:
        from translate.training.loop import train

        outputs, notes, device = {}, {}, ""
        for variant in context.settings.variants:
            settings, folder = context.settings.training(variant), context.run_folder(variant)
            context.say(f"training {variant}: {settings.iterations} iterations")
            with training_reporter() as progress:
                summary = train(
                    settings, context.store, folder, resume=folder.is_dir(), device=context.device, progress=progress,
                    init="default" if context.settings.init == "default" else None,
                )  # fmt: skip
            device = summary.device
            outputs[variant] = _weights_digest(context, variant)
            notes[variant] = {"iterations": settings.iterations, "seconds": _training_seconds(folder)}
        return Result(outputs, device, notes)

    def clear(self, context: Context) -> None:
        _remove(context.folder / "runs")


class EvaluateStep:
    """Compare the generators on the test frames: the paper's table."""

    name = "evaluate"
    needs = ("render", "train")

    def key(self, context: Context) -> str:
        settings = context.settings
        asked = {**settings.evaluate.model_dump(), "crop": settings.evaluation_crop}
        outputs = context.outputs["render"], context.outputs["train"]
        return digest_of([*outputs, list(settings.variants), asked, *_shipped_digest(context)])

    def is_whole(self, context: Context, outputs: dict[str, str]) -> bool:
        return file_digest(context.evaluation / "report.json") == outputs.get("report")

    def run(self, context: Context) -> Result:
        from translate.evaluation.evaluate import evaluate

        asked = context.settings.evaluate
        _remove(context.evaluation)
        runs = [context.run_folder(variant) for variant in context.settings.variants]
        if context.settings.init == "default":
            runs.insert(0, Path("default"))
        with Reporter() as progress:
            evaluate(
                runs, context.store, context.evaluation, crops=asked.crops, crop=context.settings.evaluation_crop,
                seed=asked.seed, device=context.device, images=asked.images, progress=progress,
            )  # fmt: skip
        return Result({"report": file_digest(context.evaluation / "report.json")})

    def clear(self, context: Context) -> None:
        _remove(context.evaluation)


class ApplyStep:
    """Enhance whole images: an array in the store, and the test frames as PNGs."""

    name = "apply"
    needs = ("render", "train")

    def key(self, context: Context) -> str:
        primary = context.settings.primary
        frames = context.settings.apply.split
        return digest_of([context.outputs["render"], primary, context.outputs["train"][primary], frames])

    def is_whole(self, context: Context, outputs: dict[str, str]) -> bool:
        return _image_digest(context.enhanced) == outputs.get("images") and (context.store / ENHANCED).is_dir()

    def run(self, context: Context) -> Result:
        from translate.use.apply import apply_to_store
        from translate.use.inference import Generator

        generator = Generator.load(context.run_folder(context.settings.primary), device=context.device)
        with Reporter({"apply": "enhanced"}) as progress:
            apply_to_store(generator, context.store, ENHANCED, context.settings.apply.split, progress)
        self._save_images(context)
        return Result({"weights": generator.digest, "images": _image_digest(context.enhanced)})

    def _save_images(self, context: Context) -> None:
        import zarr
        from PIL import Image

        from ussim.dataset.store import Dataset

        array = zarr.open_array(context.store / ENHANCED, mode="r")
        _remove(context.enhanced)
        try:
            with whole_folder(context.enhanced) as scratch:
                for frame in context.shown_frames(Dataset.open(context.store)):
                    Image.fromarray(array[int(frame)]).save(scratch / f"frame_{int(frame):06d}.png")
        except OSError as error:
            raise UssimError(f"{context.enhanced}: cannot be written: {error.strerror or error}") from None

    def clear(self, context: Context) -> None:
        _remove(context.enhanced)
        _remove(context.store / ENHANCED)


class ReportStep:
    """Put it all on one page."""

    name = "report"
    needs = ("scene", "render", "train", "evaluate", "apply")

    def key(self, context: Context) -> str:
        return digest_of([context.outputs[name] for name in self.needs])

    def is_whole(self, context: Context, outputs: dict[str, str]) -> bool:
        return file_digest(context.report) == outputs.get("page")

    def run(self, context: Context) -> Result:
        from cli.pipeline.report.page import write_page

        write_page(context)
        return Result({"page": file_digest(context.report)})

    def clear(self, context: Context) -> None:
        context.report.unlink(missing_ok=True)


STEPS: tuple[Step, ...] = (SceneStep(), RenderStep(), TrainStep(), EvaluateStep(), ApplyStep(), ReportStep())


# What is on disk --------------------------------------------------------------------------------------


def _scene_files(path: Path) -> dict[str, str]:
    """Digest of a scene file and of each file it uses."""
    from ussim.scene.file import find_scene_file, read_scene_file

    file = find_scene_file(path)
    scene = read_scene_file(file)
    names = [file.name, *scene.tissues, *(surface.mesh for surface in scene.surface)]
    return {name: file_digest(file.parent / name) for name in names}


def _shipped_digest(context: Context) -> list[str]:
    """Digest of the shipped generator's weights, where it has a part in this."""
    if context.settings.init != "default":
        return []
    from translate.model.shipped import DEFAULT, run_folder

    return [_digest_of_weights(run_folder(DEFAULT))]


def _weights_digest(context: Context, variant: str) -> str:
    return _digest_of_weights(context.run_folder(variant))


def _digest_of_weights(run: Path) -> str:
    return file_digest(run / "generator.safetensors")


def _training_seconds(folder: Path) -> float:
    from translate.training.log import read_log

    lines = read_log(folder)
    return float(lines[-1]["seconds"]) if lines else 0.0


def _image_digest(folder: Path) -> str:
    return digest_of({path.name: file_digest(path) for path in sorted(folder.glob("*.png"))})


def _remove(path: Path) -> None:
    """Remove a folder of ours; one that cannot be removed is an error, not a leftover."""
    with _named(path):
        if path.is_dir():
            shutil.rmtree(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UssimError(f"{path}: cannot be removed: {error.strerror or error}") from None
