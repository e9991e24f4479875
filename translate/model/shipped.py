"""The generator that comes with the package: where it lies, what is said of it, and which stores it fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from translate.settings import Run, TrainSettings
from ussim.errors import UssimError
from ussim.settings import read_json

if TYPE_CHECKING:
    from ussim.dataset.schema import ImageGeometry

DEFAULT = "default"
"""Its name, wherever a run folder can be given; a folder of that name is ``./default``."""

FOLDER = Path(__file__).parent.parent / "shipped"
CARD = "card.json"
_TAKEN_OVER = (
    "residual_threshold", "learning_rate", "rate_decay", "l1_weight", "adversarial_weight", "feature_matching",
    "texture_weight", "histogram_weight", "pkl_weight", "ssim_weight", "freeze_norm", "flip",
)  # fmt: skip
_SIDE_MARGIN = 1.25
"""Pixels may be so much smaller or larger than any it was trained on: speckle keeps about the size it knows."""


class Card(BaseModel):
    """What is said of a generator that is shipped: ``card.json``, written by ``docs/make_shipped.py``.

    Attributes:
        name: Of the generator.
        version: Of ussim, that its images were rendered with.
        sha256: Of its weights.
        inputs: What it sees.
        size: (H, W) of the images it was trained on [px].
        mm_per_pixel: Sides of their pixels, smallest and largest.
        parameters: Number of weights.
        data: What it was trained on, in words.
        stores: Digest of them.
        anatomies_held_out: Numbers of the anatomies that were kept from it.
        seeds: Of weights and crops.
        updates: That both networks saw.
        metrics: On held-out anatomies: by row (``low quality``, ``shipped``) and figure, mean and bounds.
        falls_short: What is wrong with its images, sentence by sentence.
        not_for: What it must not be used for.
        licence: Of the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    sha256: str
    inputs: str
    size: tuple[int, int]
    mm_per_pixel: tuple[float, float]
    parameters: Annotated[int, Field(ge=1)]
    data: str
    stores: str
    anatomies_held_out: tuple[int, ...]
    seeds: tuple[int, ...]
    updates: Annotated[int, Field(ge=1)]
    metrics: dict[str, dict[str, tuple[float, ...]]]
    falls_short: tuple[str, ...]
    not_for: str
    licence: str


def run_folder(run: str | Path) -> Path:
    """The folder of a run, or of the shipped generator if its name is given.

    Raises:
        UssimError: The shipped generator is not there.
    """
    if str(run) != DEFAULT:
        return Path(run)
    if not (FOLDER / "settings.json").is_file():
        raise UssimError(f"{FOLDER}: the shipped generator is missing; install ussim again")
    return FOLDER


def known_elsewhere(run: str | Path) -> str | Path:
    """A name of a run that also processes understand that begin in another folder."""
    return run if str(run) == DEFAULT else Path(run).absolute()


def is_shipped(folder: Path) -> bool:
    """Whether a run folder is that of the shipped generator."""
    return folder == FOLDER


def load_card() -> Card:
    """What is said of the shipped generator.

    Raises:
        UssimError: It is missing or damaged.
    """
    return read_json(Card, run_folder(DEFAULT) / CARD)


def require_fit(run: Run, image: ImageGeometry, kind: str, where: str) -> None:
    """Refuse images that are nothing like those that the shipped generator was trained on.

    Args:
        run: What it was trained on.
        image: Pixel grid of the images.
        kind: Of the probe.
        where: What holds them, for people.

    Raises:
        UssimError: Another kind of probe, or pixels of another size.
    """
    wanted = run.data.probe["kind"]
    if kind != wanted:
        raise UssimError(f"{where}: images of a {kind} probe; the shipped generator knows those of a {wanted} one")
    side, (low, high) = image.mm_per_pixel, run.data.mm_per_pixel or (image.mm_per_pixel,) * 2
    if not low / _SIDE_MARGIN <= side <= high * _SIDE_MARGIN:
        height = round(image.height * side / ((low + high) / 2))
        raise UssimError(
            f"{where}: pixels of {side:.3f} mm; the shipped generator knows {low:.3f} to {high:.3f} mm: render "
            f"images about {height} px high (ussim render --size), or train a generator of your own"
        )


def architecture(run: Run) -> dict[str, Any]:
    """The training settings that a network with the weights of a run must share with it."""
    names = (
        "inputs", "ngf", "depth", "norm", "upsample", "decoder_maps", "residual", "polar", "segmentation",
        "attenuation",
    )  # fmt: skip
    return {"model": run.train.model, **{name: getattr(run.train, name) for name in names}}


def require_like(run: Run, settings: TrainSettings, what: str) -> None:
    """Refuse settings of a training whose network cannot take the weights of a run.

    Raises:
        UssimError: The first setting that differs.
    """
    for name, value in architecture(run).items():
        if getattr(settings, name) != value:
            raise UssimError(f"{what} has {name} = {value!r}, not {getattr(settings, name)!r}")


def shipped_run() -> Run:
    """Settings and data of the shipped generator's training.

    Raises:
        UssimError: It is missing or damaged.
    """
    return Run.load(run_folder(DEFAULT))


def settings_to_begin_with(run: str | Path) -> dict[str, Any]:
    """What a training that begins with the generator of a run takes over from its settings: network and losses.

    Raises:
        UssimError: No such run.
    """
    begun = Run.load(run_folder(run))
    return {**architecture(begun), **{name: getattr(begun.train, name) for name in _TAKEN_OVER}}
