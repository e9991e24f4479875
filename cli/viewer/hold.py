"""A probe in a hand: where it touches the skin, and how it is held there.

The words are those of sonography (AIUM): *slide* moves along the skin, *rock* turns in the image plane, *tilt* out of
it, *rotate* about the beam's axis, and pressure pushes in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial.transform import Rotation

from cli.viewer.skin import Skin

LARGEST_ANGLE_DEG = 60.0
MOST_PRESSURE_MM, MOST_LIFT_MM = 15.0, 10.0
_LOSES_CONTACT_MM = 1.0  # of gel lie on the skin


@dataclass(frozen=True)
class Hold:
    """How a probe is held on the skin.

    Attributes:
        contact_mm: Where it touches, (3,), a point of the skin.
        normal: Outward normal there, (3,).
        heading: Lateral direction of the probe if it were held upright, (3,), in the skin's tangent plane.
        rock_deg: In the image plane.
        tilt_deg: Out of it.
        pressure_mm: How far the face is pushed in, along the inward normal; lifted off if negative.
        aside_mm: (3,), how far the face is from there; 0 but for a plane that was jumped to.
    """

    contact_mm: np.ndarray
    normal: np.ndarray
    heading: np.ndarray
    rock_deg: float = 0.0
    tilt_deg: float = 0.0
    pressure_mm: float = 2.0
    aside_mm: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @classmethod
    def at(cls, skin: Skin, point_mm: np.ndarray, heading: np.ndarray, **held: float) -> Hold:
        """The probe on the skin's point that is closest to another."""
        contact = skin.closest(np.asarray(point_mm, float))
        normal = skin.normal(contact)
        return cls(contact, normal, _in_plane(np.asarray(heading, float), normal), **held)

    @classmethod
    def of_pose(cls, skin: Skin, pose: np.ndarray) -> Hold:
        """How a probe is held that is at a pose, (4, 4), probe → scene."""
        lateral, axial, position = pose[:3, 0], pose[:3, 2], pose[:3, 3]
        contact = skin.closest(position)
        inward = -skin.normal(contact)
        # Of R = [lateral elevational inward] · Ry(rock) · Rx(tilt) the first and third column give all angles.
        rock = -np.arcsin(np.clip(lateral @ inward, -1, 1))
        heading = _in_plane(lateral, inward)
        upright = np.sin(rock) * heading + np.cos(rock) * inward
        tilt = np.arctan2(-axial @ np.cross(inward, heading), axial @ upright)
        pressure = float((position - contact) @ inward)
        return cls(
            contact, -inward, heading, float(np.degrees(rock)), float(np.degrees(tilt)), pressure,
            position - contact - pressure * inward,
        )  # fmt: skip

    @property
    def is_in_air(self) -> bool:
        """Whether it is lifted off the skin, and off the gel on it."""
        return self.pressure_mm < -_LOSES_CONTACT_MM

    @property
    def pose(self) -> np.ndarray:
        """(4, 4), probe → scene, mm."""
        inward = -self.normal
        upright = np.column_stack([self.heading, np.cross(inward, self.heading), inward])
        pose = np.eye(4)
        pose[:3, :3] = upright @ Rotation.from_euler("YX", [self.rock_deg, self.tilt_deg], degrees=True).as_matrix()
        pose[:3, 3] = self.contact_mm + self.pressure_mm * inward + self.aside_mm
        return pose

    def slid(self, skin: Skin, lateral_mm: float = 0.0, elevational_mm: float = 0.0) -> Hold:
        """Moved along the skin, the way it heads and across it; the angles to the skin are kept."""
        across = np.cross(-self.normal, self.heading)
        moved = Hold.at(skin, self.contact_mm + lateral_mm * self.heading + elevational_mm * across, self.heading)
        return replace(moved, rock_deg=self.rock_deg, tilt_deg=self.tilt_deg, pressure_mm=self.pressure_mm)

    def moved_to(self, skin: Skin, point_mm: np.ndarray) -> Hold:
        """On the skin's point that is closest to another, held as it is."""
        moved = Hold.at(skin, point_mm, self.heading)
        return replace(moved, rock_deg=self.rock_deg, tilt_deg=self.tilt_deg, pressure_mm=self.pressure_mm)

    def rotated(self, degrees: float) -> Hold:
        """Turned about the skin's inward normal."""
        turn = Rotation.from_rotvec(-self.normal * np.radians(degrees))
        return replace(self, heading=_in_plane(turn.apply(self.heading), self.normal))

    def held(self, *, rock_deg: float = 0.0, tilt_deg: float = 0.0, pressure_mm: float = 0.0) -> Hold:
        """Held otherwise by so much, within what a hand can do."""
        limit = LARGEST_ANGLE_DEG
        return replace(
            self,
            rock_deg=float(np.clip(self.rock_deg + rock_deg, -limit, limit)),
            tilt_deg=float(np.clip(self.tilt_deg + tilt_deg, -limit, limit)),
            pressure_mm=float(np.clip(self.pressure_mm + pressure_mm, -MOST_LIFT_MM, MOST_PRESSURE_MM)),
        )


def _in_plane(direction: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """A direction's part in a plane, of length 1; some direction of the plane if it has none."""
    part = direction - normal * (direction @ normal)
    length = np.linalg.norm(part)
    if length < 1e-6:
        return _in_plane(np.eye(3)[int(np.argmin(np.abs(normal)))], normal)
    return part / length
