"""What users write, as `make lint` sees it through the installed names: never run, only checked for types."""

from __future__ import annotations

from typing import assert_type

import numpy as np

from translate import TrainSettings
from ussim import HQ, LQ, ConvexProbe, Dataset, Imaging, LinearProbe, Quality, Renderer, Scene
from ussim.probe.settings import build_settings


def render(scene: Scene) -> np.ndarray:
    """A frame, and settings of every kind."""
    probe = ConvexProbe()
    assert_type(probe.depth_mm, float)
    assert_type(LinearProbe(depth_mm=40).width_mm, float)
    ConvexProbe(depth=40)  # type: ignore[call-arg]
    settings = build_settings(probe={"kind": "linear"}, hq={"rays": 64})
    assert_type(settings.probe.image_shape, tuple[int, int])
    assert_type([LQ, HQ, Quality()], list[Quality])
    assert_type(TrainSettings().ngf, int)
    renderer = Renderer(scene, probe, Imaging())
    poses = scene.sweeps["exam"].poses(8)
    renderer.fit_tgc(poses)
    return renderer.render(poses, HQ)


def read(path: str) -> np.ndarray:
    """A stored frame."""
    return Dataset.open(path).frame(0).segmentation
