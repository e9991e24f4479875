"""Train the generator that is shipped, stage after stage.

    python docs/make_training_set.py training_set
    python docs/train_shipped.py training_set run --stages first second        # hours; stop it and go on as you like
    python docs/make_training_set.py small_set --share 4
    python docs/train_shipped.py small_set run --stages third fourth fifth sixth

Each stage is a run in a folder of its name, and begins with the weights of the stage before; where that has no folder,
with those that are shipped by now. In the first two a generator learns what high quality looks like, at a high learning
rate and at a low one. In the others it learns to leave alone what is right already: small changes are left out, there
is no adversary, batch norm is frozen. The last two see larger crops, so that a shadow and the bone that casts it are
in one, and scenes full of both.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from commands import call
from make_training_set import PLANES

NETWORK = (
    "--model", "fast", "--inputs", "LMSA", "--ngf", "16", "--set", "segmentation=acoustic",
    "--set", "attenuation=decibel", "--set", "upsample=nearest",
)  # fmt: skip
HOW = (
    "--set", "split=scene", "--set", "flip=true", "--set", "ema=0.999", "--set", "l1_weight=100",
    "--set", "texture_weight=100", "--set", "validate_every=1000", "--set", "checkpoint_every=500",
    "--set", "preview_every=2000", "--set", "memory_gb=8", "--set", "threads=1",
)  # fmt: skip
SMALL_CROPS = ("--batch", "4", "--crop", "256")
LARGE_CROPS = ("--batch", "1", "--crop", "448")
ADVERSARY = (*SMALL_CROPS, "--set", "adversarial_weight=0.2")
SETTLING = (
    "--set", "adversarial_weight=0", "--set", "freeze_norm=true", "--set", "histogram_weight=200",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A stage of the training.

    Attributes:
        settings: Of ``translate train``, beside those that all stages share.
        updates: How many it has.
        without: Parts of the training set that it leaves out.
    """

    settings: tuple[str, ...]
    updates: int
    without: tuple[str, ...] = ()


STAGES = {
    "first": Stage((*ADVERSARY, "--set", "learning_rate=0.0005"), 3500, ("solids",)),
    "second": Stage((*ADVERSARY, "--set", "learning_rate=0.0001"), 1500, ("solids",)),
    "third": Stage(
        (
            *SMALL_CROPS, *SETTLING, "--set", "learning_rate=0.0003", "--set", "residual_threshold=4",
            "--set", "ssim_weight=30",
        ),
        1556, (*PLANES, "solids"),
    ),
    "fourth": Stage(
        (
            *SMALL_CROPS, *SETTLING, "--set", "learning_rate=0.0001", "--set", "residual_threshold=6",
            "--set", "ssim_weight=60",
        ),
        839, (*PLANES, "solids"),
    ),
    "fifth": Stage(
        (
            *LARGE_CROPS, *SETTLING, "--set", "learning_rate=0.0001", "--set", "residual_threshold=6",
            "--set", "ssim_weight=60", "--set", "pkl_weight=50",
        ),
        2000, PLANES,
    ),
    "sixth": Stage(
        (
            *LARGE_CROPS, *SETTLING, "--set", "learning_rate=0.00005", "--set", "residual_threshold=8",
            "--set", "ssim_weight=100", "--set", "pkl_weight=50",
        ),
        2000, PLANES,
    ),
}  # fmt: skip
"""The standard planes show the same anatomies; the later stages leave them for the evaluation."""


def stores_of(folder: Path) -> list[Path]:
    """The parts of a training set, the exam first."""
    return sorted(folder.glob("*.zarr"), key=lambda path: (path.stem != "exam", path.stem))


def train(name: str, folder: Path, run: Path) -> None:
    """Train a stage, or go on."""
    stage, place = STAGES[name], run / name
    stores = [store for store in stores_of(folder) if store.stem not in stage.without]
    names = list(STAGES)
    before = run / names[names.index(name) - 1] if name != names[0] else None
    begin = ("--init", before if before.is_dir() else "default") if before else ()
    resume = ("--resume",) if place.is_dir() else ()
    run.mkdir(parents=True, exist_ok=True)
    how = (*NETWORK, *HOW, *stage.settings, "--iterations", stage.updates, *begin, *resume)
    call("translate", "train", *stores, "-o", place, *how)


def main() -> None:
    """Train the stages that are asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("training_set", type=Path)
    options.add_argument("run", type=Path, help="folder for the runs")
    options.add_argument("--stages", nargs="+", choices=tuple(STAGES), required=True)
    given = options.parse_args()
    for name in given.stages:
        train(name, given.training_set, given.run)


if __name__ == "__main__":
    main()
