"""The landmarks of one fetus: spine curve, head frame, trunk sections and limb joints.

Fetus frame: x fetal left, y posterior, z cranial, mm. Regions place their organs in two local frames:
`Plan.at` along the spine (left, ventral, up, in 22-week millimetres scaled to age) and `Plan.head_at`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshes.fetus.growth import Growth
from meshes.shapes import solids
from meshes.shapes.solids import Solid
from meshes.variation import Variation

SPINE_MM = 125.0  # C1 to the tip of the sacrum at 22 weeks
SKULL_HALF_WIDTH = 27.0  # of the 22-week drawing
TRUNK_AC = 165.5  # abdominal circumference of the 22-week drawing, mm

# Trunk outline at 22 weeks: fraction of the spine, half width, ventral and dorsal depth from the spine axis, length
SECTIONS = np.array(
    [
        [0.02, 15.0, 15.5, 12.5, 13.0],
        [0.14, 21.0, 22.5, 12.5, 17.0],
        [0.25, 25.8, 34.5, 12.5, 22.0],
        [0.40, 26.7, 39.4, 11.5, 26.0],
        [0.55, 26.7, 41.0, 10.5, 27.0],
        [0.68, 26.8, 41.0, 10.5, 26.0],
        [0.82, 27.0, 35.0, 12.5, 23.0],
        [0.95, 24.5, 26.0, 14.5, 17.0],
    ]
)


@dataclass(frozen=True)
class Limb:
    """Joints of one limb, proximal to distal, in the fetus frame (mm), and the direction of hand or foot."""

    root: np.ndarray
    middle: np.ndarray
    end: np.ndarray
    tip: np.ndarray
    palm: np.ndarray


@dataclass(frozen=True)
class FetusPlan:
    """Everything the regions need to place themselves.

    Attributes:
        growth: the sizes to reach.
        head_scale, trunk_scale, length_scale, limb_scale: size against the 22-week drawing.
        spine_mm: (n, 3) points of the spine axis, C1 to the tip of the sacrum, at equal arc lengths.
        spine_bend: (n,) angle of the spine against the z axis, radians, positive leaning backward going down.
        head_centre: centre of the skull; head_axes rows are left, posterior, up.
        arms, legs: left then right; none before they are settled.
        organs: factor on the size of single organs.
        seed: seed of the relief.
    """

    growth: Growth
    head_scale: float
    trunk_scale: float
    length_scale: float
    limb_scale: float
    spine_mm: np.ndarray
    spine_bend: np.ndarray
    head_centre: np.ndarray
    head_axes: np.ndarray
    arms: tuple[Limb, Limb] | tuple[()]
    legs: tuple[Limb, Limb] | tuple[()]
    organs: dict[str, float]
    seed: int

    def axes(self, s: float) -> np.ndarray:
        """Local axes at fraction `s` of the spine: rows left, ventral, up."""
        return _axes(np.interp(s, np.linspace(0, 1, len(self.spine_bend)), self.spine_bend))

    def at(self, s: float, left: float = 0.0, ventral: float = 0.0, up: float = 0.0) -> np.ndarray:
        """Point at fraction `s` of the spine plus an offset in 22-week millimetres."""
        grid = np.linspace(0, 1, len(self.spine_mm))
        base = np.array([np.interp(s, grid, self.spine_mm[:, i]) for i in range(3)])
        return base + self.trunk_scale * (np.array([left, ventral, up]) @ self.axes(s))

    def organ(self, s: float, offset, radii, tilt: np.ndarray | None = None) -> Solid:
        """Ellipsoid at `at(s, *offset)` with radii along (left, ventral, up), turned by `tilt` (3, 3)."""
        axes = self.axes(s) if tilt is None else tilt @ self.axes(s)
        return solids.ellipsoid(self.at(s, *offset), np.asarray(radii, float) * self.trunk_scale, axes)

    def section(self, s: float) -> np.ndarray:
        """Half width, ventral depth and dorsal depth of the trunk at `s`, in 22-week millimetres."""
        return np.array([np.interp(s, SECTIONS[:, 0], SECTIONS[:, i]) for i in (1, 2, 3)])

    def head_at(self, left: float, posterior: float, up: float) -> np.ndarray:
        """Point in the head frame, given in 22-week millimetres."""
        return self.head_centre + self.head_scale * (np.array([left, posterior, up]) @ self.head_axes)

    def head_ball(self, centre, radii, tilt: np.ndarray | None = None) -> Solid:
        """Ellipsoid in the head frame, 22-week millimetres."""
        axes = self.head_axes if tilt is None else tilt @ self.head_axes
        return solids.ellipsoid(self.head_at(*centre), np.asarray(radii, float) * self.head_scale, axes)


def _axes(bend: float) -> np.ndarray:
    c, s = np.cos(bend), np.sin(bend)
    return np.array([[1.0, 0.0, 0.0], [0.0, -c, -s], [0.0, -s, c]])


def _spine(length: float, top: float, bottom: float, n: int = 121) -> tuple[np.ndarray, np.ndarray]:
    """Integrates the spine as a curve whose angle falls smoothly from `top` to `bottom` (radians)."""
    u = np.linspace(0, 1, n)
    bend = top + (bottom - top) * (0.55 * u + 0.45 * u * u * (3 - 2 * u))
    steps = np.stack([np.zeros(n), np.sin(bend), -np.cos(bend)], axis=1) * (length / (n - 1))
    points = np.concatenate([np.zeros((1, 3)), np.cumsum(0.5 * (steps[1:] + steps[:-1]), axis=0)])
    return points - points[n // 2], bend


def curl(weeks: float) -> float:
    """How far room has run out for stretched limbs: 0 up to 17 weeks, 1 from 31 weeks on (estimate)."""
    u = float(np.clip((weeks - 17.0) / 14.0, 0.0, 1.0))
    return u * u * (3.0 - 2.0 * u)


def plan_trunk(growth: Growth, variation: Variation) -> FetusPlan:
    """Computes the landmarks of head and trunk; `attitude.plan_fetus` adds the limbs."""
    head, trunk = growth.bpd_mm / (2 * SKULL_HALF_WIDTH), growth.ac_mm / TRUNK_AC
    length, limb = growth.crl_mm / 190.0, growth.fl_mm
    share = curl(growth.weeks)
    bend = variation.flexion * (1.0 + 0.5 * share)
    spine, angles = _spine(SPINE_MM * length, np.radians(24) * bend, np.radians(-38) * bend)
    pitch = np.radians(16 + 12 * share + variation.nod_deg)
    head_axes = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    centre = spine[0] - head * (np.array([0.0, 9.0, -29.0]) @ head_axes)
    return FetusPlan(
        growth,
        head,
        trunk,
        length,
        limb / 37.0,
        spine,
        angles,
        centre,
        head_axes,
        (),
        (),
        variation.organs,
        variation.seed,
    )
