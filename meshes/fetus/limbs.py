"""Arms and legs: outline, long bones with their cartilage ends, hands and feet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshes.fetus.plan import FetusPlan, Limb
from meshes.shapes import solids
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid


@dataclass(frozen=True)
class Girth:
    """Radii of a limb: rows of (fraction of the segment's length, radius in 22-week mm of a lean limb)."""

    proximal: np.ndarray
    distal: np.ndarray


ARM = Girth(np.array([(0, 7.6), (0.3, 7.6), (1, 5.6)]), np.array([(0, 6.0), (0.3, 6.1), (1, 4.2)]))
LEG = Girth(np.array([(0, 13.0), (0.35, 11.0), (1, 7.4)]), np.array([(0, 7.8), (0.32, 8.0), (1, 5.0)]))
FILLING = 0.004  # a week from 20 weeks on: how much more than in length limbs grow in girth (estimate)
ROOT = 0.4  # this share of an upper arm or a thigh may be one with the trunk


def limbs(plan: FetusPlan) -> list[tuple[Limb, Girth]]:
    """Left arm, right arm, left leg, right leg."""
    return [*[(arm, ARM) for arm in plan.arms], *[(leg, LEG) for leg in plan.legs]]


def fullness(plan: FetusPlan) -> float:
    """What the radii of a `Girth` are multiplied by: scale and fat."""
    return plan.limb_scale * (1.19 + FILLING * max(plan.growth.weeks - 20, 0.0))


def _segment(a, b, girth: np.ndarray, scale: float, start: float = 0.0, stop: float = 1.0) -> Solid:
    """The stretch from `start` to `stop` of a segment between the joints `a` and `b`."""
    inner = girth[(girth[:, 0] > start) & (girth[:, 0] < stop), 0]
    stations = np.r_[start, inner, stop]
    return solids.tube(a + stations[:, None] * (b - a), scale * np.interp(stations, *girth.T))


def root_part(plan: FetusPlan, limb: Limb, girth: Girth) -> Solid:
    """Outline of shoulder or hip and the part of the limb that may be one with the trunk."""
    return _segment(limb.root, limb.middle, girth.proximal, fullness(plan), 0.0, ROOT)


def free_part(plan: FetusPlan, limb: Limb, girth: Girth) -> Solid:
    """Outline of the rest of the limb, with hand or foot."""
    k, scale = plan.limb_scale, fullness(plan)
    upper = _segment(limb.root, limb.middle, girth.proximal, scale, ROOT, 1.0)
    lower = _segment(limb.middle, limb.end, girth.distal, scale)
    return solids.union(upper, lower, (_hand if girth is ARM else _foot)(limb, k, 1.0), blend=2.0 * k)


def skin(plan: FetusPlan) -> Solid:
    """Outline of the four limbs; hands and feet with their digits."""
    pieces = [part(plan, *limb) for limb in limbs(plan) for part in (root_part, free_part)]
    return solids.union(*pieces)


def _across(limb: Limb) -> np.ndarray:
    """Unit vector across the palm or the sole."""
    v = np.cross(limb.tip - limb.end, limb.palm)
    return v / np.linalg.norm(v)


def _digits(limb: Limb, k: float, knuckle: float, spread: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Start and end of four fingers or five toes."""
    along, across = limb.tip - limb.end, _across(limb)
    rays = []
    for offset in (-1.5, -0.5, 0.5, 1.5):
        start = limb.end + knuckle * along + across * offset * spread * k
        reach = (1 - knuckle) * (1.0 - 0.06 * abs(offset))
        rays.append((start, start + reach * along + across * offset * 0.25 * spread * k))
    return rays


def _hand(arm: Limb, k: float, scale: float) -> Solid:
    along, across = arm.tip - arm.end, _across(arm)
    axes = np.array([across, np.cross(along, across) / np.linalg.norm(along), along / np.linalg.norm(along)])
    palm = solids.ellipsoid(arm.end + 0.28 * along, np.array([4.8, 2.4, 0.3 * np.linalg.norm(along) / k]) * k, axes)
    fingers = [solids.cone(a, b, 1.25 * k * scale, 1.0 * k * scale) for a, b in _digits(arm, k, 0.5, 2.3)]
    root = arm.end + 0.2 * along + across * 3.0 * k
    thumb = solids.cone(root, root + 0.28 * along + across * 3.2 * k, 1.4 * k, 1.0 * k)
    return solids.union(palm, *fingers, thumb, blend=0.8 * k)


def _foot(leg: Limb, k: float, scale: float) -> Solid:
    along = leg.tip - leg.end
    heel = leg.end - 0.12 * along
    sole = solids.tube([heel, leg.end + 0.45 * along, leg.end + 0.75 * along], np.array([4.0, 3.3, 3.0]) * k)
    toes = [solids.cone(a, b, 1.35 * k * scale, 1.15 * k * scale) for a, b in _digits(leg, k, 0.72, 2.1)]
    return solids.union(sole, *toes, blend=1.2 * k)


def _long_bone(start, end, shaft: float, ends: float, inset: float) -> Solid:
    """Ossified shaft, flared at both ends and flat across them; `inset` mm of cartilage are left at each end."""
    axis = (end - start) / np.linalg.norm(end - start)
    a, b = start + inset * axis, end - inset * axis
    length = np.linalg.norm(b - a)
    stops = np.array([0.0, 0.16, 0.5, 0.84, 1.0])
    radii = np.array([ends, shaft * 1.05, shaft, shaft * 1.05, ends])
    points = a + stops[:, None] * length * axis
    return solids.intersect(solids.tube(points, radii), solids.below(a, -axis), solids.below(b, axis))


def femur_ends(plan: FetusPlan, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the ossified femoral shaft (the FL caliper points)."""
    leg = plan.legs[index]
    axis = (leg.middle - leg.root) / np.linalg.norm(leg.middle - leg.root)
    middle = 0.5 * (leg.root + leg.middle)
    return middle - 0.5 * plan.growth.fl_mm * axis, middle + 0.5 * plan.growth.fl_mm * axis


def _bones(plan: FetusPlan) -> Solid:
    k, pieces = plan.limb_scale, []
    for arm in plan.arms:
        pieces.append(_long_bone(arm.root, arm.middle, 1.35 * k, 2.1 * k, 2.2 * k))
        side = _across(arm) * 1.6 * k
        for sign, shaft in ((1, 0.95), (-1, 0.95)):
            pieces.append(_long_bone(arm.middle + sign * side, arm.end + sign * side, shaft * k, 1.3 * k, 2.2 * k))
        pieces += [solids.cone(a * 0.5 + 0.5 * arm.end, a, 0.6 * k, 0.6 * k) for a, _ in _digits(arm, k, 0.5, 2.1)]
        pieces += [
            solids.cone(0.8 * a + 0.2 * b, 0.2 * a + 0.8 * b, 0.55 * k, 0.5 * k) for a, b in _digits(arm, k, 0.5, 2.3)
        ]
    for index, leg in enumerate(plan.legs):
        a, b = femur_ends(plan, index)
        pieces.append(_long_bone(a, b, 2.1 * k, 3.1 * k, 0.0))
        side = _across(leg) * 2.0 * k
        pieces.append(_long_bone(leg.middle + side * 0.3, leg.end + side * 0.3, 1.5 * k, 2.3 * k, 2.6 * k))
        pieces.append(_long_bone(leg.middle - side, leg.end - side, 0.8 * k, 1.1 * k, 3.4 * k))
        pieces.append(solids.sphere(leg.end - 0.05 * (leg.tip - leg.end), 1.9 * k))
        pieces += [solids.cone(0.6 * leg.end + 0.4 * a, a, 0.65 * k, 0.65 * k) for a, _ in _digits(leg, k, 0.7, 1.9)]
    return solids.union(*pieces)


def _cartilage(plan: FetusPlan) -> Solid:
    """Epiphyses of the large joints."""
    k, pieces = plan.limb_scale, []
    for arm in plan.arms:
        pieces += [solids.sphere(arm.root, 3.0 * k), solids.sphere(arm.middle, 3.2 * k)]
    for leg in plan.legs:
        pieces += [
            solids.sphere(leg.root, 4.2 * k),
            solids.sphere(leg.middle, 4.2 * k),
            solids.sphere(leg.end, 2.9 * k),
        ]
    return solids.union(*pieces)


def limb_parts(plan: FetusPlan) -> list[Part]:
    """Surfaces inside the limbs."""
    return [
        Part("fetal_epiphyses", "cartilage", 44, "fetus", _cartilage(plan), 2.0),
        Part("fetal_limb_bones", "fetal_long_bone", 63, "fetus", _bones(plan), 1.2),
    ]
