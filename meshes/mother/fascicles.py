"""Connective tissue in the mother's abdominal wall: what makes its muscles look striped.

Septa between the fascicles of the rectus, along its fibres; in the flanks the two fascial planes between the three flat
muscles, and septa that run as the fibres of each muscle do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshes.shapes import sdf, solids
from meshes.shapes.solids import Solid

HALF_THICKNESS_MM = 0.32  # so that both faces survive simplification; real septa are 0.1 to 0.5 mm thick
RECTUS_MM = (7.0, 61.0)  # from the midline to the half-moon line


@dataclass(frozen=True)
class Layer:
    """Septa at one depth of the wall.

    Attributes:
        depth: share of the muscle's thickness, 0 outside.
        upward, medial: direction of the fibres.
        half_mm: half width and half length of a septum.
        pitch_mm: distance of neighbours across and along the fibres; below twice the half widths they grow together.
    """

    depth: float
    upward: float
    medial: float
    half_mm: tuple[float, float]
    pitch_mm: tuple[float, float]


_RECTUS = [Layer(depth, 1.0, 0.0, (2.8, 13.0), (11.0, 31.0)) for depth in (0.26, 0.5, 0.74)]
_FLANK = [
    Layer(0.17, -0.75, 0.66, (2.4, 11.0), (17.0, 32.0)),  # external oblique: down and forward
    Layer(0.34, 1.0, 0.0, (5.5, 15.0), (12.0, 29.0)),
    Layer(0.50, 0.75, 0.66, (2.4, 11.0), (17.0, 32.0)),  # internal oblique: up and forward
    Layer(0.66, 1.0, 0.0, (5.5, 15.0), (12.0, 29.0)),
    Layer(0.83, 0.0, 1.0, (2.4, 10.0), (17.0, 32.0)),  # transversus
]


def septa(wall: Solid, thickness_mm: float, middle_y_mm: float, half_height_mm: float, seed: int) -> tuple[Solid, ...]:
    """All septa of the front and the flanks, each a rough flat lens.

    Args:
        wall: the body within the outside of the muscle, scene frame.
        thickness_mm: of the muscle.
        middle_y_mm: y of an axis inside the trunk from which the wall is seen.
        half_height_mm: septa are made at |z| up to this.
        seed: places and shapes them.
    """
    rng = np.random.default_rng([seed, 79])
    turn, arc = _unrolled(wall, middle_y_mm)
    edge = RECTUS_MM[1]
    found = []
    for side in (1, -1):
        for layers, first, last in ((_RECTUS, RECTUS_MM[0], edge), (_FLANK, edge + 4.0, arc[-1])):
            for layer in layers:
                along, z = _places(layer, first, last, half_height_mm, rng)
                direction = np.interp(along, arc, turn)
                rays = np.stack([side * np.sin(direction), -np.cos(direction), np.zeros_like(direction)], axis=1)
                starts = np.stack([np.zeros_like(z), np.full_like(z, middle_y_mm), z], axis=1)
                surface = sdf.exits(wall, starts, rays, "muscle of the wall")
                outward = sdf.normal(wall, surface, 2.0)
                depth = (layer.depth + rng.normal(0, 0.03, len(z))) * thickness_mm
                centres = surface - depth[:, None] * outward
                found += _lenses(layer, centres, outward, side, rng)
    return tuple(found)


def _unrolled(wall: Solid, middle_y_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions from the axis, 0 (front) to 85 degrees, and the way along the wall from the midline to each, mm."""
    turn = np.radians(np.arange(0.0, 86.0, 1.0))
    rays = np.stack([np.sin(turn), -np.cos(turn), np.zeros_like(turn)], axis=1)
    points = sdf.exits(wall, (0.0, middle_y_mm, 0.0), rays, "muscle of the wall")
    return turn, np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]


def _places(layer: Layer, first: float, last: float, half_height: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Ways along the wall and heights of the septa of a layer: a grid, every other column half a step up, shaken."""
    across, up = layer.pitch_mm if layer.upward else layer.pitch_mm[::-1]
    columns = np.arange(first + 0.5 * across, last, across)
    levels = np.arange(-half_height, half_height, up)
    along, z = np.meshgrid(columns, levels, indexing="ij")
    z = z + 0.5 * up * (np.arange(len(columns)) % 2)[:, None]
    along = np.clip(along + across * rng.uniform(-0.25, 0.25, along.shape), first + layer.half_mm[0], None)
    return along.ravel(), (z + up * rng.uniform(-0.25, 0.25, z.shape)).ravel()


def _lenses(layer: Layer, centres, outward, side: int, rng) -> list[Solid]:
    """Flat lenses in the wall, along the fibres of the layer."""
    medial = np.cross(outward, (0.0, 0.0, float(side)))  # along the wall, towards the front midline
    medial /= np.linalg.norm(medial, axis=1, keepdims=True)
    fibres = layer.upward * np.cross(medial, outward) * side + layer.medial * medial
    fibres = fibres + rng.normal(0, 0.05, fibres.shape)
    found = []
    for centre, normal, fibre in zip(centres, outward + rng.normal(0, 0.05, outward.shape), fibres, strict=True):
        axes = solids.rotation_to(fibre, normal)  # rows: through the septum, across, along
        half = np.array([HALF_THICKNESS_MM, *(np.array(layer.half_mm) * rng.uniform(0.7, 1.2, 2))])
        lens = solids.ellipsoid(centre, half, axes)
        found.append(solids.rough(lens, 0.1, 6.0, int(rng.integers(2**20)), fibre, 4.0))
    return found
