"""Frames by which the backends are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from support.scenes import layered_phantom, sphere
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe
from ussim.probe.quality import HQ, LQ, Quality
from ussim.render.renderer import Renderer
from ussim.scene.point import PointTarget
from ussim.scene.scene import Scene

SMALL = {"scanlines": 24, "axial_samples": 256, "depth_mm": 40, "image_height": 48, "image_width": 64}
FEW = Quality(rays=2, layers=3)


def phantom() -> Scene:
    """Two layers with a bone, a cyst and points, each near a line of one kind of probe."""
    return layered_phantom(
        [("fat", 6.03), ("liver", 150)],  # the wall lies within cells of place, not on their border
        start_mm=-2,
        inclusions=[
            sphere(6, (3, 0, 20), 3, name="bone", tissue="fetal_bone", priority=102),
            sphere(5, (-9, 1, 25), 3, name="cyst", tissue="amniotic_fluid", priority=103),
            sphere(25, (20, 4, 95), 4, name="lung", tissue="fetal_lung", priority=104),
        ],
        points=[PointTarget(place, 15.0) for place in ((-4.1, 0.4, 15.3), (3.2, -0.5, 31.7), (-2.6, 0.3, 30.2))],
    )


def full_frame(backend: Any, scene: Scene, pose: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Both qualities and all maps at full size."""
    pose = np.eye(4) if pose is None else pose
    renderer = Renderer(scene, ConvexProbe(), backend=backend, seed=3)
    tgc = renderer.fit_tgc(pose)
    maps = renderer.maps(pose)
    return {
        "lq": renderer.render(pose, LQ, frames=[5]),
        "hq": renderer.render(pose, HQ, frames=[5]),
        "segmentation": maps.segmentation,
        "attenuation": maps.attenuation,
        "scale": maps.attenuation_scale,
        "tgc": tgc,
    }


def small_frames(backend: Any, scene: Scene) -> dict[str, np.ndarray]:
    """Small frames of the other kinds of probe."""
    frames = {}
    for kind in (LinearProbe, PhasedProbe):
        renderer = Renderer(scene, kind(**SMALL), backend=backend)
        renderer.fit_tgc(np.eye(4))
        frames[kind.__name__] = renderer.render(np.eye(4), FEW)
    return frames
