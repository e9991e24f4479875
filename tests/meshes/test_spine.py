"""The spine from the side: both rows of arches can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from support.anatomies import anatomy_of, sweeps_of

from meshes.planes import poses, window
from meshes.planes.standard import standard_planes

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 7, 13])
def test_the_near_arches_leave_the_far_row_to_be_seen(seed):
    anatomy = anatomy_of(22, seed)
    (key,) = next(sweep for sweep in sweeps_of(22, seed) if sweep.name == "spine_coronal").keys
    position_mm, axial, lateral = map(np.array, vars(key).values())
    (tilts,) = [
        several for several in standard_planes(anatomy.fetus, anatomy.uterus) if several[0].name == "spine_coronal"
    ]
    plane = min(tilts, key=lambda one: abs(one.normal @ axial) + abs(one.normal @ lateral))
    starts, ends, in_sector = poses.scan_lines(plane, position_mm, axial)
    assert in_sector.all()
    assert len(ends) >= 14, "seven vertebrae or more, both arches of each"
    bones = window.obstacles(anatomy.parts, anatomy.uterus.lie)
    depth = np.linalg.norm(ends - starts, axis=1).reshape(-1, 2)
    loss = window.ray_losses_db(bones, starts, ends).reshape(-1, 2)
    far = np.take_along_axis(loss, depth.argmax(axis=1)[:, None], axis=1)
    assert far.max() < 9.0, "dB there and back: well inside the dynamic range of a picture"
