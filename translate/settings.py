"""What is trained and how: the settings of a run and what it remembers of the store it learnt from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ussim.dataset.schema import ImageGeometry
from ussim.errors import UssimError
from ussim.files import write_text
from ussim.settings import nearest, read_json, validated

INPUTS = ("LM", "LMS", "LMSA", "SA")
"""Variants: low-quality image, mask, segmentation, attenuation."""

Inputs = Literal["LM", "LMS", "LMSA", "SA"]

Split = Literal["frame", "scene"]
"""``frame``: the store's own split, test frames lie between training frames of the same anatomy. ``scene``: about a
tenth of the anatomies, at least one, are seen in testing only."""


LARGEST_SEED = 2**63 - 1
MOST_ITERATIONS = 10**9
MOST_CROPS = 1000
"""Of a test image in an evaluation: more overlap so much that they add work and no knowledge."""


LOCAL_PX = 32
"""Side of the pieces of an image whose grey levels are compared, by pKL and by losses."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainSettings(_Frozen):
    """Everything that decides what a run computes; the defaults are the paper's.

    Attributes:
        inputs: What the generator sees, one letter each: low-quality image, mask, segmentation, attenuation.
        model: Name of the preset the other defaults came from.
        ngf: Channels after the generator's first layer.
        depth: Stride-2 layers of the generator, down and up; image sides are padded to multiples of 2^depth.
        ndf: Channels after the discriminator's first layer.
        d_layers: Stride-2 layers of the discriminator; 3 gives a receptive field of 70 px.
        norm: Normalisation in the generator: per image (instance) or running statistics (batch).
        upsample: A transposed 4 × 4 convolution, or nearest-neighbour upsampling and a 3 × 3 convolution.
        decoder_maps: Feed the inputs to every level of the decoder again.
        residual: The generator's output is added to the low-quality image.
        residual_threshold: What is added is soft-thresholded: it moves so many grey levels towards 0, and stays there.
            Where low quality is nearly right, it is left as it is.
        polar: Two more input channels: depth along the scanline and angle.
        segmentation: One channel scaled to [-1, 1], one channel for each tissue, or three channels that say what the
            tissue is (``acoustic``: impedance, backscatter, attenuation), which mean the same in every scene.
        attenuation: Linear in the stored amplitude, or in decibels over 60 dB.
        split: What is held out for testing: single frames (the store's split), or whole anatomies (``scene``).
        iterations: Updates of both networks.
        batch: Crops of one update, over all processes together.
        crop: Side of a crop [px].
        flip: Mirror half of the crops left to right.
        full_frames: Share of the iterations, at the end, that see whole padded frames instead of crops.
        full_batch: Frames of one such update.
        learning_rate: Of Adam, for both networks.
        rate_decay: Share of the iterations, at the end, over which the learning rate falls to 0 in a straight line.
        beta1: Adam's decay of the first moment.
        beta2: Adam's decay of the second moment.
        l1_weight: λ of equation 2.
        adversarial_weight: Weight of the adversarial loss; 0 trains on L1 alone.
        feature_matching: Weight of the L1 distance between the discriminator's features; 0 leaves it out.
        texture_weight: Weight of the distance of local means and standard deviations, which keeps speckle; 0: none.
        histogram_weight: Weight of the distance of local histograms, what pKL looks at; 0 leaves it out.
        pkl_weight: Weight of pKL itself, with soft bins: it costs haze where all is black; 0 leaves it out.
        ssim_weight: Weight of 1 − SSIM; 0 leaves it out.
        freeze_norm: Batch norm keeps the statistics that it began with, as in use: for the last stage of a training.
        ema: Decay of the moving average of the generator's weights.
        seed: Seed of weights and crops.
        threads: On a CPU; their number decides the last bits. 0: as many as the CPUs that the process may use.
        memory_gb: Of frames kept in memory at most, 10⁹ bytes; 0: all if they fit, else half of what is free.
        precision: ``auto`` is bfloat16 on a GPU and float32 on a CPU.
        compile: Compile both networks; ``auto`` does so on a GPU.
        log_every: Iterations between lines of the log.
        checkpoint_every: Iterations between checkpoints.
        preview_every: Iterations between previews.
        validate_every: Iterations between measurements on held-out frames; 0 measures nothing.
    """

    inputs: Inputs = "LMSA"
    model: Literal["pix2pix", "fast"] = "pix2pix"
    # networks
    ngf: Annotated[int, Field(ge=2, le=512)] = 64
    depth: Annotated[int, Field(ge=2, le=10)] = 8
    ndf: Annotated[int, Field(ge=2, le=512)] = 64
    d_layers: Annotated[int, Field(ge=1, le=6)] = 3
    norm: Literal["instance", "batch"] = "instance"
    upsample: Literal["transposed", "nearest"] = "transposed"
    decoder_maps: bool = False
    residual: bool = False
    residual_threshold: Annotated[float, Field(ge=0, le=64)] = 0.0
    # what the generator sees
    polar: bool = False
    segmentation: Literal["scaled", "onehot", "acoustic"] = "scaled"
    attenuation: Literal["linear", "decibel"] = "linear"
    # what it is trained on
    split: Split = "frame"
    iterations: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)] = 50_000
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    crop: Annotated[int, Field(ge=16, le=8192)] = 512
    flip: bool = False
    full_frames: Annotated[float, Field(ge=0, le=1)] = 0.0
    full_batch: Annotated[int, Field(ge=1, le=256)] = 2
    # losses and optimiser
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    rate_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.5
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    l1_weight: Annotated[float, Field(ge=0)] = 100.0
    adversarial_weight: Annotated[float, Field(ge=0)] = 1.0
    feature_matching: Annotated[float, Field(ge=0)] = 0.0
    texture_weight: Annotated[float, Field(ge=0)] = 0.0
    histogram_weight: Annotated[float, Field(ge=0)] = 0.0
    pkl_weight: Annotated[float, Field(ge=0)] = 0.0
    ssim_weight: Annotated[float, Field(ge=0)] = 0.0
    freeze_norm: bool = False
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0
    # how it runs
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    memory_gb: Annotated[float, Field(ge=0)] = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "yes", "no"] = "auto"
    log_every: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)] = 20
    checkpoint_every: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)] = 1000
    preview_every: Annotated[int, Field(ge=1, le=MOST_ITERATIONS)] = 1000
    validate_every: Annotated[int, Field(ge=0, le=MOST_ITERATIONS)] = 0

    @model_validator(mode="after")
    def _fits(self) -> TrainSettings:
        if self.crop % 2**self.depth:
            raise ValueError(f"crop {self.crop} must be a multiple of 2^depth = {2**self.depth}")
        if self.residual and "L" not in self.inputs:
            raise ValueError(f"residual needs the low-quality image, which the inputs {self.inputs} leave out")
        if self.residual_threshold and not self.residual:
            raise ValueError(f"residual_threshold {self.residual_threshold:g} needs residual=true")
        if self.freeze_norm and self.norm != "batch":
            raise ValueError(f"freeze_norm is for norm=batch: norm={self.norm} keeps no statistics")
        for name in ("texture_weight", "histogram_weight", "pkl_weight"):
            if getattr(self, name) and self.crop < LOCAL_PX:
                raise ValueError(f"{name} compares pieces of {LOCAL_PX} px: crop {self.crop} is smaller")
        if self.l1_weight == self.adversarial_weight == 0:
            raise ValueError("l1_weight and adversarial_weight are both 0: nothing to learn")
        return self

    @classmethod
    def make(cls, model: str = "pix2pix", **given: Any) -> TrainSettings:
        """The settings of a preset, changed by what is given.

        Raises:
            UssimError: A setting that is unknown or out of range; the message names it.
        """
        if model not in tuple(PRESETS):  # it may be anything, also what has no hash
            raise UssimError(f"model = {model!r}: must be one of {', '.join(PRESETS)}")
        for name in given:
            if name not in cls.model_fields:
                raise UssimError(f"no training setting is called {name!r}{nearest(name, cls.model_fields)}")
        fields = {**PRESETS[model], **given, "model": model}
        if "residual" not in given and "L" not in str(fields.get("inputs", "L")):
            fields["residual"] = False
        if "ndf" not in given and "ngf" in given:
            fields["ndf"] = given["ngf"]  # a narrow generator against a wide discriminator learns badly
        return validated(cls, fields, "training setting ")

    @property
    def multiple(self) -> int:
        """What the sides of the generator's input must be multiples of [px]."""
        return 2**self.depth

    @property
    def full_frames_from(self) -> int:
        """First iteration on whole frames."""
        return self.iterations - round(self.iterations * self.full_frames)

    def rate_at(self, iteration: int) -> float:
        """Learning rate of an update, counted from 0; the last one has a little left."""
        falling = round(self.iterations * self.rate_decay)
        left = self.iterations - iteration
        return self.learning_rate * min(1.0, left / (falling + 1))


PRESETS: dict[str, dict[str, Any]] = {
    "pix2pix": {},
    "fast": {
        "ngf": 48,
        "depth": 6,
        "norm": "batch",
        "decoder_maps": True,
        "residual": True,
        "polar": True,
    },
}
"""What a named model changes of the defaults."""

MAY_CHANGE = {
    "iterations",
    "memory_gb",
    "precision",
    "compile",
    "log_every",
    "checkpoint_every",
    "preview_every",
    "validate_every",
}
"""Settings that a resumed run may change."""


class DataInfo(_Frozen):
    """What a run remembers of the store it was trained on; of several, what they have in common, or the first's.

    Attributes:
        store: Name of its folder, or names.
        digest: SHA-256 of its attributes; of several, of their digests.
        tissues: Tissue names; position + 1 is the id in a segmentation.
        acoustics: What these are, see ``translate.data.acoustics``; runs of ussim 0.1.0 do not say.
        image: The pixel grid.
        mm_per_pixel: Sides of a pixel, the smallest and the largest of all stores; likewise.
        probe: Settings of the probe.
        train_frames: Frames of the training split.
        test_frames: Frames of the test split.
    """

    store: str
    digest: str
    tissues: tuple[str, ...]
    acoustics: tuple[tuple[float, float, float], ...] = ()
    image: ImageGeometry
    mm_per_pixel: tuple[float, float] | None = None
    probe: dict[str, Any]
    train_frames: int
    test_frames: int


class Run(_Frozen):
    """The file ``settings.json`` of a run folder.

    Attributes:
        format: Of the file.
        train: What is trained, and how.
        data: What it learns from.
        threads: Threads of a training on a CPU; 0 in runs of ussim 0.1.0, which did not say.
        init: SHA-256 of the weights that the generator began with; empty if they were random.
    """

    format: Literal[1] = 1
    train: TrainSettings
    data: DataInfo
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    init: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of what may not change while a run goes on: what it learns, and from what.

        Defaults are left out, so that a setting that comes later leaves it as it is.
        """
        fixed = self.train.model_dump(mode="json", exclude=MAY_CHANGE, exclude_defaults=True)
        parts = [fixed, self.data.digest, *([self.init] if self.init else [])]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read it.

        Raises:
            UssimError: No run there, or a damaged one.
        """
        path = folder / "settings.json"
        if not folder.exists():
            raise UssimError(f"{folder}: no such run")
        if not path.is_file():
            raise UssimError(f"{folder}: not a run folder (no settings.json in it)")
        return read_json(cls, path)

    def save(self, folder: Path) -> None:
        """Write it."""
        write_text(folder / "settings.json", self.model_dump_json(indent=2) + "\n")
