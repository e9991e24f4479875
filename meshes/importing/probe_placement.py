"""A probe on the skin of somebody else's body: where, looking where, over what path, and how deep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.spatial import ConvexHull

from meshes.importing.nesting import Nesting
from meshes.importing.rays import crossings, normals
from ussim.errors import UssimError
from ussim.scene.sweep import Sweep, SweepKey
from ussim.scene.topology import MeshArrays, winding_number

KEYS = 7
PRESS_MM = 1.0
"""The face is pressed into the skin by this much, and by no more than a fiftieth of the body."""
_PRESS_SHARE = 0.02
_AROUND_SHARE = 0.03  # skin that is not there lies this share of everything's size outside of it
_PASS_SHARE = 0.3  # the aim moves by this share of what is looked at to both sides of its middle
_LAYER_SHARE = 0.35  # what fills more of the body than this is a layer of its wall, not an organ
_TILT_DEG = 10.0  # and the beam leans outwards by so much at both ends
_DEFAULT_DEPTH_MM = 150.0
_SHALLOW = 0.7  # advise another depth if this share of the default would do
_NARROW_MM = 60.0  # a convex face of 46 mm does not lie on a body that is narrower
# A direction along an axis of the file is preferred to one that is better by less than this.
_AXIS_BONUS = 0.85
_PREFERRED_BONUS = 0.6
# Bone, lung or gas in the way costs as much as so many millimetres of soft tissue, and more with its thickness.
_BLOCKED_MM = 80.0
_BLOCKED_SHARE = 3.0
_FRONT = np.array([0.0, 1.0, 0.0])
_NUDGE = np.array([1.37e-4, -2.19e-4, 1.73e-4])


@dataclass(frozen=True)
class Placement:
    """A sweep and what to know about it.

    Attributes:
        sweep: Key poses on the skin.
        on: Index of the surface that the probe lies on; None outside of all of them.
        distance_mm: From the face to the middle of what is looked at.
        settings: ``--set`` assignments with which the body fills the image; empty if the defaults do.
        why_settings: One clause that says why.
    """

    sweep: Sweep
    on: int | None
    distance_mm: float
    settings: tuple[str, ...]
    why_settings: str


def place_probe(
    meshes: Sequence[MeshArrays],
    nesting: Nesting,
    blocking: Sequence[bool],
    side: np.ndarray | None = None,
    is_patient: bool = False,
    outside: bool = False,
) -> Placement:
    """Put a probe where the way from the skin to the inner organs is short, square and free of bone.

    26 directions are tried. From the best one the probe slides over the skin, across the longer side of what is
    looked at, tilting a little, and always looks in.

    Args:
        meshes: vertices (V, 3) mm and triangles (T, 3) of every surface.
        nesting: How they lie in each other.
        blocking: For each surface, whether sound does not get through it.
        side: (3,) direction from the body to the side on which the probe shall lie; None chooses.
        is_patient: True in a patient's coordinates, x to the right, y to the front and z up: the front is preferred,
            and the image is oriented as sonographers have it.
        outside: True if the background is the body: the probe lies on a hull around all surfaces, and looks at the
            middle of all of them.

    Raises:
        UssimError: The outermost surface is met from nowhere.
    """
    if outside:
        skin, contents = len(meshes), list(range(len(meshes)))
        meshes, blocking = [*meshes, _hull(meshes)], [*blocking, False]
    else:
        skin = nesting.outermost
        contents = _organs(nesting, skin)
    target = _middle(meshes, contents)
    if winding_number(target, *meshes[skin]) < 0.5:
        target = _point_inside(target, *meshes[skin])
    if side is None:
        out = _best_direction(meshes, skin, blocking, target, _FRONT if is_patient else None, square=not outside)
    else:
        out = side / np.linalg.norm(side)
    points = np.concatenate([meshes[one][0] for one in contents]).astype(np.float64)
    lateral, along = _plane(out, points, is_patient)
    reach = _PASS_SHARE * (_usual_length(meshes, nesting, contents, along) if outside else np.ptp(points @ along))
    # What lies apart from the body is not in the way of a probe that lies on it.
    body = [mesh for one, mesh in enumerate(meshes) if one == skin or (not outside and nesting.overlaps[skin, one])]
    press_mm = min(PRESS_MM, _PRESS_SHARE * float(np.ptp(meshes[skin][0], axis=0).max()))
    keys = []
    for step in np.linspace(-1, 1, KEYS):
        tilt = math.radians(_TILT_DEG) * step
        direction = math.cos(tilt) * out + math.sin(tilt) * along
        key = _key(body, target + step * reach * along, direction, lateral, press_mm)
        if key is not None:
            keys.append(key)
    if not keys:
        raise UssimError("no place for a probe found on the outermost surface: write a [[sweep]] of your own")
    sweep = Sweep("exam", tuple(keys), "Over the skin, looking at the middle of what lies inside")
    middle = keys[len(keys) // 2].pose()
    depth = max(float(np.quantile((points - key.pose()[:3, 3]) @ key.pose()[:3, 2], 0.99)) for key in keys)
    width = float(np.ptp(meshes[skin][0].astype(np.float64) @ lateral))
    settings, why = _settings(depth, width)
    on = None if outside else skin
    return Placement(sweep, on, float((target - middle[:3, 3]) @ middle[:3, 2]), settings, why)


def _organs(nesting: Nesting, skin: int) -> list[int]:
    """What is worth looking at: what lies in the outermost surface and is no layer of it; else all that lies in it."""
    inside = nesting.contents(skin)
    largest = _LAYER_SHARE * nesting.volumes_mm3[skin]
    return [one for one in inside if nesting.volumes_mm3[one] < largest] or inside or [skin]


def _usual_length(meshes: Sequence[MeshArrays], nesting: Nesting, chosen: Sequence[int], along: np.ndarray) -> float:
    """How long surfaces are in a direction, on average by volume, mm: one long vessel does not lead the probe away."""
    lengths = [float(np.ptp(meshes[one][0].astype(np.float64) @ along)) for one in chosen]
    return float(np.average(lengths, weights=nesting.volumes_mm3[list(chosen)]))


def _hull(meshes: Sequence[MeshArrays]) -> MeshArrays:
    """A convex skin around all surfaces, a little outside of them, where there is none."""
    points = np.concatenate([vertices for vertices, _ in meshes]).astype(np.float64)
    found = ConvexHull(points)
    used, triangles = np.unique(found.simplices, return_inverse=True)
    vertices, triangles = points[used], triangles.reshape(-1, 3)
    corners = vertices[triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = (across * found.equations[:, :3]).sum(axis=1) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    away = vertices - middle
    margin = _AROUND_SHARE * np.ptp(vertices, axis=0).max()
    return vertices + margin * away / np.linalg.norm(away, axis=1, keepdims=True), triangles


def _middle(meshes: Sequence[MeshArrays], chosen: Sequence[int]) -> np.ndarray:
    """Centre of volume of some surfaces together, (3,) mm."""
    moment, total = np.zeros(3), 0.0
    for one in chosen:
        vertices, triangles = meshes[one]
        corners = vertices[triangles].astype(np.float64)
        volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
        moment += (volumes[:, None] * corners.sum(axis=1) / 4).sum(axis=0)
        total += volumes.sum()
    return moment / total


def _point_inside(point: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """A point well inside a surface, near one that lies outside: half-way through the body there."""
    centres = vertices[triangles].astype(np.float64).mean(axis=1)
    order = np.argsort(np.linalg.norm(centres - point, axis=1), kind="stable")
    for nearest in order[:64]:
        inwards = -normals(vertices, triangles[nearest : nearest + 1])[0]
        distances, _ = crossings(centres[nearest], inwards, vertices, triangles)
        ahead = distances[distances > 1e-6 * np.ptp(centres)]
        if len(ahead) and winding_number(centres[nearest] + 0.5 * ahead[0] * inwards, vertices, triangles) > 0.5:
            return centres[nearest] + 0.5 * ahead[0] * inwards
    raise UssimError("no point inside the outermost surface found: write a [[sweep]] of your own")


def _directions(prefer: np.ndarray | None) -> Iterator[tuple[np.ndarray, float]]:
    """Directions to try and the factor on their cost: the axes of the file, then the diagonals between them."""
    if prefer is not None:
        yield prefer / np.linalg.norm(prefer), _PREFERRED_BONUS
    steps = [np.array(step, dtype=float) for step in product((0, -1, 1), repeat=3) if any(step)]
    for step in sorted(steps, key=lambda step: np.abs(step).sum()):
        yield step / np.linalg.norm(step), _AXIS_BONUS if np.abs(step).sum() == 1 else 1.0


def _best_direction(
    meshes: Sequence[MeshArrays],
    skin: int,
    blocking: Sequence[bool],
    target: np.ndarray,
    prefer: np.ndarray | None,
    square: bool,
) -> np.ndarray:
    """The direction from the target to the skin along which it is best seen, (3,).

    It is best met at a right angle, unless nothing real is there that could be met askew: ``square`` is False then.
    """
    # A ray through the middle of a symmetric mesh runs along edges, where it meets two triangles at once.
    target = target + _NUDGE * np.ptp(meshes[skin][0], axis=0).max()
    best: tuple[float, np.ndarray] | None = None
    for direction, factor in _directions(prefer):
        distances, triangles = crossings(target, direction, *meshes[skin])
        if not len(distances) or distances[-1] <= 0:
            continue
        vertices, faces = meshes[skin]
        facing = float(normals(vertices, faces[triangles[-1:]])[0] @ direction)
        if facing <= 0.1:
            continue
        blocked = sum(
            _length_inside(target, direction, distances[-1], mesh)
            for mesh, blocks in zip(meshes, blocking, strict=True)
            if blocks
        )
        cost = factor * (distances[-1] + (_BLOCKED_MM + _BLOCKED_SHARE * blocked if blocked else 0))
        cost /= facing**2 if square else 1.0
        if best is None or cost < best[0]:
            best = cost, direction
    if best is None:
        raise UssimError("the outermost surface is met from no side: write a [[sweep]] of your own")
    return best[1]


def _length_inside(origin: np.ndarray, direction: np.ndarray, end: float, mesh: MeshArrays) -> float:
    """How much of the way from the origin to the skin lies inside a surface, mm; outside at the far end."""
    distances, _ = crossings(origin, direction, *mesh)
    ahead = distances[(distances > 0) & (distances < end)][::-1]
    ends = np.append(ahead, 0.0) if len(ahead) % 2 else ahead
    return float((ends[0::2] - ends[1::2]).sum())


def _plane(out: np.ndarray, points: np.ndarray, is_patient: bool) -> tuple[np.ndarray, np.ndarray]:
    """Lateral direction of the image, and the direction across it along which the probe slides: the longer side.

    Of a patient scanned from the front, the image is transverse and the patient's left is on its right; from a side or
    the back it is transverse too.
    """
    axes = np.delete(np.eye(3), int(np.argmax(np.abs(out))), axis=0)
    flat = [axis - out * (axis @ out) for axis in axes]
    flat = [axis / np.linalg.norm(axis) for axis in flat]
    along = max(flat, key=lambda axis: round(float(np.ptp(points @ axis)), 3))
    if is_patient and abs(out[2]) < 0.7:
        along = flat[-1]
    lateral = np.cross(along, out)
    leading = lateral[int(np.argmax(np.abs(lateral)))]
    wanted = -1.0 if is_patient else 1.0
    return (lateral if leading * wanted > 0 else -lateral), along


def _key(
    meshes: Sequence[MeshArrays], aim: np.ndarray, out: np.ndarray, lateral: np.ndarray, press_mm: float
) -> SweepKey | None:
    """The key pose that looks along −out through a point, its face pressed into whatever is met first."""
    ends = [crossings(aim, out, *mesh)[0] for mesh in meshes]
    ends = [distances[-1] for distances in ends if len(distances)]
    if not ends:
        return None
    position = aim + (max(ends) - press_mm) * out
    lateral = lateral - out * (lateral @ out)
    lateral = lateral / np.linalg.norm(lateral)
    return SweepKey(tuple(np.round(position, 4)), tuple(np.round(-out, 6)), tuple(np.round(lateral, 6)))


def _settings(depth_mm: float, width_mm: float) -> tuple[tuple[str, ...], str]:
    """Probe settings for a body of another size than the default image, and why."""
    wanted = 1.1 * depth_mm
    step = 10 if wanted > 60 else 5
    wanted = float(min(max(step * math.ceil(wanted / step), 10), 500))
    focus = f"probe.focus_mm={max(0.5 * wanted, 5):g}"
    reach = f"what lies inside reaches {depth_mm:.0f} mm deep"
    if width_mm < _NARROW_MM:
        face_mm = max(round(0.8 * width_mm), 5)
        linear = ("probe.kind=linear", f"probe.width_mm={face_mm}", f"probe.aperture_mm={min(face_mm, 22)}")
        return (*linear, f"probe.depth_mm={wanted:g}", focus), f"{reach}, and the body is {width_mm:.0f} mm wide"
    if _SHALLOW * _DEFAULT_DEPTH_MM <= wanted <= _DEFAULT_DEPTH_MM:
        return (), f"{reach}: the default image of {_DEFAULT_DEPTH_MM:g} mm shows it"
    return (f"probe.depth_mm={wanted:g}", focus), reach
