"""A handful of the seeds that tests/bench/anatomy_seeds.py goes through."""

from __future__ import annotations

import pytest
from bench.anatomy_seeds import nesting_faults, pose_faults
from support.anatomies import anatomy_of, sweeps_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("weeks", "seed"), [(16, 21), (20, 6), (27, 2)])
def test_an_anatomy_is_nested_and_its_poses_touch_the_skin(weeks, seed):
    anatomy = anatomy_of(weeks, seed)
    assert nesting_faults(anatomy) == []
    assert pose_faults(anatomy, sweeps_of(weeks, seed)) == []
