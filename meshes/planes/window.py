"""The acoustic window: how much of the beam is lost in bone before it reaches a landmark.

A sonographer turns the probe within a plane until bone is out of the way. Here every candidate pose is judged by
straight rays from the probe's face to the landmarks of the plane: absorption along the stretch inside each bone,
and no way into the skull beyond the critical angle of its bone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meshes.mother.uterus import Lie
from meshes.shapes import sdf, solids
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid
from ussim.scene.tissue import TissueLibrary

FREQUENCY_MHZ = 3.5
SOFT_TISSUE_SPEED_M_S = 1545.0
UNSEEN_DB = 30.0  # two-way loss at which a landmark no longer stands out of the noise; losses are capped here
TISSUES = Path(__file__).parents[1] / "tissues.toml"
"""Tissues of the anatomy, beside those of the packaged library."""
STEP_MM = 1.2
SHORT_MM = 3.0  # rays end before the landmark, which may be bone itself
_BONES = (
    "fetal_skull", "fetal_face_bones", "fetal_vertebrae", "fetal_ribs", "fetal_girdles", "fetal_limb_bones",
    "maternal_pelvis",
)  # fmt: skip


@dataclass(frozen=True)
class Obstacle:
    """A bone in its own frame.

    Attributes:
        solid: its shape, without what lies inside it.
        lie: how its frame lies in the scene; None when it is the scene's.
        loss_db_mm: two-way absorption.
        critical_sine: sine of the angle of incidence beyond which nothing enters; 1 for bones that are not plates.
    """

    solid: Solid
    lie: Lie | None
    loss_db_mm: float
    critical_sine: float = 1.0

    def local(self, points: np.ndarray) -> np.ndarray:
        """Scene frame → frame of the solid."""
        return points if self.lie is None else self.lie.to_fetus(points)


def obstacles(parts: Sequence[Part], lie: Lie) -> list[Obstacle]:
    """The bones among the parts of an anatomy; the skull as the plate that it is."""
    solid = {part.name: part.solid for part in parts}
    library = TissueLibrary.load(TISSUES)
    found = []
    for part in parts:
        if part.name not in _BONES:
            continue
        tissue = library[part.tissue]
        loss = 2.0 * 0.1 * tissue.attenuation_db_cm(FREQUENCY_MHZ)
        frame = lie if part.group == "fetus" else None
        if part.name == "fetal_skull":
            plate = solids.subtract(part.solid, solid["fetal_subarachnoid"])
            found.append(Obstacle(plate, frame, loss, SOFT_TISSUE_SPEED_M_S / tissue.speed_m_s))
        else:
            found.append(Obstacle(part.solid, frame, loss))
    return found


def ray_losses_db(bones: Sequence[Obstacle], starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Two-way loss in bone along straight rays, dB, (n,), capped at UNSEEN_DB.

    Args:
        bones: what is in the way.
        starts, ends: (n, 3) points in the scene frame, mm.
    """
    if not len(starts):
        return np.zeros(0)
    way = ends - starts
    length = np.linalg.norm(way, axis=1)
    way = way / length[:, None]
    reach = np.maximum(length - SHORT_MM, STEP_MM)
    steps = int(np.ceil(reach.max() / STEP_MM))
    step = reach / steps  # of each ray
    along = (np.arange(steps) + 0.5) * step[:, None]
    points = (starts[:, None] + along[..., None] * way[:, None]).reshape(-1, 3)
    loss = np.zeros(len(starts))
    for bone in bones:
        local = bone.local(points)
        close = np.all((local > bone.solid.low_mm - STEP_MM) & (local < bone.solid.high_mm + STEP_MM), axis=1)
        if not close.any():
            continue
        distance = np.full(len(points), np.inf)
        distance[close] = sdf.distance(bone.solid, local[close])
        depth = distance.reshape(len(starts), steps)
        share = np.clip(0.5 - depth / step[:, None], 0.0, 1.0)  # of each step that lies inside
        loss += bone.loss_db_mm * share.sum(axis=1) * step
        if bone.critical_sine < 1.0:
            loss += np.where(_turned_away(bone, depth, local.reshape(len(starts), steps, 3), way), UNSEEN_DB, 0.0)
    return np.minimum(loss, UNSEEN_DB)


def _turned_away(bone: Obstacle, depth: np.ndarray, local: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Which rays meet a plate beyond its critical angle."""
    inside = depth < 0
    met = inside.any(axis=1)
    away = np.zeros(len(way), bool)
    if met.any():
        entry = local[met, inside[met].argmax(axis=1)]
        direction = way[met] if bone.lie is None else way[met] @ bone.lie.rotation
        cosine = np.abs(np.sum(sdf.normal(bone.solid, entry, 0.2) * direction, axis=1))
        away[met] = np.sqrt(np.maximum(1.0 - cosine**2, 0.0)) > bone.critical_sine
    return away
