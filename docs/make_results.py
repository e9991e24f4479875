"""The paper's experiment at the scale of this machine: LM, LMS, LMSA and SA, trained alike, several seeds.

    python docs/make_training_set.py training_set
    python docs/make_results.py training_set results --updates 3000 --seeds 3

Trains each variant with each seed on the exam of the training set, whole anatomies held out, evaluates the runs of a
seed together, and writes docs/results_measured.json: per variant and seed the figures of the table, and over seeds
their means and bounds; from it the tables in docs/results.md, and its pictures. What is finished is kept: run it again
to go on, also with more seeds; seeds that the file holds are not trained again, unless updates or settings are others.
Hours on two cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from commands import call
from pages import put_between
from PIL import Image

from translate.evaluation.results import LOW_QUALITY
from ussim.files import write_text

DOCS = Path(__file__).parent
MEASURED, PAGE = DOCS / "results_measured.json", DOCS / "results.md"
PICTURES = ("patches", "full_view", "error_maps")
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
VARIANTS = ("LM", "LMS", "LMSA", "SA")
NETWORK = (
    "--model", "fast", "--ngf", "16", "--batch", "4", "--crop", "256", "--set", "segmentation=acoustic",
    "--set", "attenuation=decibel", "--set", "upsample=nearest", "--set", "split=scene", "--set", "flip=true",
    "--set", "learning_rate=0.0005", "--set", "memory_gb=7", "--set", "preview_every=1000", "--set", "threads=1",
)  # fmt: skip
FIGURES = {"psnr": 1.0, "ssim": 100.0, "pkl": 100.0}
COLUMNS = {"psnr": "PSNR [dB]", "ssim": "SSIM [%]", "pkl": "pKL ×100", "frechet": "FD"}


def rows_of(report: Path) -> dict[str, dict[str, float]]:
    """Means of the figures and the Fréchet distance of each row of a report."""
    found = {}
    for row in json.loads((report / "report.json").read_text(encoding="utf-8"))["rows"]:
        figures = {name: row["whole"][name]["mean"] * scale for name, scale in FIGURES.items()}
        if row["distance"]:
            figures["frechet"] = row["distance"]["frechet"]
        found[row["name"]] = {name: round(value, 3) for name, value in figures.items()}
    return found


def over_seeds(seeds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Mean and spread of each figure of each row."""
    return {
        row: {
            figure: {
                "mean": round(float(np.mean([seed[row][figure] for seed in seeds])), 3),
                "least": min(seed[row][figure] for seed in seeds),
                "most": max(seed[row][figure] for seed in seeds),
            }
            for figure in seeds[0][row]
        }
        for row in seeds[0]
    }


def tables(measured: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    seeds = len(measured["seeds"])
    lines = [
        f"{measured['updates']:,} updates, {seeds} seeds, {measured['images']} held-out images: the mean over seeds, "
        "and in brackets the least and the most of them:",
        "",
        "| | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for row, figures in measured["over_seeds"].items():
        cells = []
        for name in COLUMNS:
            one = figures[name]
            same = one["least"] == one["most"]
            cells.append(f"{one['mean']:.2f}" if same else f"{one['mean']:.2f} [{one['least']:.2f}, {one['most']:.2f}]")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += ["", "How the variants rank, seed by seed, the best first:", "", "| figure | order |", "|---|---|"]
    for name, title in COLUMNS.items():
        orders = [" > ".join(ranked(seed, name)) for seed in measured["seeds"]]
        lines.append(f"| {title} | " + "; ".join(orders) + " |")
    return "\n".join(lines)


def ranked(seed: dict[str, dict[str, float]], figure: str) -> list[str]:
    """Rows of a seed, the best first."""
    is_better_high = figure in ("psnr", "ssim")
    return sorted(seed, key=lambda row: seed[row][figure], reverse=is_better_high)


def measured_before(updates: int, images: int) -> list[dict[str, dict[str, float]]]:
    """Figures of the seeds that were measured alike."""
    before = json.loads(MEASURED.read_text(encoding="utf-8"))
    alike = (before["updates"], before["images"], before["settings"]) == (updates, images, " ".join(NETWORK))
    return before["seeds"] if alike else []


def write_page(measured: dict[str, Any]) -> None:
    """Put the tables into the page, between its marks."""
    write_text(PAGE, put_between(PAGE.read_text(encoding="utf-8"), BEGIN, tables(measured), END))


def main() -> None:
    """Train, evaluate, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("training_set", type=Path)
    options.add_argument("output", type=Path, help="folder for runs and reports")
    options.add_argument("--updates", type=int, default=3000)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--images", type=int, default=40, help="held-out images that are evaluated")
    given = options.parse_args()
    store, seeds = given.training_set / "exam.zarr", measured_before(given.updates, given.images)[: given.seeds]
    for seed in range(len(seeds), given.seeds):
        runs = [given.output / f"seed{seed}" / variant for variant in VARIANTS]
        for run, variant in zip(runs, VARIANTS, strict=True):
            resume = ("--resume",) if run.is_dir() else ()
            settings = ("--inputs", variant, "--seed", seed, "--iterations", given.updates)
            call("translate", "train", store, "-o", run, *NETWORK, *settings, *resume)
        report = given.output / f"seed{seed}" / "report"
        if not (report / "report.json").is_file():
            call("translate", "evaluate", *runs, store, "-o", report, "--crop", 512, "--images", given.images)
        seeds.append(rows_of(report))
        if seeds[0][LOW_QUALITY] != seeds[-1][LOW_QUALITY]:
            raise SystemExit(f"{store} is another than that of the seeds in {MEASURED}: {seeds[-1][LOW_QUALITY]}")
        for name in PICTURES if seed == 0 else ():
            with Image.open(report / f"{name}.png") as picture:
                picture.convert("RGB").save(DOCS / "images" / f"results_{name}.jpg", quality=88)
    measured = {
        "updates": given.updates,
        "images": given.images,
        "settings": " ".join(NETWORK),
        "seeds": seeds,
        "over_seeds": over_seeds(seeds),
    }
    write_text(MEASURED, json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    write_page(measured)


if __name__ == "__main__":
    main()
