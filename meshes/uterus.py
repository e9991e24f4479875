"""The uterus and what is in it: where the fetus lies, wall, amniotic fluid, placenta, cord.

Scene frame (DICOM patient axes): x maternal left, y posterior, z cranial, mm; origin in the middle of the cavity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gamma

import numpy as np
from skimage.graph import MCP_Geometric

from meshes import sdf, solids
from meshes.errors import SurfaceError
from meshes.part import Part
from meshes.solids import Solid
from meshes.variation import Variation

CAVITY_EXPONENT = 2.3
WALL_GAP_MM = 2.0  # least fluid between the fetus and the wall
PLACENTA_GAP_MM = 2.2  # and the placenta
MOST_BALLS = 90
PRESSED_SHARE = 1.0  # the fetus may widen the egg by so many mm per week of age: beyond, the egg is too small
DENTED_SHARE = 0.45  # and may press the placenta in by this share of its thickness
NONE = np.zeros((0, 4))


@dataclass(frozen=True)
class Lie:
    """How the fetus lies: scene point = rotation @ fetus point + shift_mm. Columns of `rotation` are fetal axes."""

    rotation: np.ndarray
    shift_mm: np.ndarray

    def to_scene(self, points) -> np.ndarray:
        """Fetus frame → scene frame, (n, 3) or (3,)."""
        return np.asarray(points) @ self.rotation.T + self.shift_mm

    def to_fetus(self, points) -> np.ndarray:
        """Scene frame → fetus frame."""
        return (np.asarray(points) - self.shift_mm) @ self.rotation


@dataclass(frozen=True)
class UterusPlan:
    """Landmarks of the pregnant uterus.

    Attributes:
        radii_mm: (3,) half axes of the egg that the amniotic cavity starts from.
        bulges: (n, 4) centres and radii of the balls that widen it.
        dents: (n, 4) balls where the fetus presses into the placenta.
        wall_mm: thickness of the myometrium.
        lie: pose of the fetus.
        placenta_site: unit vector from the middle of the cavity to the middle of the placenta.
        placenta_mm: its thickness; placenta_radius_mm its radius along the wall.
        seed: seed of the relief.
    """

    radii_mm: np.ndarray
    bulges: np.ndarray
    dents: np.ndarray
    wall_mm: float
    lie: Lie
    placenta_site: np.ndarray
    placenta_mm: float
    placenta_radius_mm: float
    seed: int

    @property
    def cavity(self) -> Solid:
        """The amniotic cavity, placenta included: an egg that bulges where the fetus presses on the wall."""
        egg = solids.superellipsoid((0, 0, 0), self.radii_mm, CAVITY_EXPONENT)
        if not len(self.bulges):
            return egg
        balls = solids.union(*[solids.sphere(row[:3], row[3]) for row in self.bulges])
        return solids.union(egg, balls, blend=24.0)

    def wall_point(self, direction) -> np.ndarray:
        """Where the ray from the middle along `direction` meets the wall of the egg."""
        d = np.asarray(direction, float)
        return d / np.sum((np.abs(d) / self.radii_mm) ** CAVITY_EXPONENT) ** (1 / CAVITY_EXPONENT)


def fetal_axes(variation: Variation) -> np.ndarray:
    """Rotation of the fetus; its columns are the fetal axes (left, posterior, cranial) in the scene."""
    roll = np.radians(variation.roll_deg)
    lie = {"cephalic": 0.0, "breech": 0.0, "transverse": 80.0}[variation.presentation]
    tilt = np.radians(lie + variation.tilt_deg)
    back = np.array([np.cos(roll), np.sin(roll), 0.0])
    up = np.array([0.0, 0.0, 1.0 if variation.presentation == "breech" else -1.0])
    turn = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    return turn @ np.stack([np.cross(back, up), back, up], axis=1)


def fluid_volume_ml(weeks: float, factor: float) -> float:
    """Amniotic fluid: usual volumes (Brace & Wolf, Am J Obstet Gynecol 1989;161:382–388, rounded) × `factor`."""
    return float(np.interp(weeks, [16, 22, 28, 33, 36], [200, 480, 700, 780, 740])) * factor


def _egg_volume_ml(radii) -> float:
    p = CAVITY_EXPONENT
    return 8e-3 * float(np.prod(radii)) * gamma(1 + 1 / p) ** 3 / gamma(1 + 3 / p)


def plan_uterus(
    fetal_skin: np.ndarray, fetal_volume_ml: float, rotation: np.ndarray, variation: Variation, weeks: float
) -> UterusPlan:
    """Fits an egg of the right volume around the fetus, clear of the placenta, then bulges it where it must give.

    Args:
        fetal_skin: (n, 3) points of the fetal skin, fetus frame.
        fetal_volume_ml: volume of the fetus.
        rotation: columns are the fetal axes in the scene.
        variation: placental site and thickness, amount of fluid, seed.
        weeks: gestational age.

    Raises:
        SurfaceError: no place for the fetus beside the placenta (does not happen in the allowed ranges).
    """
    everything = fetal_skin @ rotation.T
    middle = 0.5 * (everything.min(axis=0) + everything.max(axis=0))
    everything = everything - middle
    points = _outermost(everything)
    site = np.asarray(variation.placenta_site, float)
    thickness = (weeks + 1.0) * variation.placenta_factor  # in mm about the age in weeks
    radius = 26.0 + 1.35 * weeks
    content = fetal_volume_ml + 2.4e-3 * radius**2 * thickness + fluid_volume_ml(weeks, variation.fluid_factor)

    def fitted(x, volume):
        radii = np.exp([x[3], x[4], -x[3] - x[4]])
        radii *= (volume / _egg_volume_ml(radii)) ** (1 / 3)
        lie = Lie(rotation, x[:3] - middle)
        return UterusPlan(radii, NONE, NONE, 7.0, lie, site, thickness, radius, variation.seed)

    half = points.max(axis=0)
    shape = np.log(half) - np.log(half).mean()
    best = np.r_[-0.6 * thickness * site, 0.6 * shape[:2]]
    for volume in content * np.array([0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.55, 1.8, 2.2, 2.7, 3.3]):

        def badness(x, volume=volume):
            plan, placed = fitted(x, volume), points + x[:3]
            out = np.maximum(sdf.distance(plan.cavity, placed) + WALL_GAP_MM, 0.0)
            touch = np.maximum(PLACENTA_GAP_MM - sdf.distance(_placenta(plan, 0.0), placed), 0.0)
            long = max(0.0, np.ptp(np.log(plan.radii_mm)) - 0.9)  # a uterus is an egg, not a sausage
            return (out**2).mean() + 0.05 * out.max() ** 2 + (touch**2).mean() + 0.2 * touch.max() ** 2 + 100.0 * long

        steps = np.array([8.0, 8.0, 8.0, 0.1, 0.1])
        best = _descend(badness, best, steps)
        if volume > 1.5 * content:  # tight: the way taken so far may be a dead end
            afresh = _descend(badness, np.r_[-1.2 * thickness * site, shape[:2]], steps)
            best = min(best, afresh, key=badness)
        placed = everything + best[:3]
        plan = fitted(best, volume)
        bulges = _pressed(_room, "bulges", plan, placed, PRESSED_SHARE * weeks, 0.85 * weeks)
        if bulges is None:
            continue
        plan = replace(plan, bulges=bulges)
        dents = _pressed(_clearance, "dents", plan, placed, DENTED_SHARE * thickness + PLACENTA_GAP_MM, 18.0)
        if dents is not None:
            return _tightened(replace(plan, dents=dents), placed, content, weeks)
    raise SurfaceError("uterus: no place for the fetus beside the placenta")


def _volume_ml(solid: Solid, step: float = 7.0) -> float:
    """Volume by counting points of a grid, within a few per cent."""
    axes = [np.arange(low + step / 2, high, step) for low, high in zip(solid.low_mm, solid.high_mm, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return float((sdf.distance(solid, points) < 0).sum()) * step**3 * 1e-3


def _tightened(plan: UterusPlan, placed: np.ndarray, content_ml: float, weeks: float) -> UterusPlan:
    """Shrinks the egg round the fetus until the cavity holds no more than its content: the wall follows the fetus."""
    volume = _volume_ml(plan.cavity)
    for _ in range(9):
        if volume <= 1.05 * content_ml:
            break
        small = replace(plan, radii_mm=0.94 * plan.radii_mm, bulges=NONE, dents=NONE)
        bulges = _pressed(_room, "bulges", small, placed, 3.0 * weeks, 0.85 * weeks)
        if bulges is None:
            break
        small = replace(small, bulges=bulges)
        dents = _pressed(_clearance, "dents", small, placed, DENTED_SHARE * plan.placenta_mm + PLACENTA_GAP_MM, 18.0)
        found = _volume_ml(small.cavity)
        if dents is None or found >= volume:
            break
        plan, volume = replace(small, dents=dents), found
    return plan


def _room(plan: UterusPlan, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each point of the fetus is from the wall and should be, mm: over the placenta its thickness more."""
    from_root = np.linalg.norm(placed - plan.wall_point(plan.placenta_site), axis=1)
    over = np.clip((plan.placenta_radius_mm + 6.0 - from_root) / 12.0, 0.0, 1.0)
    return -sdf.distance(plan.cavity, placed), WALL_GAP_MM + over * (plan.placenta_mm + PLACENTA_GAP_MM - WALL_GAP_MM)


def _clearance(plan: UterusPlan, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for the placenta itself."""
    return sdf.distance(_placenta(plan, 0.0), placed), np.full(len(placed), PLACENTA_GAP_MM)


def _pressed(room, field: str, plan: UterusPlan, placed: np.ndarray, most_mm: float, depth: float) -> np.ndarray | None:
    """Balls (n, 4) for `field` where the fetus pushes its surroundings away, worst place first.

    The centre of a ball lies `depth` mm inside the fetus, so that its mark is wide and shallow. None when it would
    have to push by more than `most_mm`, or everywhere: then the egg is too small.
    """
    balls = NONE
    for _ in range(MOST_BALLS + 1):
        found, wanted = room(replace(plan, **{field: balls}), placed)
        left = found - wanted
        worst = int(np.argmin(left))
        if left[worst] >= 0.0:
            return balls
        if left[worst] < -most_mm:
            return None
        inward = -placed[worst] / plan.radii_mm**2
        inward /= np.linalg.norm(inward)
        balls = np.vstack([balls, [*(placed[worst] + depth * inward), depth + wanted[worst] + 1.4]])
    return None


def _outermost(points: np.ndarray, directions: int = 400) -> np.ndarray:
    """The points that are extreme in evenly spread directions, and every eighth of the others."""
    i = np.arange(directions) + 0.5
    tilt, turn = np.arccos(1 - 2 * i / directions), np.pi * (1 + 5**0.5) * i
    spread = np.stack([np.cos(turn) * np.sin(tilt), np.sin(turn) * np.sin(tilt), np.cos(tilt)], axis=1)
    extreme = np.argmax(points @ spread.T, axis=0)
    return points[np.unique(np.r_[extreme, np.arange(0, len(points), 8)])]


def _descend(cost, start: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Pattern search: deterministic, no gradients; halves its steps until they are a tenth of the first."""
    best, value, scale = start.copy(), cost(start), 1.0
    while scale > 0.06:
        moved = False
        for i in range(len(best)):
            for sign in (1.0, -1.0):
                trial = best.copy()
                trial[i] += sign * scale * steps[i]
                found = cost(trial)
                if found < value - 1e-6:
                    best, value, moved = trial, found, True
        if not moved:
            scale *= 0.5
    return best


def _placenta(plan: UterusPlan, relief: float = 0.7) -> Solid:
    """A cake on the wall: cavity grown 1 mm into the wall, minus the cavity shrunk by the thickness, in a ball."""
    cake = solids.sphere(plan.wall_point(plan.placenta_site), plan.placenta_radius_mm)
    fluid = solids.offset(plan.cavity, -plan.placenta_mm)
    cake = solids.subtract(cake, fluid, blend=14.0)
    cake = solids.intersect(cake, solids.offset(plan.cavity, 1.0))
    if len(plan.dents):
        cake = solids.subtract(cake, solids.union(*[solids.sphere(row[:3], row[3]) for row in plan.dents]), blend=5.0)
    return solids.rough(cake, relief, 13.0, plan.seed + 51) if relief else cake


def _smooth(path: np.ndarray, rounds: int) -> np.ndarray:
    for _ in range(rounds):
        path[1:-1] = 0.25 * path[:-2] + 0.5 * path[1:-1] + 0.25 * path[2:]
    return path


def _resample(path: np.ndarray, step: float) -> np.ndarray:
    arc = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    at = np.linspace(0, arc[-1], max(int(arc[-1] / step), 2) + 1)
    return np.stack([np.interp(at, arc, path[:, i]) for i in range(3)], axis=1)


def cord_path(plan: UterusPlan, fetal_skin: Solid, umbilicus: np.ndarray, radius: float) -> np.ndarray:
    """Way of the cord (n, 3), scene frame: placenta → the widest pocket of fluid → umbilicus, clear of the rest.

    The way is the cheapest path on a 3 mm grid where closeness to any wall costs.
    """
    step = 3.0
    cavity = plan.cavity
    axes = [np.arange(low, high + step, step) for low, high in zip(cavity.low_mm, cavity.high_mm, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    flat = cells.reshape(-1, 3)
    room = np.minimum(
        np.minimum(sdf.distance(fetal_skin, plan.lie.to_fetus(flat)), sdf.distance(_placenta(plan, 0.0), flat)),
        -sdf.distance(cavity, flat),
    ).reshape(cells.shape[:3])
    cost = np.where(room > radius, 1.0 + 12.0 / (1.0 + room - radius), 40.0 + 60.0 * np.maximum(radius - room, 0))
    root = plan.wall_point(plan.placenta_site)
    root = root - plan.placenta_site * (plan.placenta_mm - 1.5)
    navel = plan.lie.to_scene(umbilicus)
    detour = np.linalg.norm(cells - root, axis=-1) + np.linalg.norm(cells - navel, axis=-1)
    pocket = np.unravel_index(np.argmax(np.minimum(room, 14.0) + 0.05 * detour), room.shape)

    def cell(point):
        return tuple(round(float((point[i] - axes[i][0]) / step)) for i in range(3))

    search = MCP_Geometric(cost)
    search.find_costs([pocket])
    first, second = search.traceback(cell(root)), search.traceback(cell(navel))
    way = np.array([cells[c] for c in first[::-1] + second[1:]])
    way[0], way[-1] = root, navel
    return _resample(_smooth(_resample(way, step), 6), 2.5)


def _helix(path: np.ndarray, radius: float, pitch: float, phase: float) -> np.ndarray:
    """Curve that winds around `path`; the frame is carried along without twist."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent[0], (0.3, 0.5, 0.8))
    curve = []
    arc = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    for point, t, s in zip(path, tangent, arc, strict=True):
        side = side - t * (side @ t)
        side /= np.linalg.norm(side)
        turn = 2 * np.pi * s / pitch + phase
        curve.append(point + radius * (np.cos(turn) * side + np.sin(turn) * np.cross(t, side)))
    return np.array(curve)


def uterus_parts(plan: UterusPlan, cord: np.ndarray, cord_radius: float) -> list[Part]:
    """Surfaces of the uterus and its contents, scene frame."""
    low = plan.radii_mm[2]
    wall = solids.offset(plan.cavity, plan.wall_mm)
    neck = solids.cone((0, 6, -low + 4), (0, 24, -low - 36), 17, 13)
    uterus = solids.rough(solids.union(wall, neck, blend=10.0), 0.4, 14.0, plan.seed + 50)
    canal = solids.cone((0, 9, -low - 3), (0, 22, -low - 32), 1.3, 1.5)
    vessels = [
        solids.tube(_helix(_resample(cord, 1.2), 0.42 * cord_radius, 20.0, phase), share * cord_radius)
        for phase, share in ((0.0, 0.38), (2.3, 0.20), (4.0, 0.20))
    ]
    cake = _placenta(plan)
    plate = solids.intersect(solids.shell(cake, 1.6), solids.offset(plan.cavity, -3.0))
    return [
        Part("uterus", "uterus", 14, "mother", uterus, 5.0),
        Part("cervical_canal", "csf", 15, "mother", canal, 1.6),
        Part(
            "amniotic_fluid",
            "amniotic_fluid",
            16,
            "mother",
            solids.rough(plan.cavity, 0.5, 18.0, plan.seed + 52),
            4.0,
        ),
        Part("placenta", "placenta", 17, "mother", cake, 3.0),
        Part("chorionic_plate", "chorion", 18, "mother", plate, 1.6),
        Part("cord", "cord", 19, "mother", solids.tube(cord, cord_radius), 2.2),
        Part("cord_vessels", "blood", 20, "mother", solids.union(*vessels), 1.4),
    ]
