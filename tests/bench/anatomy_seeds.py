"""Builds many anatomies at tiny detail and reports what is wrong with them.

python tests/bench/anatomy_seeds.py [--seeds 50] [--first 0] [--processes 2]

For every seed: open surfaces, children outside their parents (sampled), poses off the skin. The ages step through
16 to 36 weeks. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# child, parent, share of the child that may lie outside: sutures and fontanelles are holes in the skull
NESTED = (
    ("fetal_brain", "fetal_subarachnoid", 0.0),
    ("fetal_subarachnoid", "fetal_skull", 0.06),
    ("fetal_skull", "fetal_skin", 0.0),
    ("fetal_heart_chambers", "fetal_heart_muscle", 0.0),
    ("fetal_heart_muscle", "fetal_muscle", 0.0),
    ("fetal_lungs", "fetal_muscle", 0.0),
    ("fetal_liver", "fetal_muscle", 0.0),
    ("fetal_stomach", "fetal_muscle", 0.0),
    ("fetal_bladder", "fetal_muscle", 0.0),
    ("fetal_kidneys", "fetal_muscle", 0.0),
    ("fetal_vertebrae", "fetal_muscle", 0.0),
    ("fetal_ribs", "fetal_muscle", 0.0),
    ("fetal_limb_bones", "fetal_skin", 0.0),
    ("fetal_spinal_cord", "fetal_spinal_canal", 0.0),
    ("maternal_bladder", "maternal_bladder_wall", 0.0),
    ("amniotic_fluid", "uterus", 0.0),
    ("uterus", "maternal_skin", 0.0),
    ("cord_vessels", "cord", 0.0),
    ("fetal_skin", "amniotic_fluid", 0.0),
)
DEEPEST_MM, SAMPLES = 0.3, 20_000


def weeks_of(seed: int) -> float:
    """An age for each seed, stepping through the allowed range."""
    return 16.0 + (seed * 8) % 21


def nesting_faults(anatomy, pairs=NESTED) -> list[str]:
    """Children that reach out of their parents by more than the surface's own relief."""
    from meshes.shapes import sdf

    parts, faults = {part.name: part for part in anatomy.parts}, []
    rng = np.random.default_rng(0)
    for child, parent, allowed in pairs:
        solid = parts[child].solid
        points = solid.low_mm + rng.random((SAMPLES, 3)) * (solid.high_mm - solid.low_mm)
        inside = points[sdf.distance(solid, points) < 0]
        if parts[child].group == "fetus" and parts[parent].group == "mother":
            inside = anatomy.uterus.lie.to_scene(inside)
        depth = sdf.distance(parts[parent].solid, inside)
        share = float((depth > DEEPEST_MM).mean())
        if share > allowed:
            faults.append(f"{child} outside {parent}: {share:.2%}, by up to {depth.max():.1f} mm")
    return faults


def pose_faults(anatomy, sweeps) -> list[str]:
    """Poses whose face is not at the skin, or that look past the body."""
    from meshes.planes.poses import PRESS_MM
    from meshes.shapes import sdf

    faults, skin = [], anatomy.mother.skin
    for sweep in sweeps:
        for number, key in enumerate(sweep.keys):
            position_mm, axial = np.array(key.position_mm), np.array(key.axial)
            depth = -float(sdf.distance(skin, position_mm)[0])
            ahead = -float(sdf.distance(skin, position_mm + 40 * axial)[0])
            if not 0.0 <= depth <= PRESS_MM + 0.5 or ahead < 15.0:
                faults.append(f"{sweep.name} key {number}: {depth:.1f} mm in the skin, {ahead:.1f} mm 40 mm ahead")
    return faults


def check_seed(seed: int) -> tuple[int, float, float, list[str]]:
    """Seed, age, seconds and faults of one anatomy."""
    from meshes import build_scene
    from meshes.build import plan_anatomy, plan_sweeps
    from ussim.errors import UssimError
    from ussim.scene.scene import Scene

    weeks, began, faults = weeks_of(seed), time.perf_counter(), []
    try:
        anatomy = plan_anatomy(weeks, seed)
        faults += nesting_faults(anatomy) + pose_faults(anatomy, plan_sweeps(anatomy))
        with tempfile.TemporaryDirectory() as folder:
            path = build_scene("tiny", Path(folder), seed=seed, weeks=weeks)
            faults += [f"{report.name}: {report.verdict}" for report in Scene.inspect(path) if not report.ok]
    except UssimError as error:  # the builder's errors; anything else is a bug and ends this program
        faults.append(f"not built: {error}")
    return seed, weeks, time.perf_counter() - began, faults


def main() -> int:
    """Check the seeds and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    bad = 0
    with get_context("spawn").Pool(options.processes) as pool:
        seeds = range(options.first, options.first + options.seeds)
        for seed, weeks, seconds, faults in pool.imap(check_seed, seeds):
            bad += bool(faults)
            print(f"seed {seed:3d} {weeks:4.1f} weeks {seconds:5.1f} s  {'; '.join(faults) or 'sound'}", flush=True)
    print(f"{options.seeds - bad} of {options.seeds} seeds are sound")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
