"""The frame that all figures of docs/how_it_works.md show."""

from __future__ import annotations

import numpy as np

from meshes import cached_scene
from ussim.probe.probe import ConvexProbe
from ussim.scene.scene import Scene

SWEEP = "transthalamic"
# What a sonographer would set for a head at 40 to 90 mm.
PROBE = ConvexProbe(depth_mm=115, focus_mm=60, elevation_focus_mm=55)


def figure_scene() -> Scene:
    """The packaged scene at demo detail, seed 0, from the cache."""
    return Scene.load(cached_scene("demo", 0))


def figure_pose(scene: Scene) -> np.ndarray:
    """The plane through the thalami, (4, 4)."""
    return scene.sweep(SWEEP).poses(1)[0]
