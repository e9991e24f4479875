"""How much room the fetus has: the figures of docs/anatomy.md on fluid, weight and limbs.

python tests/bench/fetal_room.py [--seeds 20] [--weeks 28 32 36]

At each age, over the seeds: fetal weight against Hadlock's median, fluid held against fluid drawn. Then, with the ages
stepping through 16 to 36 weeks, the share of the limbs' surface that has no film of fluid over it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.anatomy_seeds import weeks_of
from support.anatomies import FILM_MM, fetus, fluid_ml_and_weight_g, grown_together, usual_weight_g

from meshes.build import plan_anatomy
from meshes.fetus import limbs
from meshes.fetus.body import outline
from meshes.mother.uterus import fluid_volume_ml


def report_room(weeks: float, seeds: range) -> None:
    """Prints medians and ranges of weight and fluid at one age."""
    weight, fluid = [], []
    for seed in seeds:
        anatomy = plan_anatomy(weeks, seed)
        held_ml, weight_g = fluid_ml_and_weight_g(anatomy, 4.0)
        weight.append(weight_g / usual_weight_g(weeks))
        fluid.append(held_ml / fluid_volume_ml(weeks, anatomy.variation.fluid_factor))
    for name, ratios in (("weight / Hadlock", weight), ("fluid held / drawn", fluid)):
        text = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(
            f"{weeks:g} weeks  {name}: {text}, {np.sum(np.array(ratios) > 1.25)} of {len(seeds)} above 1.25", flush=True
        )


def report_limbs(seeds: range) -> None:
    """Prints the share of the limbs without a film of fluid, arms and legs apart."""
    shares = []
    for seed in seeds:
        plan = fetus(weeks_of(seed), seed)
        shares.append([grown_together(plan, outline(plan), *limb) for limb in limbs.limbs(plan)])
    arms, legs = np.array(shares)[:, :2], np.array(shares)[:, 2:]
    for name, of_limb in (("arms", arms), ("legs", legs)):
        print(f"{name} without {FILM_MM} mm of fluid: {of_limb.mean():.1%}, at most {of_limb.max():.1%}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--weeks", type=float, nargs="*", default=[28, 32, 36])
    options = parser.parse_args()
    for weeks in options.weeks:
        report_room(weeks, range(options.seeds))
    report_limbs(range(options.seeds))


if __name__ == "__main__":
    main()
