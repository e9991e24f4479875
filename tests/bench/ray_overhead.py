"""What the engine Ray costs beside this process alone, on small frames, where it costs most.

    PYTHONPATH=.:tests python tests/bench/ray_overhead.py

Both render the same store, with the same number of threads, one worker against this process. Start-up (the cluster, its
workers) is said separately, and so is what a run without any frame takes; the goal is at most 15 % for the rest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from support import scenes

from ussim.dataset import job, ray_engine
from ussim.dataset.plan import Plan, make_plan
from ussim.probe.settings import build_settings
from ussim.ray_actors import cluster_at
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep, SweepKey

SMALL = ("probe.scanlines=64", "probe.axial_samples=768", "hq.rays=8")


def plan(frames: int, size: tuple[int, int]) -> Plan:
    """Frames of a ball of liver with a stone in it."""
    ends = [SweepKey(position_mm=(x, 0.0, 0.0), axial=(0, 0, 1), lateral=(1, 0, 0)) for x in (-8.0, 8.0)]
    ball = scenes.sphere(60, centre=(0, 0, 65), tissue="liver")
    stone = scenes.sphere(8, centre=(0, 0, 45), tissue="fetal_bone", name="stone", subdivisions=2)
    scene = Scene.from_surfaces([ball, stone], sweeps={"exam": Sweep("exam", tuple(ends))}, name="ball")
    return make_plan(scene, frames, build_settings(SMALL, size=size), backend="cpu")


class Clock:
    """Takes the time of the phase ``render`` alone."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        if phase == "render":
            self.began = self.began or time.perf_counter()
            self.ended = time.perf_counter()


def rendering(work: Plan, on_ray: bool) -> tuple[float, float]:
    """Seconds in which the frames were rendered, and all of the run."""
    clock, folder = Clock(), Path(tempfile.mkdtemp())
    start = time.perf_counter()
    try:
        if on_ray:
            ray_engine.run(work, folder / "a.zarr", count=1, progress=clock)
        else:
            job.run(work, folder / "a.zarr", progress=clock)
        return clock.ended - clock.began, time.perf_counter() - start
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--size", type=int, nargs=2, default=(250, 346), metavar=("H", "W"))
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    work = plan(given.frames, tuple(given.size))
    job.run(plan(8, tuple(given.size)), Path(tempfile.mkdtemp()) / "a.zarr")  # compiles
    here: list[tuple[float, float]] = []
    there: list[tuple[float, float]] = []
    start = time.perf_counter()
    with cluster_at(None):
        cluster = time.perf_counter() - start
        for _ in range(given.repeats):  # in turn, so that what else the machine does meets both
            here.append(rendering(work, on_ray=False))
            there.append(rendering(work, on_ray=True))
    local, spread = median(frames for frames, _ in here), median(frames for frames, _ in there)
    rest = median(whole - frames for frames, whole in here), median(whole - frames for frames, whole in there)
    print(
        f"{given.frames} frames of {given.size[0]} x {given.size[1]}, {os.cpu_count()} cores, median of {given.repeats}"
    )
    print(f"here   {local:6.2f} s for the frames, {rest[0]:5.2f} s for the rest")
    print(f"Ray    {spread:6.2f} s for the frames, {rest[1]:5.2f} s for the rest, {cluster:.2f} s for the cluster")
    print(f"overhead {100 * (spread / local - 1):.1f} % (goal: at most 15 %)")


if __name__ == "__main__":
    main()
