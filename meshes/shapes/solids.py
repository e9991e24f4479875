"""Solids as data: a shape is a table of rows (primitives and operators) that `rows.py` evaluates.

A row is ROW_WIDTH float64 values::

    0 kind   1 operator   2 blend_mm   3:6 centre (cone: first end)
    6:15 world→local rotation, row-major (cone: 6:9 second end; noise: 6 seed, 7:10 grain)   15:19 sizes   19 unused

Rows are applied in order to a running signed distance (negative inside). Everything is in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

ROW_WIDTH = 20

# kinds of row
ELLIPSOID, CONE, BOX, SUPERELLIPSOID, HALFSPACE, OPEN, CLOSE, NOISE, OFFSET, SHELL = range(10)
# operators: how a row's distance joins the running one
UNION, SUBTRACT, INTERSECT = range(3)


@dataclass(frozen=True)
class Solid:
    """A solid: its evaluation rows and a box that holds it.

    Attributes:
        rows: (n, ROW_WIDTH) float64, see the module text.
        low_mm, high_mm: (3,) corners of a box that surely holds the surface.
    """

    rows: np.ndarray
    low_mm: np.ndarray
    high_mm: np.ndarray

    @property
    def is_plain_union(self) -> bool:
        """True when the rows are only unions without blending, so that they can be appended as they are."""
        return bool(np.all(self.rows[:, 0] <= HALFSPACE) and not np.any(self.rows[:, 1:3]))


def _row(kind: int, centre=(0.0, 0.0, 0.0), rotation=None, sizes=()) -> np.ndarray:
    row = np.zeros(ROW_WIDTH)
    row[0] = kind
    row[3:6] = centre
    row[6:15] = np.eye(3).ravel() if rotation is None else np.asarray(rotation, float).ravel()
    row[15 : 15 + len(sizes)] = sizes
    return row


def _oriented(kind: int, centre, reach, rotation, sizes) -> Solid:
    """One primitive whose box follows from its half extents `reach` along its own axes."""
    centre = np.asarray(centre, float)
    rotation = np.eye(3) if rotation is None else np.asarray(rotation, float)
    if kind == BOX or kind == SUPERELLIPSOID:
        half = np.abs(rotation).T @ np.asarray(reach, float)
    else:
        half = np.sqrt((rotation**2).T @ np.asarray(reach, float) ** 2)
    return Solid(_row(kind, centre, rotation, sizes)[None], centre - half, centre + half)


def ellipsoid(centre, radii, axes=None) -> Solid:
    """Ellipsoid; `axes` (3, 3) holds its axes as rows, in order of `radii`."""
    return _oriented(ELLIPSOID, centre, radii, axes, tuple(radii))


def sphere(centre, radius: float) -> Solid:
    """Sphere."""
    return ellipsoid(centre, (radius,) * 3)


def superellipsoid(centre, radii, exponent: float, axes=None) -> Solid:
    """|x/a|^p + |y/b|^p + |z/c|^p ≤ 1: p = 2 is an ellipsoid, larger is boxier."""
    return _oriented(SUPERELLIPSOID, centre, radii, axes, (*radii, exponent))


def box(centre, half, rounding: float = 0.0, axes=None) -> Solid:
    """Box with half edge lengths `half`, its edges rounded by `rounding` (inside the box)."""
    return _oriented(BOX, centre, half, axes, (*half, rounding))


def cone(start, end, start_radius: float, end_radius: float) -> Solid:
    """Round cone: the hull of two spheres (a capsule when the radii are equal)."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    row = _row(CONE, start, None, (start_radius, end_radius))
    row[6:15] = 0.0
    row[6:9] = end
    low = np.minimum(start - start_radius, end - end_radius)
    return Solid(row[None], low, np.maximum(start + start_radius, end + end_radius))


def tube(points, radii) -> Solid:
    """Chain of round cones through `points` (n, 3) with one radius per point (or one for all)."""
    points = np.asarray(points, float)
    radii = np.broadcast_to(np.asarray(radii, float), len(points))
    pairs = zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    return union(*[cone(*pair) for pair in pairs])


def union(*solids: Solid, blend: float = 0.0) -> Solid:
    """Union; with `blend` > 0 the seam between one solid and the next is rounded over that many mm."""
    rows = [solids[0].rows]
    for solid in solids[1:]:
        rows.append(_joined(solid, UNION, blend))
    low = np.min([s.low_mm for s in solids], axis=0) - blend / 4  # a polynomial blend swells by blend/4
    return Solid(np.concatenate(rows), low, np.max([s.high_mm for s in solids], axis=0) + blend / 4)


def subtract(solid: Solid, *cutters: Solid, blend: float = 0.0) -> Solid:
    """What is left of `solid` outside every cutter."""
    rows = [solid.rows, *[_joined(cutter, SUBTRACT, blend) for cutter in cutters]]
    return Solid(np.concatenate(rows), solid.low_mm, solid.high_mm)


def intersect(solid: Solid, *others: Solid, blend: float = 0.0) -> Solid:
    """What `solid` has in common with all the others."""
    rows = [solid.rows, *[_joined(other, INTERSECT, blend) for other in others]]
    low = np.max([s.low_mm for s in (solid, *others)], axis=0)
    return Solid(np.concatenate(rows), low, np.min([s.high_mm for s in (solid, *others)], axis=0))


def offset(solid: Solid, distance: float) -> Solid:
    """The solid grown outwards by `distance` (negative: shrunk)."""
    rows = np.concatenate([solid.rows, _row(OFFSET, sizes=(distance,))[None]])
    grow = distance + 0.25 * abs(distance)  # first-order distances of ellipsoids are not exact away from 0
    return Solid(rows, solid.low_mm - grow, solid.high_mm + grow)


def shell(solid: Solid, thickness: float) -> Solid:
    """A wall of that thickness, centred on the surface of `solid`."""
    rows = np.concatenate([solid.rows, _row(SHELL, sizes=(thickness / 2,))[None]])
    return Solid(rows, solid.low_mm - thickness, solid.high_mm + thickness)


def rough(solid: Solid, amplitude: float, wavelength: float, seed: int, grain=None, stretch: float = 1.0) -> Solid:
    """Relief: moves the surface by band-limited noise of ± `amplitude` mm with features of `wavelength` mm.

    Along the direction `grain` features are `stretch` times as long: the fascicles of a muscle.
    """
    row = _row(NOISE, sizes=(amplitude, wavelength))
    row[6] = seed
    if grain is not None:  # the noise is read at p − g (g·p), which is p / stretch along the grain
        row[7:10] = np.asarray(grain, float) / np.linalg.norm(grain) * np.sqrt(1.0 - 1.0 / stretch)
    reach = 1.2 * abs(amplitude)
    return Solid(np.concatenate([solid.rows, row[None]]), solid.low_mm - reach, solid.high_mm + reach)


def below(point, normal) -> Solid:
    """Half space behind a plane: the side away from `normal`. Use it only to cut other solids."""
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    row = _row(HALFSPACE, point)
    row[15:18] = normal
    return Solid(row[None], np.full(3, -np.inf), np.full(3, np.inf))


def cut(solid: Solid, normals, distances_mm, blend: float = 0.0) -> Solid:
    """What of `solid` lies behind every plane n·x = distance, for unit `normals` (n, 3) and `distances_mm` (n,)."""
    normals, distances_mm = np.asarray(normals, float), np.asarray(distances_mm, float)
    walls = np.zeros((len(normals), ROW_WIDTH))
    walls[:, 0:3] = HALFSPACE, INTERSECT, blend
    walls[:, 3:6] = distances_mm[:, None] * normals
    walls[:, 15:18] = normals
    return Solid(np.concatenate([solid.rows, walls]), solid.low_mm, solid.high_mm)


def _joined(solid: Solid, operator: int, blend: float) -> np.ndarray:
    """Rows of `solid` as an operand: one row takes the operator itself, several are bracketed."""
    if operator == UNION and blend == 0.0 and solid.is_plain_union:
        return solid.rows
    if len(solid.rows) == 1:
        row = solid.rows.copy()
        row[0, 1:3] = operator, blend
        return row
    closing = _row(CLOSE)
    closing[1:3] = operator, blend
    return np.concatenate([_row(OPEN)[None], solid.rows, closing[None]])


def rotation_to(axis: ArrayLike, hint: ArrayLike = (1.0, 0.0, 0.0)) -> np.ndarray:
    """Orthonormal axes as rows (x, y, z): z along `axis`, x as near to `hint` as it can be."""
    z = np.asarray(axis, float) / np.linalg.norm(np.asarray(axis, float))
    x = np.asarray(hint, float)
    x = x - z * (x @ z)
    if np.linalg.norm(x) < 1e-6:  # hint along the axis: any perpendicular will do
        x = np.cross(z, (0.0, 1.0, 0.0) if abs(z[1]) < 0.9 else (0.0, 0.0, 1.0))
    x = x / np.linalg.norm(x)
    return np.array([x, np.cross(z, x), z])
