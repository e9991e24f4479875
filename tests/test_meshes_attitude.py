"""The limbs of the fetus: free of trunk, head and one another, with segments of the right length."""

from __future__ import annotations

import numpy as np
import pytest

from meshes import fetus_limbs, mesher, sdf
from meshes.attitude import ARM_LENGTHS, LEG_LENGTHS, SHARPEST, plan_fetus
from meshes.fetus import outline
from meshes.growth import grow
from meshes.variation import draw

FILM_MM = 0.8


def fetus(weeks, seed):
    variation = draw(weeks, seed)
    return plan_fetus(grow(weeks, variation.head_z, variation.abdomen_z, variation.femur_z), variation)


def grown_together(plan, skin, limb, girth):
    """Share of a limb's surface, beyond the part that may be one with the trunk, without a film of fluid over it."""
    free = fetus_limbs.free_part(plan, limb, girth)
    points = mesher.to_mesh(mesher.surface(free, plan.limb_scale, "limb")).vertices_mm.astype(float)
    axis = (limb.middle - limb.root) / np.linalg.norm(limb.middle - limb.root)
    points = points[(points - limb.root) @ axis > fetus_limbs.ROOT * np.linalg.norm(limb.middle - limb.root)]
    points = points - sdf.distance(free, points)[:, None] * sdf.normal(free, points)
    above = points + FILM_MM * sdf.normal(free, points)
    in_own_fold = sdf.distance(free, above) < 0.7 * FILM_MM
    return ((sdf.distance(skin, above) < 0) & ~in_own_fold).mean()


@pytest.mark.parametrize(("weeks", "seed", "most"), [(18, 16, 0.02), (22, 6, 0.05), (28, 12, 0.12), (36, 13, 0.12)])
def test_limbs_are_not_grown_together_with_the_body_beyond_their_roots(weeks, seed, most):
    plan = fetus(weeks, seed)
    skin = outline(plan)
    shares = [grown_together(plan, skin, *limb) for limb in fetus_limbs.limbs(plan)]
    assert max(shares) < most  # what is left borders on the roots: groin and armpit


@pytest.mark.parametrize(("weeks", "seed"), [(22, 5), (35, 5)])
def test_settling_keeps_the_lengths_of_segments_and_bends_no_joint_too_far(weeks, seed):
    plan = fetus(weeks, seed)
    for limb, girth in fetus_limbs.limbs(plan):
        lengths = ARM_LENGTHS if girth is fetus_limbs.ARM else LEG_LENGTHS
        joints = np.array([limb.root, limb.middle, limb.end, limb.tip])
        segments = np.diff(joints, axis=0)
        np.testing.assert_allclose(np.linalg.norm(segments, axis=1), np.array(lengths) * plan.growth.fl_mm)
        upper, lower = (v / np.linalg.norm(v) for v in segments[:2])
        assert -upper @ lower < SHARPEST + 0.02
