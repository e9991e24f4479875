"""The fetal trunk: outline, skeleton of the axis, organs of chest and abdomen. Local frame: (left, ventral, up)."""

from __future__ import annotations

import numpy as np

from meshes.fetus.plan import SECTIONS, FetusPlan, curl
from meshes.shapes import solids
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid

# fraction of the spine (C1 to sacrum tip) at the centre of each vertebra: 7 cervical, 12 thoracic, 5 lumbar, 5 sacral
_HEIGHTS = np.array([0.82] * 7 + list(np.linspace(0.92, 1.15, 12)) + [1.3] * 5 + [1.0, 0.95, 0.85, 0.75, 0.65])
VERTEBRAE = (np.cumsum(_HEIGHTS) - _HEIGHTS / 2) / _HEIGHTS.sum()
FIRST_THORACIC, FIRST_LUMBAR, FIRST_SACRAL = 7, 19, 24
UMBILICUS = 0.70  # fraction of the spine at the level of the umbilicus


def skin(plan: FetusPlan) -> Solid:
    """Outline of neck, trunk, shoulders and buttocks."""
    pieces = []
    padding = 1.0 + 0.1 * curl(plan.growth.weeks)  # shoulders and buttocks fill out in the last third
    for s, half_width, ventral, dorsal, length in SECTIONS:
        centre = (0, (ventral - dorsal) / 2, 0)
        pieces.append(plan.organ(s, centre, (half_width, (ventral + dorsal) / 2, length)))
    for side in (1, -1):
        pieces.append(
            solids.cone(
                plan.at(0.12, 8 * side, 5, 0), plan.at(0.19, 20 * side, 10, 0),
                9.6 * padding * plan.trunk_scale, 10.2 * padding * plan.trunk_scale,
            )
        )  # fmt: skip
        pieces.append(plan.organ(0.96, (11.5 * side, 0, -2), np.array([13.8, 16.5, 14.5]) * padding))
    return solids.union(*pieces, blend=6 * plan.trunk_scale)


def umbilicus(plan: FetusPlan) -> np.ndarray:
    """Point of the cord insertion on the ventral skin."""
    return plan.at(UMBILICUS, 0, plan.section(UMBILICUS)[1] + 1.0, 0)


def _vertebrae(plan: FetusPlan) -> Solid:
    """Three ossification centres each: the body and two arches behind the canal."""
    pieces, t = [], plan.trunk_scale
    pitch = plan.length_scale / t
    for s, height in zip(VERTEBRAE, _HEIGHTS, strict=True):
        size = 0.8 + 0.35 * min(s / 0.75, 1.0) - 0.5 * max(s - 0.8, 0.0)
        pieces.append(plan.organ(s, (0, 1.2, 0), (2.8 * size, 2.2 * size, 1.5 * height * pitch)))
        pieces += [_arch(plan, s, side, size, height * pitch) for side in (1, -1)]
    return solids.union(*pieces)


def _arch(plan: FetusPlan, s: float, side: int, size: float, height: float) -> Solid:
    """Half an arch: a plate beside the canal, leaning to the midline behind it; about half the pitch high."""
    front, back = np.array([3.6 * side, -1.0, 0.0]), np.array([2.3 * side, -5.0, -0.6])
    middle, along = 0.5 * (front + back) * size, front - back
    tilt = solids.rotation_to(along, (0.0, 0.0, 1.0))  # rows: up, thickness, along
    radii = np.array([1.15 * height, 0.75 * size, 0.5 * np.linalg.norm(along) * size + 0.4])
    return solids.superellipsoid(plan.at(s, *middle), radii * plan.trunk_scale, 3.0, tilt @ plan.axes(s))


def _canal(plan: FetusPlan, radius: float, last: float) -> Solid:
    """Tube behind the vertebral bodies from the skull base down to fraction `last`."""
    levels = np.linspace(-0.0, last, 25)
    sizes = radius * plan.trunk_scale * (1.0 - 0.45 * np.clip(levels - 0.7, 0, 1) / 0.3)
    return solids.tube([plan.at(s, 0, -2.7, 0) for s in levels], sizes)


def rib_line(plan: FetusPlan, index: int, side: float, n: int = 12) -> np.ndarray:
    """Axis (n, 3) of rib `index` (0–11) from its vertebra to the costal cartilage."""
    s = VERTEBRAE[FIRST_THORACIC + index]
    reach = (0.55, 0.72, 0.83, 0.88, 0.9, 0.9, 0.88, 0.85, 0.8, 0.72, 0.55, 0.38)[index]
    points = []
    for turn in np.linspace(np.radians(14), np.radians(160) * reach, n):
        drop = 9.0 * (1 - np.cos(turn)) / 2 + 1.5
        half_width, ventral, dorsal = plan.section(s + drop / 122.0) - 6.0
        centre = (ventral - dorsal) / 2
        points.append(
            plan.at(s, side * half_width * np.sin(turn), centre - (ventral + dorsal) / 2 * np.cos(turn), -drop)
        )
    return np.array(points)


def _ribs(plan: FetusPlan) -> Solid:
    lines = [rib_line(plan, i, side) for i in range(12) for side in (1.0, -1.0)]
    radius = 0.95 * plan.trunk_scale
    return solids.union(*[solids.tube(line, np.linspace(0.85, 1.0, len(line)) * radius) for line in lines])


def _girdles(plan: FetusPlan) -> Solid:
    """Clavicles, scapulae, iliac wings."""
    t, pieces = plan.trunk_scale, []
    for side in (1, -1):
        clavicle = [(2.5, 20, 1.0), (8, 20.5, 3.0), (14, 16, 3.5), (19, 12, 2.0)]
        pieces.append(solids.tube([plan.at(0.19, side * x, v, u) for x, v, u in clavicle], 0.9 * t))
        turn = solids.rotation_to((side * 0.55, -0.83, 0.0))
        pieces.append(plan.organ(0.27, (side * 14.5, -3.2, 0), (4.5, 7.0, 0.8), turn[[0, 1, 2]]))
        wing = solids.rotation_to((side * 0.8, 0.45, -0.3))
        pieces.append(plan.organ(0.84, (side * 11.5, 3, 0), (5.5, 5.5, 0.9), wing))
    return solids.union(*pieces)


def cavity(plan: FetusPlan) -> Solid:
    """What the trunk wall encloses: chest, belly and pelvis, without the back muscles."""
    pieces = []
    for s, half_width, ventral, _, length in SECTIONS[2:]:
        wall = 3.6 if s < 0.5 else 2.8
        depth = ventral - wall + 1.0
        pieces.append(plan.organ(s, (0, ventral - wall - depth / 2, 0), (half_width - wall, depth / 2, length - wall)))
    return solids.union(*pieces, blend=5 * plan.trunk_scale)


def _diaphragm(plan: FetusPlan) -> Solid:
    """Two domes of 1.2 mm over the liver and the stomach."""
    domes = solids.union(
        plan.organ(0.56, (-8, 14, 0), (17.5, 20, 16.5)),
        plan.organ(0.56, (9, 15, -1), (15.5, 19, 15.5)),
        blend=5.0,
    )
    up = plan.axes(0.52)[2]
    sheet = solids.shell(domes, max(1.2 * plan.trunk_scale, 0.9))
    sheet = solids.intersect(sheet, solids.below(plan.at(0.53, 0, 14, 0), -up))
    return solids.intersect(sheet, solids.offset(cavity(plan), 0.6))


def _airway(plan: FetusPlan) -> Solid:
    """Mouth, throat and windpipe, filled with fluid."""
    k, t = plan.head_scale, plan.trunk_scale
    mouth = plan.head_ball((0, -25, -27.2), (5.5, 8, 1.1))
    head = [plan.head_at(0, -19, -27.5), plan.head_at(0, -11, -30), plan.head_at(0, -6.5, -36)]
    chest = [plan.at(0.10, 0, 7.5, 0), plan.at(0.20, 0, 9.5, 0), plan.at(0.27, 0, 10, 0)]
    pipe = solids.tube([*head, *chest], np.array([1.3 * k, 1.6 * k, 1.5 * k, 1.3 * t, 1.3 * t, 1.3 * t]))
    fork = [solids.cone(chest[-1], plan.at(0.305, side * 6, 9, 0), 1.1 * t, 0.9 * t) for side in (1, -1)]
    return solids.union(mouth, pipe, *fork)


def heart_axes() -> tuple[np.ndarray, np.ndarray]:
    """Axes of the heart as rows (up, from right to left ventricle, base to apex) and its middle, trunk coordinates."""
    base, apex = np.array([1.0, 13.0, 1.0]), np.array([9.5, 25.0, -3.5])
    return solids.rotation_to(apex - base, (0.0, 0.0, 1.0)), 0.5 * (base + apex)


def _heart(plan: FetusPlan) -> tuple[Solid, Solid]:
    """Muscle with its walls and septum, and the blood of four chambers; apex to the left and forward."""
    turn, middle = heart_axes()

    size = plan.organs["heart"]

    def ball(up, across, along, radii):
        return plan.organ(0.375, middle + size * np.array([up, across, along]) @ turn, size * np.array(radii), turn)

    muscle = solids.union(ball(0, 0, 1.0, (9.4, 10.2, 12.2)), ball(0.5, 0, -6.5, (8.4, 9.4, 6.2)), blend=3.0)
    chambers = [
        ball(0, -4.5, 3.6, (5.6, 3.2, 6.6)),
        ball(0, 4.6, 3.0, (6.0, 3.5, 6.0)),
        ball(0.5, -4.6, -7.0, (5.2, 3.6, 3.5)),
        ball(0.5, 4.7, -7.0, (5.4, 3.7, 3.5)),
    ]
    return muscle, solids.union(*chambers)


def _lungs(plan: FetusPlan) -> Solid:
    lobes = [plan.organ(0.36, (side * 10.8, 9.5, 1), (8.6, 13.0, 15.5)) for side in (1, -1)]
    chest = solids.intersect(solids.union(*lobes), cavity(plan), blend=2.0)
    return solids.rough(chest, 0.2, 5.0, plan.seed + 31)


def _vessels(plan: FetusPlan) -> Solid:
    """Aorta with its arch, inferior vena cava, and the umbilical vein up to the liver."""
    t = plan.trunk_scale
    arch = [(0.36, 2, 15, 0), (0.30, 2.5, 16, 1), (0.275, 3.5, 13, 1.5), (0.28, 4, 8, 0), (0.32, 3.5, 5.5, 0)]
    descent = [(s, 3.0, 5.6, 0) for s in np.linspace(0.36, 0.80, 9)]
    aorta = solids.tube([plan.at(*p) for p in arch + descent], np.r_[[1.7] * 5, np.linspace(1.6, 1.2, 9)] * t)
    path = [
        (0.41, -3, 12, 0),
        (0.47, -3.6, 9.5, 0),
        (0.55, -4, 7, 0),
        (0.66, -3.4, 6, 0),
        (0.80, -3.0, 5.6, 0),
    ]
    cava = solids.tube([plan.at(*p) for p in path], 1.5 * t)
    return solids.union(aorta, cava)


def _umbilical_vein(plan: FetusPlan) -> Solid:
    """From the umbilicus along the ventral wall into the liver, turning to the right portal sinus."""
    ventral = plan.section(UMBILICUS)[1]
    line = [
        (UMBILICUS, 0, ventral + 3, 0), (0.68, 0, ventral - 4, 0), (0.625, 0, ventral - 9, 0),
        (0.575, 0.5, 25, 0), (0.56, -0.5, 19, 0), (0.555, -5, 14.5, 0), (0.555, -10, 14, 0),
    ]  # fmt: skip
    return solids.tube([plan.at(*p) for p in line], np.array([2.0, 1.9, 1.9, 1.9, 1.9, 1.8, 1.4]) * plan.trunk_scale)


def _liver(plan: FetusPlan) -> Solid:
    """Large right lobe and a left one that crosses the midline below the diaphragm."""
    lobes = solids.union(
        plan.organ(0.555, (-8.5, 15, 0), np.array([13.5, 18.5, 13.5]) * plan.organs["liver"]),
        plan.organ(0.535, (8, 22, 2), np.array([13, 12.5, 8]) * plan.organs["liver"]),
        blend=6.0,
    )
    return solids.rough(lobes, 0.25, 6.0, plan.seed + 32)


def _bowel(plan: FetusPlan) -> Solid:
    lumps = [
        plan.organ(0.70, (0, 22, 0), (17, 12.5, 9)),
        plan.organ(0.76, (0, 19, -1), (14, 10, 8)),
    ]
    return solids.rough(solids.union(*lumps, blend=4.0), 1.1, 5.5, plan.seed + 33)


def trunk_parts(plan: FetusPlan) -> list[Part]:
    """Surfaces of the trunk, low priority first."""
    t, organ, size = plan.trunk_scale, plan.organ, plan.organs
    muscle, chambers = _heart(plan)
    kidneys = [organ(0.665, (s * 10.0, 2.5, 0), np.array([5.3, 5.0, 9.5]) * size["kidneys"]) for s in (1, -1)]
    pelves = [organ(0.665, (s * 8.6, 3.2, 0), np.array([1.6, 1.4, 3.6]) * size["kidneys"]) for s in (1, -1)]
    gallbladder = solids.cone(plan.at(0.60, -6.5, 27, 0), plan.at(0.635, -8, 33, 0), 1.2 * t, 2.3 * t)
    stomach = solids.union(
        organ(0.575, (13.5, 12.5, 0), np.array([5.0, 7.0, 6.3]) * size["stomach"]),
        organ(0.60, (8.5, 19.0, 0), np.array([5.0, 4.0, 3.2]) * size["stomach"]),
        blend=3.0,
    )
    bladder = organ(0.87, (0, 20, 0), np.array([5.5, 5.5, 6.5]) * size["bladder"])
    return [
        Part("fetal_cavity", "fetal_soft", 27, "fetus", cavity(plan), 2.5),
        Part("fetal_lungs", "fetal_lung", 28, "fetus", _lungs(plan), 2.5),
        Part("fetal_liver", "liver", 29, "fetus", _liver(plan), 2.5),
        Part("fetal_bowel", "bowel", 30, "fetus", _bowel(plan), 2.0),
        Part(
            "fetal_kidneys",
            "kidney",
            31,
            "fetus",
            solids.rough(solids.union(*kidneys), 0.3, 4, plan.seed + 34),
            2.0,
        ),
        Part("fetal_renal_pelves", "urine", 32, "fetus", solids.union(*pelves), 1.4),
        Part("fetal_stomach", "stomach_fluid", 33, "fetus", stomach, 2.0),
        Part("fetal_gallbladder", "urine", 34, "fetus", gallbladder, 1.4),
        Part("fetal_bladder", "urine", 35, "fetus", bladder, 2.0),
        Part("fetal_diaphragm", "muscle", 36, "fetus", _diaphragm(plan), 1.2),
        Part("fetal_heart_muscle", "heart_muscle", 37, "fetus", muscle, 2.0),
        Part("fetal_vessels", "blood", 38, "fetus", _vessels(plan), 1.4),
        Part("fetal_umbilical_vein", "blood", 39, "fetus", _umbilical_vein(plan), 1.6),
        Part("fetal_heart_chambers", "blood", 40, "fetus", chambers, 1.8),
        Part("fetal_airway", "amniotic_fluid", 41, "fetus", _airway(plan), 1.4),
        Part("fetal_spinal_canal", "csf", 42, "fetus", _canal(plan, 2.3, 0.95), 1.6),
        Part("fetal_spinal_cord", "brain", 43, "fetus", _canal(plan, 1.3, 0.72), 1.4),
        Part("fetal_vertebrae", "ossification_centre", 60, "fetus", _vertebrae(plan), 1.3),
        Part("fetal_ribs", "fetal_long_bone", 61, "fetus", _ribs(plan), 1.3),
        Part("fetal_girdles", "fetal_long_bone", 62, "fetus", _girdles(plan), 1.3),
    ]
