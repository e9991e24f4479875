"""The limbs of the fetus: free of trunk, head and one another, with segments of the right length."""

from __future__ import annotations

import numpy as np
import pytest
from support.anatomies import fetus, grown_together

from meshes.fetus import limbs
from meshes.fetus.attitude import ARM_LENGTHS, LEG_LENGTHS, SHARPEST
from meshes.fetus.body import outline


@pytest.mark.parametrize(("weeks", "seed", "most"), [(18, 16, 0.02), (22, 6, 0.05), (28, 12, 0.12), (36, 13, 0.12)])
def test_limbs_are_not_grown_together_with_the_body_beyond_their_roots(weeks, seed, most):
    plan = fetus(weeks, seed)
    skin = outline(plan)
    shares = [grown_together(plan, skin, *limb) for limb in limbs.limbs(plan)]
    assert max(shares) < most  # what is left borders on the roots: groin and armpit


@pytest.mark.parametrize(("weeks", "seed"), [(22, 5), (35, 5)])
def test_settling_keeps_the_lengths_of_segments_and_bends_no_joint_too_far(weeks, seed):
    plan = fetus(weeks, seed)
    for limb, girth in limbs.limbs(plan):
        lengths = ARM_LENGTHS if girth is limbs.ARM else LEG_LENGTHS
        joints = np.array([limb.root, limb.middle, limb.end, limb.tip])
        segments = np.diff(joints, axis=0)
        np.testing.assert_allclose(np.linalg.norm(segments, axis=1), np.array(lengths) * plan.growth.fl_mm)
        upper, lower = (v / np.linalg.norm(v) for v in segments[:2])
        assert -upper @ lower < SHARPEST + 0.02
