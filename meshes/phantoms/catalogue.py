"""The phantoms: blocks of tissue-mimicking material with targets in them, for a probe that looks along z."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from meshes.shapes.mesher import Mesh
from ussim.scene.point import PointTarget
from ussim.scene.sweep import Sweep, SweepKey
from ussim.scene.tissue import Tissue

# The block reaches behind the probe's face, so that no wall lies between the two.
BLOCK_MM = ((-120.0, -60.0, -40.0), (120.0, 60.0, 190.0))
TARGET_LENGTH_MM = 80.0  # of a cylinder across the image plane
_SIDES = 96  # of a cylinder
BLOCK_LEVEL = 0.2  # amplitude of the block's scatterers: mid-grey

PIN_DB = 25.0  # well over the speckle, as nylon threads are
GREY_LEVELS_DB = (-9.0, -6.0, -3.0, 3.0, 6.0, 15.0)
GREY_RADIUS_MM, GREY_DEPTH_MM, GREY_SPACING_MM = 5.0, 60.0, 15.0
CYST_DIAMETERS_MM, CYST_SPACING_MM = (2.0, 4.0, 8.0), 15.0
CYST_DEPTHS_MM = (30.0, 60.0, 90.0, 120.0)


@dataclass(frozen=True)
class PhantomSurface:
    """A surface of a phantom: its name, its tissue and its triangles."""

    name: str
    tissue: str
    mesh: Mesh


@dataclass(frozen=True)
class Phantom:
    """A phantom. Its first surface is the block; the others lie in it and do not overlap each other."""

    title: str
    tissues: tuple[Tissue, ...]
    surfaces: tuple[PhantomSurface, ...]
    points: tuple[PointTarget, ...]
    sweeps: tuple[Sweep, ...]


def _material(name: str, level_db: float, color: str) -> Tissue:
    """Tissue-mimicking material whose scatterers are so much stronger than the block's; all else is alike."""
    return Tissue(
        name=name,
        speed_m_s=1540.0,
        density_kg_m3=1040.0,
        attenuation_db_cm_mhz=0.5,
        scatter_density=1.0,
        scatter_std=BLOCK_LEVEL * 10 ** (level_db / 20),
        color=color,
        source="speed and attenuation as of commercial tissue-mimicking material; scatterers by definition",
    )


def _fluid() -> Tissue:
    return Tissue(
        name="phantom_fluid",
        speed_m_s=1540.0,
        density_kg_m3=1040.0,
        attenuation_db_cm_mhz=0.05,
        color="#3b6fb5",
        source="by definition: the block's impedance without its scatterers, and a tenth of its attenuation",
    )


BLOCK_TISSUE = _material("phantom_block", 0.0, "#8a8a8a")


def _block() -> PhantomSurface:
    """The block, outward wound."""
    low, high = np.array(BLOCK_MM)
    corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)])
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    triangles = [corner for a, b, c, d in quads for corner in ((a, b, c), (a, c, d))]
    mesh = Mesh((low + corners * (high - low)).astype(np.float32), np.array(triangles, np.int32))
    return PhantomSurface("block", BLOCK_TISSUE.name, mesh)


def _cylinders(places: Iterable[tuple[float, float, float]]) -> Mesh:
    """Cylinders along y, each given by x, z and radius [mm]; they must not overlap."""
    angle = np.arange(_SIDES) * 2 * np.pi / _SIDES
    near, far = np.arange(_SIDES), np.arange(_SIDES) + _SIDES
    next_near, next_far = np.roll(near, -1), np.roll(far, -1)
    middle_near, middle_far = np.full(_SIDES, 2 * _SIDES), np.full(_SIDES, 2 * _SIDES + 1)
    one = np.concatenate(
        [
            np.stack([near, far, next_near], axis=1),
            np.stack([next_near, far, next_far], axis=1),
            np.stack([middle_near, near, next_near], axis=1),
            np.stack([middle_far, next_far, far], axis=1),
        ]
    )
    vertices, triangles = [], []
    for number, (x, z, radius) in enumerate(places):
        for y in (-TARGET_LENGTH_MM / 2, TARGET_LENGTH_MM / 2):
            rim = [x + radius * np.cos(angle), np.full(_SIDES, y), z + radius * np.sin(angle)]
            vertices.append(np.stack(rim, axis=1))
        vertices.append(np.array([(x, -TARGET_LENGTH_MM / 2, z), (x, TARGET_LENGTH_MM / 2, z)]))
        triangles.append(one + number * (2 * _SIDES + 2))
    return Mesh(np.concatenate(vertices).astype(np.float32), np.concatenate(triangles).astype(np.int32))


def _key(y_mm: float) -> SweepKey:
    return SweepKey((0.0, y_mm, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))


def _across(half_mm: float) -> Sweep:
    return Sweep("exam", (_key(-half_mm), _key(half_mm)), "across the image plane, along the targets: new speckle")


def uniform() -> Phantom:
    """Nothing but the block: speckle statistics, and brightness over depth and angle."""
    return Phantom("Uniform phantom", (BLOCK_TISSUE,), (_block(),), (), (_across(20),))


def pins() -> Phantom:
    """Points: a column, two rows, and pairs that come closer and closer along the beam."""
    column = [(0.0, 0.0, float(z)) for z in range(10, 141, 10)]
    rows = [(float(x), 0.0, z) for z in (40.0, 90.0) for x in range(-30, 31, 10) if x]
    pairs = [(-16.0 + 4 * n, 0.0, 65.0 + shift) for n, gap in enumerate((2.0, 1.0, 0.5, 0.25)) for shift in (0.0, gap)]
    points = tuple(PointTarget(place, PIN_DB) for place in (*column, *rows, *pairs))
    still = Sweep("exam", (_key(0.0),), "the plane of the pins")
    through = Sweep("slice", (_key(-4.0), _key(4.0)), "across the plane of the pins: how thick the slice is")
    return Phantom("Pin phantom", (BLOCK_TISSUE,), (_block(),), points, (still, through))


def cyst_places_mm() -> list[tuple[float, float, float]]:
    """x, z and radius of every cyst."""
    middle = (len(CYST_DIAMETERS_MM) - 1) / 2
    columns = [(CYST_SPACING_MM * (n - middle), diameter / 2) for n, diameter in enumerate(CYST_DIAMETERS_MM)]
    return [(x, z, radius) for z in CYST_DEPTHS_MM for x, radius in columns]


def cysts() -> Phantom:
    """Fluid-filled cylinders of 2, 4 and 8 mm at four depths."""
    cyst = PhantomSurface("cysts", "phantom_fluid", _cylinders(cyst_places_mm()))
    return Phantom("Cyst phantom", (BLOCK_TISSUE, _fluid()), (_block(), cyst), (), (_across(20),))


def grey_columns_mm() -> list[float]:
    """x of each of the grey-scale targets."""
    return [GREY_SPACING_MM * (n - (len(GREY_LEVELS_DB) - 1) / 2) for n in range(len(GREY_LEVELS_DB))]


def grey_scale() -> Phantom:
    """Cylinders whose scatterers are weaker or stronger than the block's by known decibels."""
    shades = ("#3c3c3c", "#555555", "#6e6e6e", "#a4a4a4", "#bdbdbd", "#f0f0f0")
    names = [f"target_{'minus' if level < 0 else 'plus'}_{abs(level):.0f}_db" for level in GREY_LEVELS_DB]
    tissues = [_material(*row) for row in zip(names, GREY_LEVELS_DB, shades, strict=True)]
    surfaces = [
        PhantomSurface(name, name, _cylinders([(x, GREY_DEPTH_MM, GREY_RADIUS_MM)]))
        for name, x in zip(names, grey_columns_mm(), strict=True)
    ]
    return Phantom("Grey-scale phantom", (BLOCK_TISSUE, *tissues), (_block(), *surfaces), (), (_across(20),))


PHANTOMS = {"pins": pins, "cysts": cysts, "grey-scale": grey_scale, "uniform": uniform}
"""By the name that the command line uses."""
