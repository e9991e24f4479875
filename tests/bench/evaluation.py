"""Seconds that ``translate evaluate`` takes for untrained generators, and where they go.

    PYTHONPATH=.:tests python tests/bench/evaluation.py STORE
        [--runs 3] [--ngf 16] [--crops 4] [--crop 512] [--engine torch]

All frames of the store count as test frames, in a copy of it: 25 full-size frames give the 100 crops of the goal.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import tempfile
from pathlib import Path

import zarr
from support.translate_runs import untrained_run

from translate.evaluation.evaluate import evaluate
from translate.settings import TrainSettings
from translate.use.inference import ENGINES

VARIANTS = ("LM", "LMS", "LMSA")
SHOWN = (
    "inference.py:.*enhance|scores.py:.*score_crops|collect.py:.*(_add_textures|result|_distance|_speckle_of)|report.py:.*save|"
    "features.py:.*__call__|store.py:.*frame|speckle.py:.*(select|samples)"
)


def main() -> None:
    """Prints the time and its shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ngf", type=int, default=16)
    parser.add_argument("--crops", type=int, default=4)
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--engine", choices=ENGINES, default="torch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = shutil.copytree(options.store, folder / "store.zarr")
        zarr.open_group(store, mode="r+")["split"][:] = 1
        runs = []
        for number in range(options.runs):
            settings = TrainSettings.make(inputs=VARIANTS[number % 3], ngf=options.ngf, crop=256, seed=number)
            runs.append(untrained_run(folder / f"run{number}", store, settings))
        profile = cProfile.Profile()
        report = profile.runcall(
            evaluate, runs, store, folder / "report",
            crops=options.crops, crop=options.crop, device="cpu", engine=options.engine,
        )  # fmt: skip
        result = report.evaluation
        print(
            f"{result.seconds:.1f} s: {options.runs} runs, {result.test_images} images, {result.crops} crops, "
            f"load {os.getloadavg()[0]:.1f}"
        )
        pstats.Stats(profile).sort_stats("cumulative").print_stats(SHOWN)


if __name__ == "__main__":
    main()
