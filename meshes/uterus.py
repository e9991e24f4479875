"""The uterus and what is in it: where the fetus lies, wall, amniotic fluid, placenta, cord.

Scene frame (DICOM patient axes): x maternal left, y posterior, z cranial, mm; origin in the middle of the cavity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.graph import MCP_Geometric

from meshes import sdf, solids
from meshes.errors import SurfaceError
from meshes.part import Part
from meshes.solids import Solid

CAVITY_EXPONENT = 2.35


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
        radii_mm: (3,) half axes of the amniotic cavity.
        wall_mm: thickness of the myometrium.
        lie: pose of the fetus.
        placenta_site: unit vector from the middle of the cavity to the middle of the placenta.
        placenta_mm: its thickness; placenta_radius_mm its radius along the wall.
        seed: seed of the relief.
    """

    radii_mm: np.ndarray
    wall_mm: float
    lie: Lie
    placenta_site: np.ndarray
    placenta_mm: float
    placenta_radius_mm: float
    seed: int

    @property
    def cavity(self) -> Solid:
        """The amniotic cavity, placenta included."""
        return solids.superellipsoid((0, 0, 0), self.radii_mm, CAVITY_EXPONENT)

    def wall_point(self, direction) -> np.ndarray:
        """Where the ray from the middle along `direction` meets the wall of the cavity."""
        d = np.asarray(direction, float)
        return d / np.sum((np.abs(d) / self.radii_mm) ** CAVITY_EXPONENT) ** (1 / CAVITY_EXPONENT)


def presentation(roll_deg: float, tilt_deg: float, breech: bool) -> np.ndarray:
    """Rotation of a longitudinal lie.

    Args:
        roll_deg: where the fetal back points: 0 maternal left, 90 posterior, 180 right, 270 anterior.
        tilt_deg: turn of the long axis in the coronal plane of the mother.
        breech: head up instead of down.
    """
    roll, tilt = np.radians(roll_deg), np.radians(tilt_deg)
    back = np.array([np.cos(roll), np.sin(roll), 0.0])
    up = np.array([0.0, 0.0, 1.0 if breech else -1.0])
    turn = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    return turn @ np.stack([np.cross(back, up), back, up], axis=1)


def plan_uterus(
    fetal_skin: np.ndarray,
    rotation: np.ndarray,
    placenta_site,
    weeks: float,
    fluid_mm: float,
    seed: int,
) -> UterusPlan:
    """Fits the cavity around the fetus and moves the fetus clear of the placenta.

    Args:
        fetal_skin: (n, 3) points of the fetal skin, fetus frame.
        rotation: columns are the fetal axes in the scene.
        placenta_site: direction from the middle of the cavity.
        weeks: gestational age.
        fluid_mm: least distance between the fetus and the wall.
        seed: seed of the relief.

    Raises:
        SurfaceError: no place for the fetus beside the placenta (does not happen in the allowed ranges).
    """
    points = fetal_skin @ rotation.T
    middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
    points = points - middle
    site = np.asarray(placenta_site, float) / np.linalg.norm(placenta_site)
    thickness = weeks + 1.0  # placental thickness in mm is about the age in weeks
    radius = 26.0 + 1.35 * weeks

    def fitted(x):
        return UterusPlan(np.exp(x[3:]), 7.0, Lie(rotation, x[:3] - middle), site, thickness, radius, seed)

    def badness(x):
        plan, placed = fitted(x), points + x[:3]
        short = np.maximum(sdf.distance(plan.cavity, placed) + fluid_mm, 0.0)
        touch = np.maximum(3.0 - sdf.distance(_placenta(plan, 0.0), placed), 0.0)
        squat = np.maximum(np.abs(x[3:] - x[3:].mean()) - 0.45, 0.0).sum()  # a uterus is an egg, not a sausage
        return x[3:].sum() + 2.0 * squat + 0.3 * (short.max() + touch.max())

    best = np.r_[-8.0 * site, np.log(1.2 * (points.max(axis=0) + fluid_mm))]
    best = _descend(badness, best, np.array([8.0, 8.0, 8.0, 0.1, 0.1, 0.1]))
    for _ in range(60):
        plan, placed = fitted(best), points + best[:3]
        clear = sdf.distance(_placenta(plan, 0.0), placed).min()
        if sdf.distance(plan.cavity, placed).max() <= 0.5 - fluid_mm and clear >= 2.0:
            return plan
        best[3:] += 0.01
    raise SurfaceError("uterus: no place for the fetus beside the placenta")


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
    axes = [np.arange(-r, r + step, step) for r in plan.radii_mm]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    flat = cells.reshape(-1, 3)
    room = np.minimum(
        np.minimum(sdf.distance(fetal_skin, plan.lie.to_fetus(flat)), sdf.distance(_placenta(plan, 0.0), flat)),
        -sdf.distance(plan.cavity, flat),
    ).reshape(cells.shape[:3])
    cost = np.where(room > radius, 1.0 + 12.0 / (1.0 + room - radius), 40.0 + 60.0 * np.maximum(radius - room, 0))
    root = plan.wall_point(plan.placenta_site)
    root = root - plan.placenta_site * (plan.placenta_mm - 1.5)
    navel = plan.lie.to_scene(umbilicus)
    detour = np.linalg.norm(cells - root, axis=-1) + np.linalg.norm(cells - navel, axis=-1)
    pocket = np.unravel_index(np.argmax(np.minimum(room, 14.0) + 0.05 * detour), room.shape)

    def cell(point):
        return tuple(int(round(float((point[i] - axes[i][0]) / step))) for i in range(3))

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
    return [
        Part("uterus", "uterus", 11, "mother", uterus, 5.0),
        Part("cervical_canal", "csf", 12, "mother", canal, 1.6),
        Part("amniotic_fluid", "amniotic_fluid", 13, "mother", solids.rough(plan.cavity, 0.5, 18.0, plan.seed + 52), 4.0),
        Part("placenta", "placenta", 14, "mother", _placenta(plan), 3.0),
        Part("cord", "cord", 15, "mother", solids.tube(cord, cord_radius), 2.2),
        Part("cord_vessels", "blood", 16, "mother", solids.union(*vessels), 1.4),
    ]
