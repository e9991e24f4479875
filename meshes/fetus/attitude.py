"""How the fetus holds its limbs: a usual attitude for the age, then settled so that no limb runs through another part.

The settling is a least-squares balance, in the manner of inverse kinematics: limbs keep clear of trunk, head and one
another, keep near the usual attitude, bend elbows and knees no further than they go, and, once room has run out, keep
the whole fetus within the least hull.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares

from meshes.fetus import limbs as fetus_limbs
from meshes.fetus.body import FOLD_MM, trunk_and_head
from meshes.fetus.growth import Growth
from meshes.fetus.limbs import ARM, Girth
from meshes.fetus.plan import FetusPlan, Limb, curl, plan_trunk
from meshes.mother.cavity import DIRECTIONS
from meshes.shapes import sdf
from meshes.shapes.solids import Solid
from meshes.variation import Variation

ARM_LENGTHS, LEG_LENGTHS = (1.02, 0.92, 0.52), (1.16, 1.02, 0.80)  # segments, proximal to distal, in femur lengths
SHARPEST = np.cos(np.radians(34.0))  # between the two segments at a fully bent elbow or knee
HIP = (0.92, 17.0, 15.0)  # of the left leg: fraction of the spine, left, ventral
FREE_FROM = 0.5  # of the proximal segment: balls from here on are kept clear
# weights of the balance; lengths count in 22-week mm
CLEAR, HABIT, HINGE, HULL = 3.0, 9.0, 600.0, 2.0


def _unit(v) -> np.ndarray:
    v = np.asarray(v, float)
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _turned(direction: np.ndarray, turns) -> np.ndarray:
    """A direction in local axes, turned by two small angles: sideways and up."""
    return _unit(direction + np.array([turns[0], 0.0, turns[1]]))


def _between(loose, curled, share: float) -> np.ndarray:
    """A unit vector from the attitude with room to the curled one."""
    return _unit((1.0 - share) * _unit(loose) + share * _unit(curled))


def _leg(side: float, turns, share: float) -> np.ndarray:
    """Directions (3, 3) of a flexed leg, local axes: thigh forward and outward, shin back and down, foot down.

    Curled, the knee lies beside the belly and the feet cross before the buttocks, the left one in front.
    """
    spread = abs(turns[0]) * side  # legs open, they do not cross
    front = 0.06 * side
    thigh = _between((0.36 * side, 0.88, 0.24), (0.29 * side, 0.76 + front, 0.56), share)
    shin = _between((-0.34 * side, -0.50, -0.80), (-0.40 * side, -0.44, -0.80), share)
    foot = _between((-0.05 * side, 0.45, -0.88), (-0.74 * side, -0.02 + 3 * front, -0.62), share)
    return np.array([_turned(thigh, (spread, turns[1])), _turned(shin, (0.0, turns[0])), foot])


def _arm(side: float, turns, share: float) -> np.ndarray:
    """Directions (3, 3) of a flexed arm: elbow beside the chest, hand before the chin; curled, before the cheek."""
    spread = abs(turns[0]) * side
    upper = _between((0.24 * side, 0.62, -0.64), (0.22 * side, 0.50, -0.84), share)
    fore = _between((-0.46 * side, 0.46, 0.70), (-0.42 * side, 0.36, 0.80), share)
    hand = _between((-0.25 * side, 0.50, 0.80), (-0.40 * side, 0.12, 0.90), share)
    return np.array([_turned(upper, (spread, turns[1])), _turned(fore, (0.6 * spread, turns[0])), hand])


def _limb(root, directions: np.ndarray, lengths, palm) -> Limb:
    """Joints from the directions (3, 3) of the segments, fetus frame."""
    middle = root + lengths[0] * directions[0]
    end = middle + lengths[1] * directions[1]
    return Limb(root, middle, end, end + lengths[2] * directions[2], palm)


def _balls(plan: FetusPlan, limb: Limb, girth: Girth) -> tuple[np.ndarray, np.ndarray]:
    """Balls (centres (n, 3), radii (n,) in mm) that fill a limb from FREE_FROM on."""
    k, scale = plan.limb_scale, fetus_limbs.fullness(plan)
    centres, radii = [], []
    for a, b, stations, table in (
        (limb.root, limb.middle, np.linspace(FREE_FROM, 1.0, 6), girth.proximal),
        (limb.middle, limb.end, np.linspace(0.1, 1.0, 8), girth.distal),
    ):
        centres.append(a + stations[:, None] * (b - a))
        radii.append(scale * np.interp(stations, *table.T))
    along = limb.tip - limb.end
    across = _unit(np.cross(along, limb.palm)) * k
    reach = 4.5 if girth is ARM else 3.0
    ends = [limb.end + t * along + side * reach * across for t in (0.3, 0.65, 1.0) for side in (-1.0, 0.0, 1.0)]
    heel = [] if girth is ARM else [limb.end - 0.12 * along]
    centres.append(np.array([*ends, *heel]))
    radii.append(k * np.array([2.4 if girth is ARM else 3.2] * len(ends) + [4.0] * len(heel)))
    return np.concatenate(centres), np.concatenate(radii)


def _support(points: np.ndarray, radii=0.0) -> np.ndarray:
    """How far balls reach in every direction."""
    return (points @ DIRECTIONS[:162].T + np.reshape(radii, (-1, 1))).max(axis=0)


def plan_fetus(growth: Growth, variation: Variation) -> FetusPlan:
    """Computes the landmarks of one fetus, its limbs settled."""
    bare = plan_trunk(growth, variation)
    share = curl(growth.weeks)
    turns = variation.limb_turns * (1.0 - 0.7 * share)  # curled limbs have no room to differ much
    habit, roots, palms, lengths = [], [], [], []
    for index, side in enumerate((1, -1)):
        habit.append(_arm(side, turns[index], share) @ bare.axes(0.30))
        roots.append(bare.at(0.19, 20 * side, 11, 0))
        palms.append(_unit((-0.9 * side, -0.3, 0.0)) @ bare.axes(0.30))
        lengths.append(np.array(ARM_LENGTHS) * growth.fl_mm)
    for index, side in enumerate((1, -1)):
        habit.append(_leg(side, turns[2 + index], share) @ bare.axes(0.86))
        roots.append(bare.at(HIP[0], HIP[1] * side, HIP[2], 0))
        palms.append(_unit((0.0, -0.6, -0.75)) @ bare.axes(0.86))
        lengths.append(np.array(LEG_LENGTHS) * growth.fl_mm)

    def with_limbs(directions) -> FetusPlan:
        left_arm, right_arm, left_leg, right_leg = (
            _limb(*limb) for limb in zip(roots, _unit(directions), lengths, palms, strict=True)
        )
        return replace(bare, arms=(left_arm, right_arm), legs=(left_leg, right_leg))

    return with_limbs(_settled(with_limbs, np.array(habit), trunk_and_head(bare), share))


def _settled(with_limbs, habit: np.ndarray, body: Solid, share: float) -> np.ndarray:
    """Directions (4, 3, 3) of the limbs' segments after the balance described above."""
    k = with_limbs(habit).limb_scale
    clear = FOLD_MM * k
    crowd = body.low_mm + np.random.default_rng(0).random((40_000, 3)) * (body.high_mm - body.low_mm)
    own = _support(crowd[sdf.distance(body, crowd) < 0])

    def imbalance(flat: np.ndarray) -> np.ndarray:
        directions = flat.reshape(habit.shape)
        plan = with_limbs(directions)
        balls = [_balls(plan, *limb) for limb in fetus_limbs.limbs(plan)]
        centres, radii = np.concatenate([b[0] for b in balls]), np.concatenate([b[1] for b in balls])
        gaps = [sdf.distance(body, centres) - radii]
        for i, (mine, size) in enumerate(balls):
            for other, others in balls[i + 1 :]:
                apart = np.linalg.norm(mine[:, None] - other[None], axis=-1) - size[:, None] - others
                gaps += [apart.min(axis=1), apart.min(axis=0)]
        short = np.maximum(clear - np.concatenate(gaps), 0.0) / k
        units = _unit(directions)
        bent = np.maximum((-units[:, 0] * units[:, 1]).sum(axis=1) - SHARPEST, 0.0)
        sticking_out = np.maximum(_support(centres, radii) - own, 0.0) / k
        return np.concatenate(
            [CLEAR * short, HABIT * (directions - habit).ravel(), HINGE * bent, share * HULL * sticking_out]
        )

    return least_squares(imbalance, habit.ravel(), max_nfev=40, xtol=1e-3, ftol=1e-4).x.reshape(habit.shape)
