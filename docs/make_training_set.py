"""Render what the shipped generator learns from: 4000 pairs of full size and 400 of half, in one folder of stores.

    python docs/make_training_set.py training_set

Every part but one shows the same 40 anatomies, 16 to 36 weeks, with one probe setting; so whole anatomies can be held
out of all of them (`--set split=scene`). The part `shapes` shows 40 scenes that are no anatomy. What is finished is
kept: run it again to go on. About an hour and 9 GB on two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from shapes import SWEEP, shape_sources

from ussim.dataset import job
from ussim.dataset.plan import make_plan
from ussim.dataset.series import read_series
from ussim.probe.settings import build_settings

ANATOMIES = ("--scenes", "40", "--weeks", "16-36", "--detail", "demo")
PLANES = (
    "transthalamic", "transcerebellar", "facial_profile", "abdominal_circumference", "four_chamber", "spine_sagittal",
    "spine_coronal", "femur", "placenta",
)  # fmt: skip
SHAPES, SHAPE_FRAMES = 40, 400
PARTS: dict[str, tuple[str, ...]] = {
    "exam": ("--frames", "1640"),
    "shallow": ("--frames", "400", "--set", "probe.depth_mm=110", "--set", "probe.focus_mm=50"),
    "deep": ("--frames", "400", "--set", "probe.depth_mm=180", "--set", "probe.focus_mm=100"),
    "bright": ("--frames", "400", "--set", "imaging.reference_db=12", "--set", "probe.focus_mm=60"),
    "dark": ("--frames", "400", "--set", "imaging.reference_db=24", "--set", "probe.focus_mm=90"),
    "half": ("--frames", "400", "--size", "500x693"),
    **{plane: ("--sweep", plane, "--frames", "40") for plane in PLANES},
}


def main() -> None:
    """Render all parts, or go on with them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("output", type=Path, help="folder for the stores")
    folder = options.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, arguments) in enumerate(PARTS.items()):
        store = folder / f"{name}.zarr"
        resume = ("--resume",) if store.exists() else ()
        # The split goes by the seed, which must be one for all; what else it decides is drawn anew for every frame.
        command = (
            str(Path(sys.executable).with_name("ussim")),
            "render",
            *ANATOMIES,
            *arguments,
            "-o",
            str(store),
            *resume,
        )
        print(f"{number + 1} of {len(PARTS) + 1}: {' '.join(('ussim', *command[1:]))}", flush=True)
        subprocess.run(command, check=True)
    render_shapes(folder / "shapes.zarr")


def render_shapes(store: Path) -> None:
    """The part that shows no anatomies."""
    print(f"{len(PARTS) + 1} of {len(PARTS) + 1}: shapes", flush=True)
    scene, series = read_series(shape_sources(SHAPES), SHAPE_FRAMES, SWEEP)
    plan = make_plan(scene, SHAPE_FRAMES, build_settings([], ("lq", "hq"), (1000, 1386)), SWEEP, series=series)
    job.run(plan, store, resume=store.exists())


if __name__ == "__main__":
    main()
