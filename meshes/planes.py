"""The standard planes of an obstetric scan, computed from the landmarks of the anatomy.

After the ISUOG guidelines for the routine mid-trimester scan (Salomon et al., Ultrasound Obstet Gynecol 2022;
59:840–856).
"""

from __future__ import annotations

import numpy as np

from meshes import fetus_limbs, fetus_trunk
from meshes.fetus_plan import FetusPlan
from meshes.poses import Plane
from meshes.uterus import UterusPlan

FRONT = np.array([0.0, -1.0, 0.0])


def standard_planes(fetus: FetusPlan, uterus: UterusPlan) -> list[Plane]:
    """All standard planes of one anatomy, scene frame."""
    return [
        *_head_planes(fetus, uterus),
        *_trunk_planes(fetus, uterus),
        _femur(fetus, uterus),
        _placenta(uterus),
    ]


def _head_planes(fetus: FetusPlan, uterus: UterusPlan) -> list[Plane]:
    to_scene, rotate = uterus.lie.to_scene, uterus.lie.rotation
    left, posterior, up = (
        rotate @ fetus.head_axes.T[:, 0],
        rotate @ fetus.head_axes[1],
        rotate @ fetus.head_axes[2],
    )
    side = left if left @ FRONT > 0 else -left  # the midline is best seen from the side of the head
    cavum, cerebellum = fetus.head_at(0, -14, 2.5), fetus.head_at(0, 18, -13)
    tilted = np.cross(fetus.head_axes[0], cerebellum - cavum)
    middle = to_scene(fetus.head_at(0, 1, 1))
    return [
        Plane("transthalamic", "Head at the thalami and cavum: BPD and HC", middle, up, side),
        Plane(
            "transcerebellar", "Head through cavum and cerebellum: TCD, cisterna magna",
            to_scene(0.35 * cavum + 0.65 * cerebellum), rotate @ tilted, 0.85 * side + 0.5 * posterior,
        ),
        Plane(
            "facial_profile", "Midline of the face from the front", to_scene(fetus.head_at(0, -26, -14)), left,
            -posterior,
        ),
    ]  # fmt: skip


def _trunk_planes(fetus: FetusPlan, uterus: UterusPlan) -> list[Plane]:
    to_scene, rotate = uterus.lie.to_scene, uterus.lie.rotation

    def axes(s):
        return [rotate @ row for row in fetus.axes(s)]

    turn, heart = fetus_trunk.heart_axes()
    belly, middle = axes(0.565), axes(0.52)
    chest_normal = rotate @ (turn[0] @ fetus.axes(0.375))
    return [
        Plane(
            "abdominal_circumference", "Abdomen at stomach and umbilical vein: AC",
            to_scene(fetus.at(0.565, 0, 15, 0)), belly[2], FRONT,
        ),
        Plane(
            "four_chamber", "Chest at the four chambers of the heart",
            to_scene(fetus.at(0.375, *(heart + np.array([0.0, -2.0, 0.0])))), chest_normal, FRONT,
        ),
        Plane(
            "spine_sagittal", "Spine in its long axis, from the back where it can be reached",
            to_scene(fetus.at(0.52, 0, 0, 0)), middle[0], -middle[1],
        ),
        Plane(
            "spine_coronal", "Spine as a double row of arches",
            to_scene(fetus.at(0.66, 0, -2.4, 0)), axes(0.66)[1], FRONT,
        ),
    ]  # fmt: skip


def _femur(fetus: FetusPlan, uterus: UterusPlan) -> Plane:
    """The thigh that lies flatter and nearer to the front of the mother."""
    candidates = []
    for index in (0, 1):
        a, b = (uterus.lie.to_scene(end) for end in fetus_limbs.femur_ends(fetus, index))
        axis = (b - a) / np.linalg.norm(b - a)
        across = FRONT - axis * (axis @ FRONT)
        if np.linalg.norm(across) < 0.2:  # pointing at the front: from the side, then
            across = np.array([1.0, 0, 0]) - axis * axis[0]
        depth = (0.5 * (a + b))[1]
        candidates.append((depth + 60.0 * abs(axis @ FRONT), 0.5 * (a + b), np.cross(axis, across), across))
    _, target, normal, across = min(candidates, key=lambda c: c[0])
    return Plane("femur", "Thigh bone across the beam: FL", target, normal, across)


def _placenta(uterus: UterusPlan) -> Plane:
    """Transverse or longitudinal cut through the middle of the placenta."""
    site = uterus.placenta_site
    target = uterus.wall_point(site) - 0.5 * uterus.placenta_mm * site
    normal = np.array([0.0, 0.0, 1.0]) if abs(site[0]) > 0.5 else np.array([1.0, 0.0, 0.0])
    return Plane("placenta", "Placenta, uterine wall and chorionic plate", target, normal, FRONT)
