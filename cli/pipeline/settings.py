"""What a pipeline is asked for: presets, changed setting by setting, checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from translate.settings import LARGEST_SEED, MOST_CROPS, Inputs, TrainSettings
from ussim.errors import UssimError
from ussim.probe.probe import Probe
from ussim.probe.settings import SECTIONS as RENDER_SECTIONS
from ussim.probe.settings import Settings, build_settings
from ussim.settings import literal, parse_assignments, validated, whole_number


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SceneSettings(_Section):
    """Which anatomy is built, unless the user brings a scene.

    Attributes:
        detail: ``tiny``, ``demo`` or ``paper``.
        seed: Seed of the anatomy, or of the first of several.
        weeks: Gestational age, or a range such as ``18-30`` that several anatomies fill.
        count: Number of anatomies that the frames are spread over.
    """

    detail: str = "demo"
    seed: Annotated[int, Field(ge=0)] = 0
    weeks: str = "22"
    count: Annotated[int, Field(ge=1, le=65536)] = 1

    @field_validator("weeks", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        if isinstance(value, float):
            return f"{value:g}"
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def age_weeks(self) -> float:
        """Age of the first anatomy."""
        from meshes.anatomies import parse_weeks, weeks_of

        return weeks_of(self.seed, parse_weeks(self.weeks))


class RenderSettings(_Section):
    """Which frames are rendered.

    Attributes:
        frames: How many, spread over the sweep.
        size: Height x width of the images in pixels.
        sweep: Name of the sweep; the scene's first without.
        seed: Seed of all random numbers and of the train/test split.
        unit: Frames that are finished together.
    """

    frames: Annotated[int, Field(ge=10, le=10**7)] = 6669  # fewer leave nothing to test on
    size: str = "1000x1386"
    sweep: str | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    unit: Annotated[int, Field(ge=1, le=10**4)] = 8

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the images [px]."""
        height, width = map(whole_number, self.size.lower().partition("x")[::2])
        if height is None or width is None:
            raise UssimError(f"render.size = {self.size!r}: write height x width in pixels, as in 500x693")
        return height, width


class EvaluateSettings(_Section):
    """How the generators are compared.

    Attributes:
        crops: Random crops of each test image.
        crop: Side of a crop [px]; that of the training without.
        images: Use so many test images at most; all without.
        seed: Seed of crops and bootstrap.
    """

    crops: Annotated[int, Field(ge=1, le=MOST_CROPS)] = 4
    crop: Annotated[int | None, Field(ge=32)] = None
    images: Annotated[int | None, Field(ge=1)] = None
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0


class ApplySettings(_Section):
    """Which frames are enhanced.

    Attributes:
        split: ``all``, ``train`` or ``test``.
    """

    split: Literal["all", "train", "test"] = "test"


class PipelineSettings(_Section):
    """All that decides what a pipeline computes; kept in its folder as ``pipeline.json``.

    Attributes:
        preset: Where the settings came from.
        scene_path: The user's scene.toml or its folder; None if an anatomy is built.
        scene, render, evaluate, apply: See their classes.
        overrides: Texts of what is changed of ``probe``, ``imaging``, ``lq`` and ``hq``, by section and field.
        variants: What the generators see; one is trained for each, the last enhances the images.
        train: What is changed of the training settings, the same for all variants.
        init: What the generators begin as: random weights, or the shipped generator, which is then evaluated too.
    """

    preset: str
    scene_path: str | None = None
    scene: SceneSettings = SceneSettings()
    render: RenderSettings = RenderSettings()
    overrides: dict[str, dict[str, str]] = {}
    variants: Annotated[tuple[Inputs, ...], Field(min_length=1)] = ("LM", "LMS", "LMSA")
    train: dict[str, Any] = {}
    init: Literal["random", "default"] = "random"
    evaluate: EvaluateSettings = EvaluateSettings()
    apply: ApplySettings = ApplySettings()

    @field_validator("variants", mode="before")
    @classmethod
    def _split_text(cls, value: Any) -> Any:
        return tuple(part.strip().upper() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("variants")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names a variant twice")
        return value

    # What the single steps need -----------------------------------------------------------------------
    def rendering(self) -> Settings:
        """Probe, imaging and qualities.

        Raises:
            UssimError: A value that is not allowed.
        """
        assignments = [
            f"{part}.{name}={text}" for part, given in self.overrides.items() for name, text in given.items()
        ]
        return build_settings(assignments, ("lq", "hq"), self.render.shape)

    def training(self, variant: str) -> TrainSettings:
        """Settings of the training of a variant.

        Raises:
            UssimError: A value that is not allowed.
        """
        begun: dict[str, Any] = {}
        if self.init == "default":
            from translate.model.shipped import settings_to_begin_with

            begun = settings_to_begin_with("default")
        return TrainSettings.make(**{**begun, **self.train, "inputs": variant})

    @property
    def primary(self) -> str:
        """The variant that enhances the images."""
        return self.variants[-1]

    @property
    def evaluation_crop(self) -> int:
        """Side of the crops of the evaluation [px]."""
        return self.evaluate.crop or self.training(self.primary).crop

    def with_scene(self, path: Path) -> PipelineSettings:
        """The same with a scene of the user's own."""
        return self.model_copy(update={"scene_path": str(Path(path).absolute()), "scene": SceneSettings()})

    def check(self) -> None:
        """Find what can be found before hours of work: values out of range, crops larger than the images.

        Raises:
            UssimError: The first mistake.
        """
        if self.preset not in PRESETS:
            raise UssimError(f"preset = {self.preset!r}: must be one of {', '.join(PRESETS)}")
        probe = self.rendering().probe
        side = min(self.render.shape)
        for variant in self.variants:
            training = self.training(variant)
            if self.init == "default":
                self._check_begin(training, probe)
            crop = training.crop
            if training.split == "scene" and (self.scene_path or self.scene.count < 2):
                raise UssimError("train.split = scene: holds out whole anatomies, so scene.count must be at least 2")
            if crop > side:
                raise UssimError(f"train.crop = {crop}: images of {self.render.size} allow {side} at most")
        if self.evaluation_crop > side:
            raise UssimError(
                f"evaluate.crop = {self.evaluation_crop}: images of {self.render.size} allow {side} at most"
            )
        if self.scene_path is None:
            from meshes.anatomies import anatomy_sources, parse_weeks

            anatomy_sources(self.scene.count, self.scene.detail, self.scene.seed, parse_weeks(self.scene.weeks))
        elif self.scene != SceneSettings():
            raise UssimError(
                "scene.* settings are of anatomies that are built; with a SCENE of your own leave them out"
            )

    def _check_begin(self, training: TrainSettings, probe: Probe) -> None:
        """Find out whether the shipped generator can be what a training begins with."""
        from translate.model.shipped import require_fit, require_like, shipped_run
        from ussim.dataset.schema import ImageGeometry

        run, remedy = shipped_run(), "train.init=random trains from the beginning"
        try:
            require_like(run, training, "the shipped generator")
            require_fit(
                run, ImageGeometry.of_probe(probe), probe.model_dump()["kind"], f"render.size = {self.render.size}"
            )
        except UssimError as error:
            raise UssimError(f"train.init = default: {error}; {remedy}") from None

    def flat(self) -> dict[str, Any]:
        """All settings as ``section.name``, for comparison and display."""
        fields = self.model_dump(mode="json")
        pairs = {"scene": fields["scene_path"]} if fields["scene_path"] else {}
        if not pairs:
            pairs |= {f"scene.{name}": value for name, value in fields["scene"].items()}
        pairs |= {f"render.{name}": value for name, value in fields["render"].items()}
        pairs |= {f"{part}.{name}": text for part, given in fields["overrides"].items() for name, text in given.items()}
        pairs |= {"train.variants": ",".join(fields["variants"]), "train.init": fields["init"]}
        pairs |= {f"train.{name}": value for name, value in fields["train"].items()}
        pairs |= {f"evaluate.{name}": value for name, value in fields["evaluate"].items()}
        return pairs | {f"apply.{name}": value for name, value in fields["apply"].items()}


_SMALL_NETWORK = {
    "depth": 6,
    "norm": "batch",
    "learning_rate": 1e-3,
    "residual": True,
    "crop": 256,
    "batch": 4,
    "ndf": 16,
    "ngf": 16,
}

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "scene": {"detail": "demo"},
        "render": {"frames": 40},
        "variants": ("LMSA",),
        "init": "default",
        "train": {"crop": 256, "batch": 4, "iterations": 200, "ema": 0.98, "preview_every": 200},
    },
    "small": {
        "scene": {"detail": "demo", "count": 4, "weeks": "20-26"},
        "render": {"frames": 320, "size": "500x693"},
        "train": {**_SMALL_NETWORK, "iterations": 1200, "ema": 0.99},
    },
    "paper": {"scene": {"detail": "paper"}},
}
"""What a preset changes of the defaults, which are the paper's protocol: 6669 frames, 6000 of them for training, three
variants, 50,000 iterations of batch 16 on crops of 512²."""

ABOUT_PRESETS = {
    "demo": "the shipped generator, tuned for a minute on 36 pairs of one anatomy: minutes on two CPU cores",
    "small": "the paper's three variants in small, 320 half-size pairs of four anatomies: half an hour or so on a CPU",
    "paper": "the paper's protocol to the letter: needs a GPU and 14 GB of disk",
}


def make_settings(preset: str, scene_path: Path | None, assignments: Iterable[str]) -> PipelineSettings:
    """The settings of a preset, changed by what a user typed.

    Args:
        preset: Name of a preset.
        scene_path: A scene of the user's own, or None.
        assignments: ``section.name=value`` texts.

    Raises:
        UssimError: A preset, section, name or value that is not allowed.
    """
    if preset not in PRESETS:
        raise UssimError(f"--preset {preset}: must be one of {', '.join(PRESETS)}")
    fields = {name: dict(value) if isinstance(value, dict) else value for name, value in PRESETS[preset].items()}
    if scene_path is not None:
        fields.pop("scene", None)
        fields["scene_path"] = str(Path(scene_path).absolute())
    return change_settings(validated(PipelineSettings, {"preset": preset, **fields}, ""), assignments)


def change_settings(settings: PipelineSettings, assignments: Iterable[str]) -> PipelineSettings:
    """A copy of settings with some of them replaced by what a user typed, checked.

    Raises:
        UssimError: A section, name or value that is not allowed.
    """
    fields = settings.model_dump()
    sections = ("scene", "render", *RENDER_SECTIONS, "train", "evaluate", "apply")
    for section, given in parse_assignments(assignments, sections, "train.iterations=1000").items():
        if section in RENDER_SECTIONS:
            if given:
                fields["overrides"].setdefault(section, {}).update(given)
            continue
        for name, text in given.items():
            if (section, name) == ("train", "inputs"):
                raise UssimError("train.inputs: each variant has its own; choose them with train.variants=LM,LMSA")
            if section == "train" and name in ("variants", "init"):
                fields[name] = text
            else:
                fields[section][name] = literal(text)
    try:
        changed = validated(PipelineSettings, fields, "")
    except UssimError as error:  # typed as a setting of the training, kept beside it
        raise UssimError(re.sub(r"^(variants|init)\b", r"train.\1", str(error))) from None
    changed.check()
    return changed
