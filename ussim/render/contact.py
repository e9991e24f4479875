"""Does a probe touch the body? The distance from its face to the first surface."""

from __future__ import annotations

import numpy as np

from ussim.jit import device
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels.hits import FAR_MM, first_hit, surfaces_around
from ussim.render.tables import geometry_table
from ussim.scene.scene import Scene


def contact_gap_mm(scene: Scene, poses: np.ndarray) -> np.ndarray:
    """Distance from the centre of the face along the probe's axis to the scene's first surface.

    Args:
        scene: What is scanned.
        poses: (n, 4, 4), probe → scene, mm.

    Returns:
        (n,) float64 [mm]; 0 where the centre of the face is inside a surface, inf where nothing lies ahead.
    """
    return _gaps(geometry_table(scene), np.ascontiguousarray(poses, np.float32))


@device
def _gaps(geometry, poses):
    stack = np.empty(STACK_SIZE, np.int32)
    stack_t = np.empty(STACK_SIZE, np.float32)
    gaps = np.zeros(poses.shape[0])
    for i in range(poses.shape[0]):
        x, y, z = poses[i, 0, 3], poses[i, 1, 3], poses[i, 2, 3]
        dx, dy, dz = poses[i, 0, 2], poses[i, 1, 2], poses[i, 2, 2]
        if surfaces_around(geometry, x, y, z, -dx, -dy, -dz, stack, stack_t) == np.uint64(0):
            t, triangle = first_hit(geometry, x, y, z, dx, dy, dz, FAR_MM, np.int32(-1), stack, stack_t)
            gaps[i] = t if triangle >= 0 else np.inf
    return gaps
