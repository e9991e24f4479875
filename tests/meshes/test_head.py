"""The fetal head: sulci of the medial surface, and what the standard planes of the head show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from support.anatomies import fetus

from meshes.fetus.head import CLEFT, head_parts
from meshes.fetus.plan import FetusPlan
from meshes.shapes import sdf

SEED = 5
STEP_MM = 0.35  # of the 22-week drawing


def _solid(plan: FetusPlan, name: str):
    return next(part.solid for part in head_parts(plan) if part.name == name)


def _sagittal(plan: FetusPlan, left: float) -> np.ndarray:
    """Grid (n, 3) over the hemisphere, `left` mm beside the midline, above its base."""
    y, z = np.meshgrid(np.arange(-34, 34, STEP_MM), np.arange(-4, 27, STEP_MM))
    return np.array([plan.head_at(left, *point) for point in zip(y.ravel(), z.ravel(), strict=True)])


def _sulci_mm2(weeks: float, left: float) -> float:
    """Area of pia so far beside the midline, clear of the cavum, in mm² of the 22-week drawing."""
    plan = fetus(weeks, SEED)
    points = _sagittal(plan, left)
    clear = sdf.distance(_solid(plan, "fetal_cavum"), points) > 2.0 * plan.head_scale
    return float((sdf.distance(_solid(plan, "fetal_falx"), points[clear]) < 0).sum()) * STEP_MM**2


@pytest.mark.parametrize("beside", [0.4, 2.0])
def test_medial_sulci_grow_with_age(beside):
    areas = [_sulci_mm2(weeks, CLEFT + beside) for weeks in (16, 18, 22, 30)]
    assert all(later > 1.15 * earlier for earlier, later in pairwise(areas)), areas


def test_sulci_are_shallow_and_fade_out_sideways():
    assert _sulci_mm2(18, CLEFT + 3.0) == 0.0
    assert _sulci_mm2(36, CLEFT + 6.0) == 0.0


@pytest.mark.parametrize(("weeks", "seed"), [(20, 1), (22, 5), (34, 9)])
def test_pia_lies_in_grooves_of_the_brain_inside_the_skull(weeks, seed):
    plan = fetus(weeks, seed)
    points = _sagittal(plan, CLEFT + 0.5)
    points = points[sdf.distance(_solid(plan, "fetal_cavum"), points) > 2.0 * plan.head_scale]
    pia = points[sdf.distance(_solid(plan, "fetal_falx"), points) < 0]
    assert len(pia) > 50
    assert sdf.distance(_solid(plan, "fetal_brain"), pia).min() > 0.1, "each has fluid on both sides"
    assert sdf.distance(_solid(plan, "fetal_subarachnoid"), pia).max() < 0.0


@pytest.mark.parametrize("weeks", [18, 22, 30])
def test_the_forehead_opens_in_the_midline_into_the_fontanelle(weeks):
    plan = fetus(weeks, SEED)
    skull, space = _solid(plan, "fetal_skull"), _solid(plan, "fetal_subarachnoid")
    for angle, open_mm in ((-50, 1.5), (-80, 0.5)):
        way = np.array([0.0, np.sin(np.radians(angle)), np.cos(np.radians(angle))])
        for left, bone in ((0.0, False), (open_mm, False), (6.0, True)):
            along = np.array([plan.head_at(left, *(t * way)[1:]) for t in np.arange(15, 45, 0.1)])
            wall = (sdf.distance(skull, along) < 0) & (sdf.distance(space, along) > 0)
            assert wall.any() == bone, (angle, left)
