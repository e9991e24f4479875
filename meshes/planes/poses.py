"""Where the probe stands: sweeps over the abdominal skin and standard planes.

A key is a position at the skin (the centre of the probe face, pressed in a little), the beam's axis and the lateral
direction of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshes.errors import SurfaceError
from meshes.planes.window import UNSEEN_DB, Obstacle, ray_losses_db
from meshes.shapes import sdf
from meshes.shapes.solids import Solid
from ussim.scene.sweep import Sweep, SweepKey

PRESS_MM = 4.0
# the probe that the standard planes are chosen for: the default of the simulator
FACE_RADIUS_MM, HALF_ANGLE_DEG, DEEPEST_MM = 40.0, 33.0, 140.0
DEPTH_DB_MM = 0.35  # two-way loss in soft tissue: 0.5 dB/cm/MHz at 3.5 MHz
FACING_DB = 20.0  # for a probe that lies along the skin instead of facing it
AIMS_MM = (-18.0, 0.0, 18.0)  # how far beside the target the probe may point
AIM_DB = 1.5  # for doing so


@dataclass(frozen=True)
class Plane:
    """A plane to be seen.

    Attributes:
        name, description: of the sweep it becomes.
        target: (3,) point that must be in the picture, scene frame, mm.
        normal: (3,) normal of the plane.
        prefer: (3,) side from which the beam should come, as far as the plane, the skin and bone allow.
        landmarks: (n, 3) points that should be seen, scene frame, mm.
        preference_db: what the preferred side is worth against the opposite one, halved.
    """

    name: str
    description: str
    target: np.ndarray
    normal: np.ndarray
    prefer: np.ndarray
    landmarks: np.ndarray
    preference_db: float = 12.0


@dataclass(frozen=True)
class Reach:
    """The skin, the part of it that a probe can reach, and the bones below it.

    Attributes:
        skin: outside of the mother.
        bones: what keeps the beam from a landmark.
        half_height_mm: contacts are at |z| below this.
        farthest_back: contacts are where the direction from the target has y (posterior) below this.
    """

    skin: Solid
    bones: tuple[Obstacle, ...]
    half_height_mm: float
    farthest_back: float = 0.30


def image_lateral(axial, hint) -> np.ndarray:
    """Lateral direction: `hint` made orthogonal to the axis."""
    lateral = np.asarray(hint, float) - axial * (np.asarray(hint, float) @ axial)
    return lateral / np.linalg.norm(lateral)


def key_on_skin(skin: Solid, contact, target, lateral, lean: float = 0.6) -> SweepKey:
    """Probe at the skin point `contact`, leaning by the fraction `lean` from the inward normal towards `target`."""
    inward = -sdf.normal(skin, contact, 3.0)[0]
    towards = np.asarray(target, float) - contact
    axial = (1 - lean) * inward + lean * towards / np.linalg.norm(towards)
    axial /= np.linalg.norm(axial)
    return _key(contact + PRESS_MM * inward, axial, image_lateral(axial, lateral))


def _key(*vectors: np.ndarray) -> SweepKey:
    return SweepKey(*[vector.tolist() for vector in vectors])


def exam(skin: Solid, half_width: float, low: float, high: float) -> Sweep:
    """Serpentine of six transverse passes up the abdomen, then four longitudinal passes across it.

    Args:
        skin: outside of the mother.
        half_width: the passes reach this far to both sides, mm.
        low, high: lowest and highest level, mm.
    """
    keys = []
    middle = 0.5 * (low + high)
    columns = np.linspace(-half_width, half_width, 7)
    for row, z in enumerate(np.linspace(low, high, 6)):
        for x in columns if row % 2 == 0 else columns[::-1]:
            contact = sdf.exits(skin, (x, 0.0, z), (0, -1, 0), "skin")[0]
            keys.append(key_on_skin(skin, contact, (0.35 * x, 10.0, middle + 0.95 * (z - middle)), (1, 0, 0)))
    levels = np.linspace(high, low, 7)
    for column, x in enumerate(np.linspace(half_width * 0.7, -half_width * 0.7, 4)):
        for z in levels if column % 2 == 0 else levels[::-1]:
            contact = sdf.exits(skin, (x, 0.0, z), (0, -1, 0), "skin")[0]
            keys.append(key_on_skin(skin, contact, (0.35 * x, 10.0, middle + 0.8 * (z - middle)), (0, 0, -1)))
    text = "Regular exam: six transverse passes up the abdomen, then four longitudinal ones"
    return Sweep("exam", tuple(keys), text)


def standing(planes: Sequence[Plane], reach: Reach) -> Sweep:
    """The probe position from which a plane is seen best: the acoustic window.

    Tries every 6 degrees inside each plane, pointing at the target and to both sides of it, and takes the least loss:
    bone between the probe and the landmarks, depth, contact. The probe is pressed in along the beam, so that the
    plane is kept.

    Args:
        planes: one plane, or several of which the best seen is taken.
        reach: skin and bones.

    Raises:
        SurfaceError: no part of the planes' edges is on reachable skin.
    """
    tried = [(plane, *candidate) for plane in planes for candidate in _candidates(plane, reach)]
    if not tried:
        raise SurfaceError(f"poses: no reachable skin for the plane {planes[0].name}")
    windows = [scan_lines(plane, position, axial) for plane, position, axial, _ in tried]
    seen = np.concatenate([usable for _, _, usable in windows])
    losses = np.full(len(seen), UNSEEN_DB)
    starts, ends = (np.concatenate([window[i] for window in windows]) for i in (0, 1))
    losses[seen] = ray_losses_db(reach.bones, starts[seen], ends[seen])
    counts = np.cumsum([len(usable) for _, _, usable in windows])[:-1]
    costs = [own.mean() + row[3] for own, row in zip(np.split(losses, counts), tried, strict=True)]
    plane, position, axial, _ = tried[int(np.argmin(costs))]
    lateral = np.cross(plane.normal / np.linalg.norm(plane.normal), axial)
    leading = lateral[0] if abs(lateral[0]) > abs(lateral[2]) else -lateral[2]
    key = _key(position, axial, lateral if leading >= 0 else -lateral)
    return Sweep(plane.name, (key,), plane.description)


def _candidates(plane: Plane, reach: Reach) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Position, axis and cost in dB, bone not counted, of every pose that touches reachable skin."""
    n = plane.normal / np.linalg.norm(plane.normal)
    u = np.cross(n, (0, 0, 1)) if abs(n[2]) < 0.9 else np.cross(n, (1, 0, 0))
    u /= np.linalg.norm(u)
    v = np.cross(n, u)
    prefer = plane.prefer / np.linalg.norm(plane.prefer)
    found = []
    angles = np.radians(np.arange(0, 360, 6))[:, None]
    ways = np.cos(angles) * u + np.sin(angles) * v
    ways = ways[ways[:, 1] <= reach.farthest_back]
    if not len(ways):
        return []
    contacts = sdf.exits(reach.skin, plane.target, ways, "skin")
    low = np.abs(contacts[:, 2]) <= reach.half_height_mm
    ways, contacts = ways[low], contacts[low]
    for out, contact, outward in zip(ways, contacts, sdf.normal(reach.skin, contacts, 3.0), strict=True):
        for aim in AIMS_MM:
            axial = plane.target + aim * np.cross(n, out) - contact
            distance = float(np.linalg.norm(axial))
            axial = axial / distance
            facing = float(-axial @ outward)
            if facing < 0.5:
                continue
            cost = DEPTH_DB_MM * distance + FACING_DB * (1 - facing) + AIM_DB * bool(aim)
            cost += plane.preference_db * float(axial @ prefer)
            found.append((contact + PRESS_MM / facing * axial, axial, cost))
    return found


def scan_lines(plane: Plane, position: np.ndarray, axial: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scan lines from the curved face to the landmarks: starts and ends (n, 3), and which lie in the sector."""
    apex = position - FACE_RADIUS_MM * axial
    way = plane.landmarks - apex
    length = np.linalg.norm(way, axis=1)
    way = way / length[:, None]
    inside = (way @ axial > np.cos(np.radians(HALF_ANGLE_DEG))) & (length < FACE_RADIUS_MM + DEEPEST_MM)
    inside &= length > FACE_RADIUS_MM + 10.0
    return apex + FACE_RADIUS_MM * way, plane.landmarks, inside
