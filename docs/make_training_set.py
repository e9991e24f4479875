"""Render what the shipped generator learns from: 5840 pairs of full size and 400 of half, in one folder of stores.

    python docs/make_training_set.py training_set
    python docs/make_training_set.py small_set --share 4        # a quarter of the frames

Every part but three shows the same 40 anatomies, 16 to 36 weeks, with one probe setting; so whole anatomies can be held
out of all of them (`--set split=scene`). The parts `shapes`, `plain` and `solids` show 40, 40 and 160 scenes that are
no anatomy. What is finished is kept: run it again to go on. More than an hour and about 10 GB on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from commands import call
from shapes import SWEEP, plain_scene, shape_scene, solid_scene, sources

from ussim.dataset import job
from ussim.dataset.plan import make_plan
from ussim.dataset.series import read_series
from ussim.probe.settings import build_settings
from ussim.scene.scene import Scene

SCENES = 40
ANATOMIES = ("--scenes", str(SCENES), "--weeks", "16-36", "--detail", "demo")
PLANES = (
    "transthalamic", "transcerebellar", "facial_profile", "abdominal_circumference", "four_chamber", "spine_sagittal",
    "spine_coronal", "femur", "placenta",
)  # fmt: skip
PARTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "exam": (1640, ()),
    "shallow": (400, ("--set", "probe.depth_mm=110", "--set", "probe.focus_mm=50")),
    "deep": (400, ("--set", "probe.depth_mm=180", "--set", "probe.focus_mm=100")),
    "bright": (400, ("--set", "imaging.reference_db=12", "--set", "probe.focus_mm=60")),
    "dark": (400, ("--set", "imaging.reference_db=24", "--set", "probe.focus_mm=90")),
    "half": (400, ("--size", "500x693")),
    **{plane: (SCENES, ("--sweep", plane)) for plane in PLANES},
}
"""Frames of each part that shows anatomies, and its settings."""
FOREIGN = {"shapes": (shape_scene, 40, 800), "plain": (plain_scene, 40, 800), "solids": (solid_scene, 160, 640)}
"""Each part that shows no anatomies: what makes its scenes, how many of them, frames."""
LEAST_A_SCENE = 4
"""Frames of a scene that is no anatomy."""


def main() -> None:
    """Render all parts, or go on with them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("output", type=Path, help="folder for the stores")
    options.add_argument("--share", type=int, default=1, help="of the frames, one in so many; of a plane one a scene")
    given = options.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for name, (frames, settings) in PARTS.items():
        store = given.output / f"{name}.zarr"
        wanted = ("--frames", str(max(frames // given.share, SCENES)))
        resume = ("--resume",) if store.exists() else ()
        # The split goes by the seed, which must be one for all; what else it decides is drawn anew for every frame.
        call("ussim", "render", *ANATOMIES, *wanted, *settings, "-o", store, *resume)
    for name, (make, scenes, frames) in FOREIGN.items():
        print(name, flush=True)
        render_foreign(make, scenes, max(frames // given.share, LEAST_A_SCENE * scenes), given.output / f"{name}.zarr")


def render_foreign(make: Callable[[int], Scene], scenes: int, frames: int, store: Path) -> None:
    """A part that shows no anatomies."""
    scene, series = read_series(sources(make, scenes), frames, SWEEP)
    plan = make_plan(scene, frames, build_settings([], ("lq", "hq"), (1000, 1386)), SWEEP, series=series)
    job.run(plan, store, resume=store.exists())


if __name__ == "__main__":
    main()
