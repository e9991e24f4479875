"""Render one small frame and save it: run by test_cuda in a process that has the CUDA simulator on.

NUMBA_ENABLE_CUDASIM=1 python tests/support/simulate_frame.py cuda out.npz
"""

from __future__ import annotations

import sys
import warnings

import numpy as np

from support.scenes import layered_phantom, sphere
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe
from ussim.probe.quality import Quality
from ussim.render.renderer import Renderer
from ussim.scene.point import PointTarget

QUALITY = Quality(rays=2, layers=3)


def small_frame(backend: str) -> dict[str, np.ndarray]:
    """Images of all kinds of probe, maps and gain of a phantom with a bone and a cyst."""
    scene = layered_phantom(
        [("fat", 6.03), ("liver", 60)],  # the wall lies within cells of place, not on their border
        start_mm=-2,
        inclusions=[
            sphere(6, (3, 0, 20), 2, name="bone", tissue="fetal_bone", priority=102),
            sphere(5, (-9, 1, 25), 2, name="cyst", tissue="amniotic_fluid", priority=103),
        ],
        # Each near a line of one kind of probe.
        points=[PointTarget(place, 15.0) for place in ((-4.1, 0.4, 15.3), (3.2, -0.5, 31.7), (-2.6, 0.3, 30.2))],
    )
    small = {"scanlines": 8, "axial_samples": 128, "depth_mm": 40, "image_height": 48, "image_width": 64}
    renderer = Renderer(scene, ConvexProbe(**small), backend=backend, seed=3)
    pose = np.eye(4)
    tgc = renderer.fit_tgc(pose)
    maps = renderer.maps(pose)
    others = [Renderer(scene, kind(**small), backend=backend) for kind in (LinearProbe, PhasedProbe)]
    return {
        "image": np.concatenate([r.render(pose, QUALITY, frames=[5]) for r in (renderer, *others)]),
        "segmentation": maps.segmentation,
        "attenuation": maps.attenuation,
        "tgc": tgc,
    }


if __name__ == "__main__":
    # uint32 products wrap on purpose; plain Python says so each time.
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    np.savez(sys.argv[2], **small_frame(sys.argv[1]))
