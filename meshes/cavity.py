"""The amniotic cavity: a smooth convex room that holds the fetus, stands clear of the placenta, and has a given volume.

The wall of the uterus is a membrane under tension: between the places where it touches its content it is an egg, and
where the egg would cut into the fetus it is the fetus' convex hull. The room is kept as the half spaces that bound
it, one for each of 642 directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshes import sdf, solids
from meshes.solids import Solid

_ROUNDING = 3.0  # blend between neighbouring half spaces, mm: without it the wall would have facets


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
    """A convex room round the origin.

    Attributes:
        reach_mm: (642,) distance of the half space of each of DIRECTIONS from the origin.
    """

    reach_mm: np.ndarray

    @property
    def half_mm(self) -> np.ndarray:
        """(3,) half extents along the axes; the room is centred on the origin within a few mm."""
        return np.array([0.5 * (self.toward(axis) + self.toward(-axis)) for axis in np.eye(3)])

    def toward(self, direction) -> float:
        """Distance of the half space that faces most nearly along `direction`, mm."""
        return float(self.reach_mm[np.argmax(DIRECTIONS @ direction)])

    @property
    def solid(self) -> Solid:
        """The room with its edges rounded."""
        high = np.array([self.toward(axis) for axis in np.eye(3)])
        low = -np.array([self.toward(-axis) for axis in np.eye(3)])
        frame = solids.box(0.5 * (low + high), 0.5 * (high - low))
        return solids.cut(frame, DIRECTIONS, self.reach_mm, _ROUNDING)


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
