"""The fetal trunk: outline, skeleton of the axis, organs of chest and abdomen. Local frame: (left, ventral, up)."""

from __future__ import annotations

import numpy as np

from meshes import solids
from meshes.fetus_plan import SECTIONS, FetusPlan
from meshes.part import Part
from meshes.solids import Solid

# fraction of the spine (C1 to sacrum tip) at the centre of each vertebra: 7 cervical, 12 thoracic, 5 lumbar, 5 sacral
_HEIGHTS = np.array([0.82] * 7 + list(np.linspace(0.92, 1.15, 12)) + [1.3] * 5 + [1.0, 0.95, 0.85, 0.75, 0.65])
VERTEBRAE = (np.cumsum(_HEIGHTS) - _HEIGHTS / 2) / _HEIGHTS.sum()
FIRST_THORACIC, FIRST_LUMBAR, FIRST_SACRAL = 7, 19, 24
UMBILICUS = 0.70  # fraction of the spine at the level of the umbilicus


def skin(plan: FetusPlan) -> Solid:
    """Outline of neck, trunk, shoulders and buttocks."""
    pieces = []
    for s, half_width, ventral, dorsal, length in SECTIONS:
        centre = (0, (ventral - dorsal) / 2, 0)
        pieces.append(plan.organ(s, centre, (half_width, (ventral + dorsal) / 2, length)))
    for side in (1, -1):
        pieces.append(
            solids.cone(
                plan.at(0.12, 8 * side, 5, 0), plan.at(0.19, 20 * side, 10, 0),
                7 * plan.trunk_scale, 8 * plan.trunk_scale,
            )
        )  # fmt: skip
        pieces.append(plan.organ(0.96, (10 * side, 1, -2), (11, 13, 12)))
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
        pieces.append(plan.organ(s, (0, 1.0, 0), (2.7 * size, 2.0 * size, 1.45 * height * pitch)))
        for side in (1, -1):
            start, end = plan.at(s, 3.0 * side * size, -1.2, 0), plan.at(s, 1.9 * side * size, -4.6 * size, -0.8)
            pieces.append(solids.cone(start, end, 0.95 * size * t, 0.75 * size * t))
    return solids.union(*pieces)


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
        half_width, ventral, dorsal = plan.section(s + drop / 122.0) - 4.6
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


def _heart(plan: FetusPlan) -> tuple[Solid, Solid]:
    """Muscle with its walls and septum, and the blood of four chambers; apex to the left and forward."""
    base, apex = np.array([1.0, 13.0, 1.0]), np.array([9.5, 25.0, -3.5])
    axis = (apex - base) / np.linalg.norm(apex - base)
    turn = solids.rotation_to(axis, (0.0, 0.0, 1.0))  # rows: up, across (right to left ventricle), long axis
    middle = 0.5 * (base + apex)

    def ball(up, across, along, radii):
        return plan.organ(0.375, middle + np.array([up, across, along]) @ turn, radii, turn)

    muscle = solids.union(ball(0, 0, 0.5, (8.6, 8.8, 11.0)), ball(0.5, 0, -6, (7.5, 8.2, 5.5)), blend=3.0)
    chambers = [
        ball(0, -3.5, 3.0, (4.5, 2.3, 5.6)),
        ball(0, 3.6, 2.6, (4.9, 2.6, 5.2)),
        ball(0.5, -3.7, -6.3, (4.2, 3.0, 3.0)),
        ball(0.5, 3.8, -6.3, (4.4, 3.1, 3.0)),
    ]
    return muscle, solids.union(*chambers)


def _lungs(plan: FetusPlan) -> Solid:
    lobes = [plan.organ(0.36, (side * 10.8, 9.5, 1), (8.6, 13.0, 15.5)) for side in (1, -1)]
    return solids.rough(solids.union(*lobes), 0.2, 5.0, plan.seed + 31)


def _vessels(plan: FetusPlan) -> Solid:
    """Aorta with its arch, inferior vena cava, and the umbilical vein up to the liver."""
    t = plan.trunk_scale
    arch = [(0.36, 2, 15, 0), (0.30, 2.5, 16, 1), (0.275, 3.5, 13, 1.5), (0.28, 4, 8, 0), (0.32, 3.5, 5.5, 0)]
    descent = [(s, 3.0, 5.6, 0) for s in np.linspace(0.36, 0.80, 9)]
    aorta = solids.tube([plan.at(*p) for p in arch + descent], np.r_[[1.7] * 5, np.linspace(1.6, 1.2, 9)] * t)
    cava = [(0.41, -3, 12, 0), (0.47, -3.6, 9.5, 0), (0.55, -4, 7, 0), (0.66, -3.4, 6, 0), (0.80, -3.0, 5.6, 0)]
    cava = solids.tube([plan.at(*p) for p in cava], 1.5 * t)
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
        plan.organ(0.555, (-8.5, 15, 0), (13.5, 18.5, 13.5)), plan.organ(0.535, (8, 22, 2), (13, 12.5, 8)), blend=6.0
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
    t, organ = plan.trunk_scale, plan.organ
    muscle, chambers = _heart(plan)
    kidneys = [organ(0.665, (side * 10.0, 2.5, 0), (5.3, 5.0, 9.5)) for side in (1, -1)]
    pelves = [organ(0.665, (side * 8.6, 3.2, 0), (1.6, 1.4, 3.6)) for side in (1, -1)]
    gallbladder = solids.cone(plan.at(0.60, -6.5, 27, 0), plan.at(0.635, -8, 33, 0), 1.2 * t, 2.3 * t)
    return [
        Part("fetal_lungs", "fetal_lung", 24, "fetus", _lungs(plan), 2.5),
        Part("fetal_liver", "liver", 25, "fetus", _liver(plan), 2.5),
        Part("fetal_bowel", "bowel", 26, "fetus", _bowel(plan), 2.0),
        Part("fetal_kidneys", "kidney", 27, "fetus", solids.rough(solids.union(*kidneys), 0.3, 4, plan.seed + 34), 2.0),
        Part("fetal_renal_pelves", "urine", 28, "fetus", solids.union(*pelves), 1.4),
        Part("fetal_stomach", "stomach_fluid", 29, "fetus", organ(0.575, (14.0, 13.5, 0), (5.2, 8.0, 6.5)), 2.0),
        Part("fetal_gallbladder", "urine", 30, "fetus", gallbladder, 1.4),
        Part("fetal_bladder", "urine", 31, "fetus", organ(0.87, (0, 20, 0), (5.5, 5.5, 6.5)), 2.0),
        Part("fetal_heart_muscle", "heart_muscle", 32, "fetus", muscle, 2.0),
        Part("fetal_vessels", "blood", 33, "fetus", _vessels(plan), 1.4),
        Part("fetal_umbilical_vein", "blood", 34, "fetus", _umbilical_vein(plan), 1.6),
        Part("fetal_heart_chambers", "blood", 35, "fetus", chambers, 1.8),
        Part("fetal_spinal_canal", "csf", 36, "fetus", _canal(plan, 2.3, 0.95), 1.6),
        Part("fetal_spinal_cord", "brain", 37, "fetus", _canal(plan, 1.3, 0.72), 1.4),
        Part("fetal_vertebrae", "fetal_bone", 52, "fetus", _vertebrae(plan), 1.3),
        Part("fetal_ribs", "fetal_bone", 53, "fetus", _ribs(plan), 1.3),
        Part("fetal_girdles", "fetal_bone", 54, "fetus", _girdles(plan), 1.3),
    ]
