"""A head in a block of flesh, with two standing planes and a sweep: what the page is tried on."""

from __future__ import annotations

import numpy as np

from support.scenes import box, sphere
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep, SweepKey

DEPTH_MM = 60.0
"""Of the head's middle."""
RADIUS_MM = 30.0


def head_scene() -> Scene:
    """The skin is the plane z = 0, the body below it; the skull a ball of 30 mm radius, 60 mm deep."""
    middle = (0.0, 0.0, DEPTH_MM)
    surfaces = [
        box((240, 200, 200), (0, 0, 100), name="body", tissue="soft_tissue", priority=1, group="mother"),
        sphere(RADIUS_MM, middle, 4, name="fetal_skull", tissue="bone", priority=2, group="fetus"),
        sphere(RADIUS_MM - 2, middle, 4, name="fetal_brain", tissue="brain", priority=3, group="fetus"),
    ]
    upright = SweepKey((0, 0, 2), (0, 0, 1), (1, 0, 0))
    aside = SweepKey((30, 0, 2), (-0.3, 0, 1), (1, 0, 0.3))
    sweeps = [
        Sweep("pass", (SweepKey((-20, 0, 2), (0, 0, 1), (1, 0, 0)), SweepKey((20, 5, 2), (0, 0, 1), (1, 0, 0)))),
        Sweep("transthalamic", (upright,), "The head, straight"),
        Sweep("oblique", (aside,), "The head from the side"),
    ]
    return Scene.from_surfaces(surfaces, sweeps={one.name: one for one in sweeps}, name="head")


def pose_at(x_mm: float, y_mm: float = 0.0) -> np.ndarray:
    """Straight down from a point of the skin."""
    pose = np.eye(4)
    pose[:3, 3] = (x_mm, y_mm, 0.0)
    return pose
