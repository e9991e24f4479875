"""The uterus and what is in it: where the fetus lies, wall, amniotic fluid, placenta, cord.

Scene frame (DICOM patient axes): x maternal left, y posterior, z cranial, mm; origin in the middle of the cavity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from skimage.graph import MCP_Geometric

from meshes.mother.cavity import Cavity, egg, hold, press_in
from meshes.shapes import sdf, solids
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid
from meshes.variation import Variation

WALL_GAP_MM = 0.9  # least fluid between the fetus and the wall
PLACENTA_GAP_MM = 1.2  # and the placenta
RIM_MM = 12.0  # width of the rim over which the placenta thins out
LAKES = 5


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
        room: the amniotic cavity, placenta included.
        wall_mm: thickness of the myometrium.
        lie: pose of the fetus.
        placenta_site: unit vector from the middle of the cavity to the middle of the placenta.
        placenta_mm: its thickness; placenta_radius_mm its radius along the wall.
        seed: seed of the relief.
    """

    room: Cavity
    wall_mm: float
    lie: Lie
    placenta_site: np.ndarray
    placenta_mm: float
    placenta_radius_mm: float
    seed: int

    @cached_property
    def cavity(self) -> Solid:
        """The amniotic cavity as a solid."""
        return self.room.solid

    @cached_property
    def hull(self) -> Solid:
        """The cavity before the wall was pressed in: what the mother's belly is stretched over."""
        return self.room.hull

    @property
    def radii_mm(self) -> np.ndarray:
        """(3,) half extents of the cavity."""
        return self.room.half_mm

    def wall_point(self, direction) -> np.ndarray:
        """Where the ray from the middle along `direction` meets the wall."""
        d = np.asarray(direction, float) / np.linalg.norm(direction)
        t = np.arange(0.0, 400.0, 1.0)
        depth = sdf.distance(self.cavity, t[:, None] * d)
        out = int(np.argmax(depth > 0))
        return (t[out] - depth[out] / (depth[out] - depth[out - 1])) * d


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
    """Amniotic fluid: usual volumes × `factor`.

    After Brace & Wolf, Am J Obstet Gynecol 1989;161:382–388: 630 ml at 22 weeks, about 780 ml from 29 to 37 weeks, of
    which single pregnancies differ widely (95 % of them from 302 to 1997 ml). Before 22 weeks interpolated.
    """
    return float(np.interp(weeks, [16, 18, 20, 22, 28, 33, 36], [220, 330, 480, 630, 760, 790, 770])) * factor


def plan_uterus(
    fetal_skin: np.ndarray, fetal_volume_ml: float, rotation: np.ndarray, variation: Variation, weeks: float
) -> UterusPlan:
    """Fits the cavity around fetus and placenta: the egg that, where it must wrapped round the fetus, has room for
    the fluid asked for; the convex hull of the fetus where that is more.

    Args:
        fetal_skin: (n, 3) points of the fetal skin, fetus frame.
        fetal_volume_ml: volume of the fetus.
        rotation: columns are the fetal axes in the scene.
        variation: placental site and thickness, amount of fluid, seed.
        weeks: gestational age.
    """
    everything = fetal_skin @ rotation.T
    low, high = everything.min(axis=0), everything.max(axis=0)
    site = np.asarray(variation.placenta_site, float)
    site = site / np.linalg.norm(site)
    thickness = (8.0 + 0.6 * weeks) * variation.placenta_factor  # mm; a little below the age in weeks
    shift = -0.5 * (low + high) - 0.5 * thickness * site  # the fetus makes room for the placenta
    points = _outermost(everything) + shift
    half = 0.5 * (high - low) + 0.5 * thickness * np.abs(site)
    half = np.maximum(half, 0.6 * half.max())  # the egg is no sausage
    plan = UterusPlan(Cavity(egg(half)), 7.0, Lie(rotation, shift), site, thickness, 24.0 + 1.5 * weeks, variation.seed)
    wanted = fetal_volume_ml + fluid_volume_ml(weeks, variation.fluid_factor)
    small, large = 0.55, 1.5  # of the egg against the extent of the fetus
    for _ in range(6):
        middle = 0.5 * (small + large)
        if _fluid_and_fetus_ml(_fitted(plan, middle * half, points)) <= wanted:
            small = middle
        else:
            large = middle
    best, everything = _fitted(plan, small * half, points), everything + shift
    from_root = np.linalg.norm(everything - best.wall_point(site), axis=1)
    near = everything[from_root < plan.placenta_radius_mm + 2 * RIM_MM]  # a finger before the placenta needs room too
    best = _fitted(plan, small * half, np.concatenate([points, near]))
    return _pressed_in(best, everything, wanted)


def _fitted(plan: UterusPlan, radii: np.ndarray, points: np.ndarray) -> UterusPlan:
    """The plan with the egg of those half axes, widened to hold `points` clear of the wall and of the placenta."""
    start = egg(radii)
    plan = replace(plan, room=hold(start, points, np.full(len(points), WALL_GAP_MM)))
    for _ in range(3):  # the placenta moves out with the wall
        plan = replace(plan, room=hold(start, points, _gaps(plan, points)))
    return plan


def _gaps(plan: UterusPlan, points: np.ndarray) -> np.ndarray:
    """Distance (n,) that points of the fetus must have from the wall, mm: more over the placenta."""
    from_root = np.linalg.norm(points - plan.wall_point(plan.placenta_site), axis=1)
    over = np.clip((plan.placenta_radius_mm + 0.5 * RIM_MM - from_root) / RIM_MM, 0.0, 1.0)
    return WALL_GAP_MM + over * (plan.placenta_mm + PLACENTA_GAP_MM - WALL_GAP_MM)


def _pressed_in(plan: UterusPlan, points: np.ndarray, wanted_ml: float) -> UterusPlan:
    """The plan with its wall pressed into the hollows of the fetus, away from the placenta, if it holds too much."""
    step = 5.0
    held = _held(plan, step)
    surplus = len(held) - int(wanted_ml * 1e3 / step**3)
    if surplus < 0.02 * len(held):
        return plan
    low, high = plan.cavity.low_mm, plan.cavity.high_mm
    wall = np.random.default_rng(0).uniform(low, high, (60_000, 3))
    wall = wall[np.linalg.norm(wall - plan.wall_point(plan.placenta_site), axis=1) < plan.placenta_radius_mm + RIM_MM]
    wall = wall[np.abs(sdf.distance(plan.cavity, wall)) < 1.0]
    everything = np.concatenate([points, wall])
    gaps = np.concatenate([_gaps(plan, points), np.full(len(wall), -1.0)])
    return replace(plan, room=press_in(plan.room, everything, gaps, held, surplus))


def _held(plan: UterusPlan, step: float) -> np.ndarray:
    """Points (n, 3) of a grid of that step that lie in the cavity and not in the placenta."""
    cavity = plan.cavity
    axes = [np.arange(low + step / 2, high, step) for low, high in zip(cavity.low_mm, cavity.high_mm, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points[sdf.distance(cavity, points) < 0]
    near = np.linalg.norm(inside - plan.wall_point(plan.placenta_site), axis=1) < plan.placenta_radius_mm
    near[near] = sdf.distance(_placenta(plan, 0.0), inside[near]) < 0
    return inside[~near]


def _fluid_and_fetus_ml(plan: UterusPlan, step: float = 5.0) -> float:
    """What the cavity holds beside the placenta, by counting points of a grid."""
    return len(_held(plan, step)) * step**3 * 1e-3


def _outermost(points: np.ndarray, directions: int = 400) -> np.ndarray:
    """The points that are extreme in evenly spread directions, and every eighth of the others."""
    i = np.arange(directions) + 0.5
    tilt, turn = np.arccos(1 - 2 * i / directions), np.pi * (1 + 5**0.5) * i
    spread = np.stack([np.cos(turn) * np.sin(tilt), np.sin(turn) * np.sin(tilt), np.cos(tilt)], axis=1)
    extreme = np.argmax(points @ spread.T, axis=0)
    return points[np.unique(np.r_[extreme, np.arange(0, len(points), 8)])]


def _placenta(plan: UterusPlan, relief: float = 0.7) -> Solid:
    """A cake on the wall: cavity grown 1 mm into the wall, minus the cavity shrunk by the thickness, in a ball."""
    cake = solids.sphere(plan.wall_point(plan.placenta_site), plan.placenta_radius_mm)
    fluid = solids.offset(plan.hull, -plan.placenta_mm)
    cake = solids.subtract(cake, fluid, blend=14.0)
    cake = solids.intersect(cake, solids.offset(plan.cavity, 1.0))
    return solids.rough(cake, relief, 13.0, plan.seed + 51) if relief else cake


def _in_placenta(plan: UterusPlan, along: np.ndarray, depth_mm: np.ndarray) -> np.ndarray:
    """Points (n, 3) of the placenta: `along` (n, 2) mm from its middle along the wall, `depth_mm` below the wall."""
    site = plan.placenta_site
    across = solids.rotation_to(site)[:2]
    points = plan.wall_point(site) + along @ across - depth_mm[:, None] * site
    for _ in range(6):  # the wall curves away from its tangent plane
        points = points - (sdf.distance(plan.cavity, points) + depth_mm)[:, None] * sdf.normal(plan.cavity, points, 2.0)
    return points


def _chorionic_vessels(plan: UterusPlan, radius: float) -> Solid:
    """Branches of the cord's vessels over the fetal side of the placenta: winding, forked half-way, thinning out."""
    rng = np.random.default_rng([plan.seed, 53])
    pieces, reach = [], 0.74 * plan.placenta_radius_mm
    turns = 2 * np.pi * (np.arange(6) + rng.uniform(-0.3, 0.3, 6)) / 6
    for turn in turns:
        for fork in (0.0, rng.choice((-1, 1)) * rng.uniform(0.35, 0.6)):
            share = np.linspace(0.0, 1.0, 12) if fork == 0.0 else np.linspace(0.4, 1.0, 8)
            angle = turn + fork * np.clip((share - 0.4) / 0.6, 0, 1) + 0.10 * np.sin(9.0 * share + 7.0 * turn)
            along = reach * share[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            line = _in_placenta(plan, along, np.full(len(share), plan.placenta_mm - 0.6))
            pieces.append(solids.tube(line, radius * (1.0 - 0.5 * share)))
    return solids.union(*pieces)


def lake_centres(plan: UterusPlan) -> np.ndarray:
    """Middles of the lakes of the placenta (LAKES, 3), scene frame, mm: spread round the root of the cord."""
    rng = np.random.default_rng([plan.seed, 54])
    turns = 2 * np.pi * (np.arange(LAKES) + rng.uniform(-0.35, 0.35, LAKES)) / LAKES
    radii = plan.placenta_radius_mm * rng.uniform(0.22, 0.55, LAKES)
    along = radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return _in_placenta(plan, along, plan.placenta_mm * rng.uniform(0.4, 0.6, LAKES))


def _lakes(plan: UterusPlan) -> Solid:
    """Maternal blood pooled between the villi: irregular spaces, wider along the wall than they are deep."""
    rng = np.random.default_rng([plan.seed, 56])
    pools = []
    for centre in lake_centres(plan):
        axes = solids.rotation_to(sdf.normal(plan.cavity, centre, 2.0)[0])
        turn = rng.uniform(0.0, 2 * np.pi)
        for angle in (turn, turn + np.pi + rng.uniform(-0.9, 0.9)):  # two bays that meet in the middle
            half = plan.placenta_mm * np.array([*rng.uniform(0.16, 0.27, 2), rng.uniform(0.10, 0.17)])
            bay = np.array([np.cos(angle), np.sin(angle), rng.uniform(-0.4, 0.4)]) * 0.6 * half
            pools.append(solids.ellipsoid(centre + bay @ axes, half, axes))
    return solids.rough(solids.union(*pools, blend=1.5), 0.7, 4.5, plan.seed + 55)


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
    room = -sdf.distance(cavity, flat)
    within = room > -2.0 * step  # beyond the wall nothing else is nearer
    inside = flat[within]
    room[within] = np.minimum(
        np.minimum(sdf.distance(fetal_skin, plan.lie.to_fetus(inside)), sdf.distance(_placenta(plan, 0.0), inside)),
        room[within],
    )
    room = room.reshape(cells.shape[:3])
    cost = np.where(room > radius, 1.0 + 12.0 / (1.0 + room - radius), 40.0 + 60.0 * np.maximum(radius - room, 0))
    # the end of the cord sinks into the plate
    root = _in_placenta(plan, np.zeros((1, 2)), np.array([plan.placenta_mm + 0.5]))[0]
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
    x, y, low = plan.wall_point((0.0, 0.1, -1.0)) * (1.0, 1.0, -1.0)
    wall = solids.offset(plan.cavity, plan.wall_mm)
    neck = solids.cone((x, y, -low + 4), (x, y + 18, -low - 36), 17, 13)
    uterus = solids.rough(solids.union(wall, neck, blend=10.0), 0.4, 14.0, plan.seed + 50)
    canal = solids.cone((x, y + 3, -low - 3), (x, y + 16, -low - 32), 1.3, 1.5)
    vessels = [
        solids.tube(_helix(_resample(cord, 1.2), 0.42 * cord_radius, 20.0, phase), share * cord_radius)
        for phase, share in ((0.0, 0.38), (2.3, 0.20), (4.0, 0.20))
    ]
    cake = _placenta(plan)
    plate = solids.intersect(solids.shell(cake, 1.6), solids.offset(plan.cavity, -3.0))
    branches = _chorionic_vessels(plan, 0.42 * cord_radius)
    plate = solids.union(plate, solids.offset(branches, 0.8))
    return [
        Part("uterus", "uterus", 15, "mother", uterus, 5.0),
        Part("cervical_canal", "csf", 16, "mother", canal, 1.6),
        Part(
            "amniotic_fluid",
            "amniotic_fluid",
            17,
            "mother",
            solids.rough(plan.cavity, 0.5, 18.0, plan.seed + 52),
            4.0,
        ),
        Part("placenta", "placenta", 18, "mother", cake, 3.0),
        Part("chorionic_plate", "chorion", 19, "mother", plate, 1.6),
        Part("cord", "cord", 20, "mother", solids.tube(cord, cord_radius), 2.2),
        Part("cord_vessels", "blood", 21, "mother", solids.union(*vessels), 1.4),
        Part("placental_vessels", "blood", 22, "mother", branches, 1.6),
        Part("placental_lakes", "blood", 23, "mother", _lakes(plan), 2.0),
    ]
