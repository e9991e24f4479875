"""What each option of a training is worth: one changed at a time, trained alike, on held-out anatomies.

    python docs/make_training_set.py training_set
    python docs/make_options.py training_set options

Trains each on the exam of the training set, whole anatomies held out, evaluates all of them together, and writes
docs/options_measured.json and from it the table in docs/translation.md. What is finished is kept: run it again to go
on. A training takes two to six minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from commands import call
from make_results import COLUMNS, rows_of
from pages import put_between

from ussim.files import write_text

DOCS = Path(__file__).parent
MEASURED, PAGE = DOCS / "options_measured.json", DOCS / "translation.md"
BEGIN, END = "<!-- table of docs/make_options.py -->", "<!-- end of the options' table -->"
BASE = {
    "segmentation": "acoustic", "attenuation": "decibel", "upsample": "nearest", "texture_weight": "100",
    "adversarial_weight": "0.2", "learning_rate": "0.0005", "precision": "bfloat16",
}  # fmt: skip
"""Of the base: the `fast` network of width 16 that is shipped, as in the first stage of its training."""
HOW = (
    "--model", "fast", "--inputs", "LMSA", "--batch", "4", "--crop", "256", "--set", "split=scene",
    "--set", "flip=true", "--set", "memory_gb=7", "--set", "preview_every=1000", "--set", "threads=1",
)  # fmt: skip
OPTIONS: dict[str, dict[str, str]] = {
    "base": {},
    "base, second seed": {"seed": "1"},
    "precision=float32": {"precision": "float32"},
    "ngf=24": {"ngf": "24"},
}
"""Names of the runs, and what they change of the base."""


def train(store: Path, run: Path, changed: dict[str, str], updates: int) -> None:
    """Train one, or go on."""
    settings = {"ngf": "16", **BASE, **changed}
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    resume = ("--resume",) if run.is_dir() else ()
    call("translate", "train", store, "-o", run, *HOW, *options, "--iterations", updates, *resume)


def table(measured: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    lines = [
        f"{measured['updates']:,} updates each, {measured['images']} held-out images:",
        "",
        "| | " + " | ".join(COLUMNS.values()) + " |",
        "|---|" + "---:|" * len(COLUMNS),
    ]
    for name, row in measured["rows"].items():
        title = f"`{name}`" if "=" in name else name
        lines.append(f"| {title} | " + " | ".join(f"{row[key]:.2f}" for key in COLUMNS) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train, evaluate, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("training_set", type=Path)
    options.add_argument("output", type=Path, help="folder for the runs and the report")
    options.add_argument("--updates", type=int, default=400)
    options.add_argument("--images", type=int, default=24, help="held-out images that are evaluated")
    given = options.parse_args()
    store, report = given.training_set / "exam.zarr", given.output / "report"
    runs = {name: given.output / name.replace(", ", "_").replace(" ", "_") for name in OPTIONS}
    given.output.mkdir(parents=True, exist_ok=True)
    for name, changed in OPTIONS.items():
        train(store, runs[name], changed, given.updates)
    if not (report / "report.json").is_file():
        call("translate", "evaluate", *runs.values(), store, "-o", report, "--crop", 512, "--images", given.images)
    low, *rows = rows_of(report).values()
    found = {"low quality": low, **dict(zip(runs, rows, strict=True))}
    measured = {"updates": given.updates, "images": given.images, "base": BASE, "rows": found}
    write_text(MEASURED, json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    write_text(PAGE, put_between(PAGE.read_text(encoding="utf-8"), BEGIN, table(measured), END))


if __name__ == "__main__":
    main()
