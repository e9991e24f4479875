"""Scenes and measurements for the beam of an aperture."""

from __future__ import annotations

import numpy as np
import trimesh

from support.phantoms import scene_of, tissue
from support.scenes import box, surface
from ussim.probe.quality import Quality
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface

FLESH = tissue("flesh")
# Lets nothing pass and sends nothing back: 80 dB/mm one way, of the same impedance as flesh.
ABSORBER = tissue("absorber", attenuation_db_cm_mhz=100.0, scatter_density=0.0)


def block(material: str = "flesh") -> Surface:
    """Fills every image and reaches behind the probe."""
    return box((400, 400, 600), (0, 0, 100), tissue=material, name="block", priority=1)


def rod(radius_mm: float, depth_mm: float, material: str = "absorber", sections: int = 256) -> Surface:
    """A cylinder across the image plane, its axis under the middle of a probe that looks along z."""
    mesh = trimesh.creation.cylinder(radius=radius_mm, height=200, sections=sections)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    mesh.apply_translation([0, 0, depth_mm])
    return surface(mesh, name="rod", tissue=material, priority=5)


def behind(*obstacles: Surface) -> Scene:
    """Flesh with absorbers in it."""
    return scene_of([block(), *obstacles], FLESH, ABSORBER)


def beside_each_other(frames: int, apart_mm: float = 20.0) -> np.ndarray:
    """(frames, 4, 4) poses that look along z, so far apart in elevation that no scatterer is seen twice."""
    poses = np.stack([np.eye(4)] * frames)
    poses[:, 1, 3] = apart_mm * np.arange(frames)
    return poses


def seen(r: Renderer, quality: Quality) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the nodes [mm] and the two-way amplitude there, (scanlines, nodes), of the central layer."""
    r.baseband(np.eye(4), quality)
    beam, work = r._aperture.beam(quality), r._aperture.arrays(1, quality)
    amplitude = work.seen.reshape(r.probe.scanlines, quality.layers, -1)[:, quality.layers // 2]
    return np.arange(int(beam.nodes)) * float(beam.node_mm), amplitude.copy()
