"""Where the probe stands: sweeps over the abdominal skin and standard planes, as scene.toml keys.

A key is a position on the skin (the centre of the probe face, pressed in a little), the beam's axis and the lateral
direction of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshes import sdf
from meshes.errors import SurfaceError
from meshes.solids import Solid

PRESS_MM = 4.0


@dataclass(frozen=True)
class Key:
    """One probe pose: position of the face centre (mm), unit axial and lateral vectors, scene frame."""

    position_mm: np.ndarray
    axial: np.ndarray
    lateral: np.ndarray


@dataclass(frozen=True)
class Sweep:
    """A named path of probe poses."""

    name: str
    description: str
    keys: tuple[Key, ...]


def skin_point(skin: Solid, inside, direction) -> np.ndarray:
    """Where the ray from a point inside the body along `direction` leaves the skin.

    Raises:
        SurfaceError: the ray does not leave it within 400 mm.
    """
    d = np.asarray(direction, float) / np.linalg.norm(direction)
    t = np.arange(0.0, 400.0, 1.0)
    values = sdf.distance(skin, np.asarray(inside, float) + t[:, None] * d)
    out = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    if not len(out):
        raise SurfaceError(f"poses: no skin from {np.round(inside, 1)} along {np.round(d, 2)}")
    low, high = t[out[-1]], t[out[-1] + 1]
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if sdf.distance(skin, inside + middle * d)[0] < 0 else (low, middle)
    return inside + low * d


def key_on_skin(skin: Solid, contact, target, lateral, lean: float = 0.6) -> Key:
    """Probe at the skin point `contact`, leaning by the fraction `lean` from the inward normal towards `target`."""
    inward = -sdf.normal(skin, contact, 3.0)[0]
    towards = np.asarray(target, float) - contact
    axial = (1 - lean) * inward + lean * towards / np.linalg.norm(towards)
    axial /= np.linalg.norm(axial)
    lateral = np.asarray(lateral, float) - axial * (np.asarray(lateral, float) @ axial)
    return Key(contact + PRESS_MM * inward, axial, lateral / np.linalg.norm(lateral))


def exam(skin: Solid, half_width: float, low: float, high: float) -> Sweep:
    """Serpentine of transverse passes up the abdomen, then longitudinal passes across it."""
    keys = []
    columns = np.linspace(-half_width, half_width, 7)
    for row, z in enumerate(np.linspace(low, high, 6)):
        for x in columns if row % 2 == 0 else columns[::-1]:
            contact = skin_point(skin, np.array([x, 0.0, z]), (0, -1, 0))
            keys.append(key_on_skin(skin, contact, (0.35 * x, 10.0, z * 0.92), (1, 0, 0)))
    levels = np.linspace(high, low, 7)
    for column, x in enumerate(np.linspace(half_width * 0.7, -half_width * 0.7, 4)):
        for z in levels if column % 2 == 0 else levels[::-1]:
            contact = skin_point(skin, np.array([x, 0.0, z]), (0, -1, 0))
            keys.append(key_on_skin(skin, contact, (0.35 * x, 10.0, z * 0.8), (0, 0, -1)))
    text = "Regular exam: six transverse passes up the abdomen, then four longitudinal ones"
    return Sweep("exam", text, tuple(keys))


def plane_through(skin: Solid, target, normal, description: str, name: str, lateral_hint=(1, 0, 0)) -> Sweep:
    """One pose whose image holds `target` and is perpendicular to `normal`, from the nearest reachable skin.

    The beam comes from the direction inside the plane that points most to the front of the mother.
    """
    target, normal = np.asarray(target, float), np.asarray(normal, float) / np.linalg.norm(normal)
    front = np.array([0.0, -1.0, 0.0])
    up = front - normal * (front @ normal)
    up /= np.linalg.norm(up)
    contact = skin_point(skin, target, up)
    lateral = np.cross(normal, -up)
    if lateral @ np.asarray(lateral_hint, float) < 0:
        lateral = -lateral
    inward = -sdf.normal(skin, contact, 3.0)[0]
    depth = PRESS_MM / max(float(-up @ inward), 0.3)  # pressed in along the beam: the plane is kept
    return Sweep(name, description, (Key(contact - depth * up, -up, lateral),))
