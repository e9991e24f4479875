"""The standard planes of an obstetric scan, computed from the landmarks of the anatomy.

After the ISUOG guidelines for the routine mid-trimester scan (Salomon et al., Ultrasound Obstet Gynecol 2022;
59:840–856).
"""

from __future__ import annotations

import numpy as np

from meshes.fetus import limbs, trunk
from meshes.fetus.plan import FetusPlan
from meshes.mother.uterus import UterusPlan, lake_centres
from meshes.planes.poses import Plane

FRONT = np.array([0.0, -1.0, 0.0])


def standard_planes(fetus: FetusPlan, uterus: UterusPlan) -> list[list[Plane]]:
    """All standard planes of one anatomy, scene frame; each a list of equally good ones."""
    single = [*_head_planes(fetus, uterus), *_trunk_planes(fetus, uterus), _spine_sagittal(fetus, uterus)]
    several = [_spine_coronal(fetus, uterus), _femurs(fetus, uterus), _placenta(uterus)]
    return [*[[plane] for plane in single], *several]


def _head_planes(fetus: FetusPlan, uterus: UterusPlan) -> list[Plane]:
    to_scene, rotate = uterus.lie.to_scene, uterus.lie.rotation
    left, posterior, up = (rotate @ axis for axis in fetus.head_axes)
    side = left if left @ FRONT > 0 else -left  # the midline is best seen from the side of the head
    cavum, cerebellum = fetus.head_at(0, -14, 2.5), fetus.head_at(0, 18, -13)
    tilted = np.cross(fetus.head_axes[0], cerebellum - cavum)
    lobe = 0.5 * fetus.growth.tcd_mm / fetus.head_scale

    def marks(*points):
        return to_scene(np.array([fetus.head_at(*point) for point in points]))

    profile = 1.1  # beside the falx, which would fill the picture
    return [
        Plane(
            "transthalamic", "Head at the thalami and cavum: BPD and HC", to_scene(fetus.head_at(0, 1, 1)), up, side,
            marks((0, -13.5, 2), (0, -24, 1), (0, 23, 1), (6, 2.5, 1), (-6, 2.5, 1), (11, 20, 1), (-11, 20, 1)),
        ),
        Plane(
            "transcerebellar", "Head through cavum and cerebellum: TCD, cisterna magna",
            to_scene(0.35 * cavum + 0.65 * cerebellum), rotate @ tilted, 0.8 * side + 0.6 * posterior,
            marks(
                *[(s * x, 18, -13) for s in (1, -1) for x in (0.35 * lobe, 0.7 * lobe, lobe)], (0, 18, -13),
                (0, 24.5, -15), (5, 24.5, -15), (-5, 24.5, -15), (0, -14, 2.5),
            ),
            preference_db=6.0,
        ),
        Plane(
            "facial_profile", "Midline of the face from the front", to_scene(fetus.head_at(profile, -26, -14)), left,
            -posterior,
            marks(
                *[(profile, y, z) for y, z in ((-36.5, -15), (-37, -23), (-36, -28), (-35, -35), (-37, 3), (-15, 3))],
                (profile, 0, -2), (profile, 2, -12), (profile, 8, -16), (profile, 18, -12), (profile, 24, -14),
            ),
        ),
    ]  # fmt: skip


def _trunk_planes(fetus: FetusPlan, uterus: UterusPlan) -> list[Plane]:
    to_scene, rotate = uterus.lie.to_scene, uterus.lie.rotation
    turn, heart = trunk.heart_axes()
    chest_normal = rotate @ (turn[0] @ fetus.axes(0.375))

    def marks(*points):
        return to_scene(np.array([fetus.at(*point) for point in points]))

    chambers = [(0, -4.5, 3.6), (0, 4.6, 3.0), (0.5, -4.6, -7.0), (0.5, 4.7, -7.0), (0, 0, 3.0), (0, 0, -5.0)]
    return [
        Plane(
            "abdominal_circumference", "Abdomen at stomach and umbilical vein: AC",
            to_scene(fetus.at(0.565, 0, 15, 0)), rotate @ fetus.axes(0.565)[2], FRONT,
            marks(*[(0.565, *p, 0) for p in ((13.5, 12.5), (0.5, 25), (-5, 15), (-14, 15), (3, 6), (-4, 7), (0, 2))]),
        ),
        Plane(
            "four_chamber", "Chest at the four chambers of the heart",
            to_scene(fetus.at(0.375, *(heart + np.array([0.0, -2.0, 0.0])))), chest_normal, FRONT,
            marks(*[(0.375, *(heart + np.array(chamber) @ turn)) for chamber in chambers]),
        ),
    ]  # fmt: skip


def _spine_sagittal(fetus: FetusPlan, uterus: UterusPlan) -> Plane:
    to_scene, rotate = uterus.lie.to_scene, uterus.lie.rotation
    return Plane(
        "spine_sagittal", "Spine in its long axis, from the back where it can be reached",
        to_scene(fetus.at(0.52, 0, 0, 0)), rotate @ fetus.axes(0.52)[0], -rotate @ fetus.axes(0.52)[1],
        to_scene(np.array([fetus.at(s, 0, 1.2, 0) for s in trunk.VERTEBRAE[7:22]])),
    )  # fmt: skip


def _spine_coronal(fetus: FetusPlan, uterus: UterusPlan) -> list[Plane]:
    """Through the arches of loin and sacrum, tilted about the spine by up to 20 degrees.

    A sonographer tilts the probe until the near row of arches lets the far one be seen.
    """
    to_scene, rotate = uterus.lie.to_scene, uterus.lie.rotation
    centre = 0.73  # the spine bends away from the plane on both sides
    left, ventral, _ = fetus.axes(centre)
    levels = trunk.VERTEBRAE[np.abs(trunk.VERTEBRAE - centre) < 0.17]
    origin = fetus.at(centre, 0, -1.8, 0)
    arches = np.array([fetus.at(s, 3.0 * side, -3.0, 0) for s in levels for side in (1, -1)])
    planes = []
    for tilt in np.radians((-20, -10, 0, 10, 20)):
        normal = np.cos(tilt) * ventral - np.sin(tilt) * left
        marks = arches - ((arches - origin) @ normal)[:, None] * normal
        planes.append(
            Plane(
                "spine_coronal", "Spine as a double row of arches", to_scene(origin), rotate @ normal, FRONT,
                to_scene(marks), preference_db=3.0,
            )
        )  # fmt: skip
    return planes


def _femurs(fetus: FetusPlan, uterus: UterusPlan) -> list[Plane]:
    """Both thighs, each cut in planes every 20 degrees around the bone; the beam across it."""
    planes = []
    for index in (0, 1):
        a, b = (uterus.lie.to_scene(end) for end in limbs.femur_ends(fetus, index))
        axis = (b - a) / np.linalg.norm(b - a)
        first = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
        first /= np.linalg.norm(first)
        marks = a + np.linspace(0.1, 0.9, 5)[:, None] * (b - a)
        for angle in np.radians(np.arange(0, 360, 20)):
            across = np.cos(angle) * first + np.sin(angle) * np.cross(axis, first)
            if across @ FRONT > 0.3:
                planes.append(
                    Plane(
                        "femur", "Thigh bone across the beam: FL", 0.5 * (a + b), np.cross(axis, across), across,
                        marks, preference_db=40.0,
                    )
                )  # fmt: skip
    return planes


def _placenta(uterus: UterusPlan) -> list[Plane]:
    """Cuts that hold the axis through the root of the cord and the middle of a lake: of the three nearest the front."""
    site, wall = uterus.placenta_site, uterus.wall_point(uterus.placenta_site)
    target = wall - 0.5 * uterus.placenta_mm * site
    planes = []
    lakes = lake_centres(uterus)
    for lake in lakes[np.argsort(-lakes @ FRONT)[:3]]:
        across = (lake - wall) - site * (site @ (lake - wall))
        across /= np.linalg.norm(across)
        marks = target + np.linspace(-0.6, 0.6, 5)[:, None] * uterus.placenta_radius_mm * across
        planes.append(
            Plane(
                "placenta", "Placenta with a lake, uterine wall and chorionic plate", target, np.cross(across, site),
                FRONT, np.concatenate([marks, lake[None]]),
            )
        )  # fmt: skip
    return planes
