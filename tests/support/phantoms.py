"""Uniform and layered phantoms for the physics tests, with everything off that a test does not ask for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from support.scenes import box
from ussim.probe.imaging import Imaging
from ussim.probe.probe import LinearProbe, Probe
from ussim.render.renderer import Renderer
from ussim.scene.point import PointTarget
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.tissue import Tissue, TissueLibrary

PLAIN = {
    "speed_m_s": 1540.0,
    "density_kg_m3": 1000.0,
    "attenuation_db_cm_mhz": 0.0,
    "scatter_mean": 0.0,
    "scatter_density": 1.0,
    "scatter_std": 1.0,
    "roughness_exponent": 1e6,
    "thickness_mm": 0.0,
    "source": "test",
}
QUIET = {"attenuation_scale": 1.0, "noise_db": -300.0, "interface_gain_db": -120.0}


def tissue(name: str, **values) -> Tissue:
    """A tissue of 1540 m/s and 1 MRayl-and-a-half, lossless, dense scatterers of unit strength."""
    return Tissue(name=name, **{**PLAIN, **values})


def scene_of(
    surfaces: Sequence[Surface], *tissues: Tissue, background: str = "gel", points: Sequence[PointTarget] = ()
) -> Scene:
    """A scene of these surfaces whose tissues are these and the packaged ones."""
    library = dict(TissueLibrary.load())
    library |= {t.name: t for t in tissues}
    return Scene.from_surfaces(surfaces, background, TissueLibrary(library), points=points)


def uniform(material: Tissue) -> Scene:
    """One block that fills every image and reaches behind the probe."""
    return scene_of([box((400, 400, 600), (0, 0, 100), tissue=material.name)], material)


def small_linear(**values) -> LinearProbe:
    """A linear probe of 128 lines over 40 mm and 50 mm depth, sampled every 48.8 µm."""
    fields = {"scanlines": 128, "width_mm": 40.0, "depth_mm": 50.0, "axial_samples": 1024}
    return LinearProbe(**{**fields, "image_height": 200, "image_width": 160, **values})


def renderer(scene: Scene, probe: Probe | None = None, seed: int = 0, **imaging) -> Renderer:
    """A CPU renderer without noise, loss scaling or interface echoes, unless asked for."""
    return Renderer(scene, probe or small_linear(), Imaging(**{**QUIET, **imaging}), backend="cpu", seed=seed)


def decibel(power) -> np.ndarray:
    """10·log10."""
    return 10 * np.log10(power)
