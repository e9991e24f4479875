"""Simulated ultrasound by Monte-Carlo ray tracing of triangle meshes.

from ussim import HQ, Renderer, Scene

scene = Scene.load("scene/scene.toml")
poses = scene.sweeps["exam"].poses(8)
renderer = Renderer(scene)
renderer.fit_tgc(poses)
images = renderer.render(poses, HQ)        # (8, 1000, 1386) uint8
maps = renderer.maps(poses)                # segmentation and attenuation of the same frames
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Names are imported when first used: numba and trimesh take seconds, `ussim --help` must not. For type checkers they
# stand in __init__.pyi.
_HOMES = {
    "ConvexProbe": "probe.probe",
    "Dataset": "dataset.store",
    "HQ": "probe.quality",
    "Imaging": "probe.imaging",
    "LQ": "probe.quality",
    "LinearProbe": "probe.probe",
    "PhasedProbe": "probe.probe",
    "Quality": "probe.quality",
    "REFERENCE": "probe.quality",
    "Renderer": "render.renderer",
    "Scene": "scene.scene",
    "Surface": "scene.surface",
    "TissueLibrary": "scene.tissue",
    "UssimError": "errors",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ussim.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ussim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
