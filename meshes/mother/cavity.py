"""The amniotic cavity: a smooth convex room that holds the fetus, stands clear of the placenta, and has a given volume.

The wall of the uterus is a membrane under tension: between the places where it touches its content it is an egg, and
where the egg would cut into the fetus it is the fetus' convex hull. The room is kept as the half spaces that bound
it, one for each of 642 directions. Where that leaves more fluid than there is, the wall follows the hollows of its
content: balls of a large radius press it in from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import cKDTree

from meshes.shapes import sdf, solids
from meshes.shapes.solids import Solid

_ROUNDING = 3.0  # blend between neighbouring half spaces, mm: without it the wall would have facets
HOLLOW_MM = 60.0  # radius of the balls that press the wall in: it follows no narrower hollow
DEEPEST_MM = 25.0  # how far a ball presses the wall in at most
_RIM = 9.0  # blend of the edge where a ball meets the wall, mm
_SPARE = 0.4  # more room for points below a ball than asked for: skin bulges between them, mm


def _directions(rounds: int = 3) -> np.ndarray:
    """Unit vectors spread over the sphere: an icosahedron, its edges halved three times; axes included."""
    golden = (1 + 5**0.5) / 2
    corners = np.array([(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)])
    points = np.concatenate([np.roll(corners, turn, axis=1) for turn in range(3)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    for _ in range(rounds):
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        edge = 1.25 * np.min(apart[apart > 1e-9])  # edges of one round differ by less than this
        first, second = np.nonzero(np.triu(apart < edge, 1))
        middles = points[first] + points[second]
        points = np.concatenate([points, middles / np.linalg.norm(middles, axis=1, keepdims=True)])
    return points


DIRECTIONS = _directions()


@dataclass(frozen=True)
class Cavity:
    """A room round the origin: convex, less the balls that press it in.

    Attributes:
        reach_mm: (642,) distance of the half space of each of DIRECTIONS from the origin.
        balls_mm: (n, 3) centres of balls of radius HOLLOW_MM.
    """

    reach_mm: np.ndarray
    balls_mm: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    @property
    def half_mm(self) -> np.ndarray:
        """(3,) half extents along the axes; the room is centred on the origin within a few mm."""
        return np.array([0.5 * (self.toward(axis) + self.toward(-axis)) for axis in np.eye(3)])

    def toward(self, direction) -> float:
        """Distance of the half space that faces most nearly along `direction`, mm."""
        return float(self.reach_mm[np.argmax(DIRECTIONS @ direction)])

    @property
    def hull(self) -> Solid:
        """The convex room with its edges rounded."""
        high = np.array([self.toward(axis) for axis in np.eye(3)])
        low = -np.array([self.toward(-axis) for axis in np.eye(3)])
        frame = solids.box(0.5 * (low + high), 0.5 * (high - low))
        return solids.cut(frame, DIRECTIONS, self.reach_mm, _ROUNDING)

    @property
    def solid(self) -> Solid:
        """The room."""
        balls = [solids.sphere(centre, HOLLOW_MM) for centre in self.balls_mm]
        return solids.subtract(self.hull, *balls, blend=_RIM)


def egg(radii) -> np.ndarray:
    """Support of an ellipsoid with half axes `radii` (3,) mm in all DIRECTIONS."""
    return np.sqrt((DIRECTIONS**2) @ np.asarray(radii, float) ** 2)


def hold(reach: np.ndarray, points: np.ndarray, room_mm: np.ndarray, rounds: int = 14) -> Cavity:
    """The smallest widening of `reach` that leaves every point its room to the wall.

    The half spaces are first moved out to where they must be at least; then those near a point that is still too
    close to the rounded wall are moved on.

    Args:
        reach: (642,) mm to start from.
        points: (n, 3) mm.
        room_mm: (n,) distance that each point must have from the wall.
    """
    along = points @ DIRECTIONS.T
    reach = np.maximum(reach, (along + room_mm[:, None]).max(axis=0))
    for _ in range(rounds):
        short = room_mm + sdf.distance(Cavity(reach).solid, points)
        tight = short > 0.2
        if not tight.any():
            break
        gap = reach - along[tight]  # (points, directions)
        near = np.clip(1.0 - (gap - gap.min(axis=1, keepdims=True)) / _ROUNDING, 0.0, 1.0)
        reach = reach + (short[tight, None] * near).max(axis=0)
    return Cavity(reach)


def press_in(room: Cavity, points: np.ndarray, room_mm: np.ndarray, held: np.ndarray, surplus: int) -> Cavity:
    """The room with balls pressed in where they displace most fluid, without touching its content.

    Args:
        room: convex.
        points: (n, 3) mm of the content, dense; also points of the wall that must stay.
        room_mm: (n,) distance that each point must have from the wall.
        held: (m, 3) evenly spread points of what the room holds.
        surplus: how many of them are to be displaced; fewer if there is no room for more balls.
    """
    centres, outward = _resting(room, points, room_mm + _SPARE)
    caught = cKDTree(held).query_ball_point(centres, HOLLOW_MM)
    left, taken = np.ones(len(held), bool), []
    while left.sum() > len(held) - surplus:
        counts = [left[of_one].sum() for of_one in caught]
        best = int(np.argmax(counts))
        if counts[best] < 0.001 * len(held):
            break
        taken.append(best)
        left[caught[best]] = False
    pressed = replace(room, balls_mm=centres[taken])
    for _ in range(20):  # the rounded rims of the balls may have come too close
        short = room_mm + sdf.distance(pressed.solid, points)
        tight = short > 0.2
        if not tight.any():
            break
        away = np.linalg.norm(points[tight, None] - pressed.balls_mm, axis=-1) - HOLLOW_MM
        back = (short[tight, None] * (away < 2.0 * _RIM)).max(axis=0)
        pressed = replace(pressed, balls_mm=pressed.balls_mm + back[:, None] * outward[taken])
    return pressed


def _resting(room: Cavity, points: np.ndarray, room_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balls that come down on the content along the normals of the wall: their centres and the normals, (642, 3)."""
    hull, ways = room.hull, DIRECTIONS
    wall = np.zeros(len(ways))
    for _ in range(40):  # the wall is convex and the origin inside, so this stops at it
        wall = wall - sdf.distance(hull, wall[:, None] * ways)
    outward = sdf.normal(hull, wall[:, None] * ways, 2.0)
    centres = []
    for start, way in zip(wall[:, None] * ways, outward, strict=True):
        offset = points - start
        along = offset @ way
        across2 = (offset**2).sum(axis=1) - along**2
        under = (HOLLOW_MM + room_mm) ** 2 - across2
        met = under > 0
        height = (along[met] + np.sqrt(under[met])).max(initial=HOLLOW_MM - DEEPEST_MM)
        centres.append(start + height * way)
    return np.array(centres), outward
