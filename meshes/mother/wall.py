"""The mother's abdomen around the uterus: layers of the wall, bladder, bones, vessels, bowel. Scene frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshes.mother import fascicles
from meshes.mother.uterus import UterusPlan
from meshes.shapes import solids
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid

UP = (0.0, 0.0, 1.0)
FASCICLES = 5.0  # how much longer than wide the relief of a muscle is


@dataclass(frozen=True)
class MotherPlan:
    """Landmarks of the abdomen.

    Attributes:
        skin_mm, fat_mm, muscle_mm: thickness of the layers of the wall.
        half_height_mm: half of the stretch of trunk that is modelled.
        spine_y_mm: where the front of the lumbar vertebrae is.
        uterus: the plan of the uterus.
        seed: seed of the relief.
    """

    skin_mm: float
    fat_mm: float
    muscle_mm: float
    half_height_mm: float
    spine_y_mm: float
    uterus: UterusPlan
    seed: int

    @property
    def pelvis_z_mm(self) -> float:
        """Height of the top of the sacrum."""
        return -self.half_height_mm + 62.0

    def _layer(self, depth: float) -> Solid:
        """The trunk at `depth` mm below the outside of the muscle (negative: above it), not yet cut to length."""
        u = self.uterus
        beyond = u.wall_mm + self.muscle_mm + 2.5
        belly = solids.offset(u.hull, beyond)
        back = self.spine_y_mm + 56.0
        front = -0.62 * (u.radii_mm[1] + beyond)
        middle, half = 0.5 * (front + back), 0.5 * (back - front)
        trunk = solids.superellipsoid((0, middle, 0), (128.0, half, 4 * self.half_height_mm), 2.4)
        return solids.offset(solids.union(trunk, belly, blend=26.0), -depth)

    def layer(
        self, depth: float, inset: float, relief: float, wavelength: float, seed: int, stretch: float = 1.0
    ) -> Solid:
        """A closed layer: rough, `stretch` times as long up the trunk, cut `inset` mm short of the full height."""
        body = self._layer(depth)
        body = solids.rough(body, relief, wavelength, seed, UP, stretch) if relief else body
        half = self.half_height_mm - inset
        slab = solids.box((0, 40, 0), (400, 400, half), 0.0)
        return solids.intersect(body, slab)

    @property
    def skin(self) -> Solid:
        """Outside of the abdomen."""
        return self.layer(-(self.fat_mm + self.skin_mm), 0.0, 0.25, 30.0, self.seed + 61)


def plan_mother(uterus: UterusPlan, fat_mm: float, seed: int) -> MotherPlan:
    """Fits the abdomen around the uterus."""
    reach = uterus.radii_mm + uterus.wall_mm
    return MotherPlan(
        2.0,
        fat_mm,
        8.0,
        float(max(reach[2], uterus.cavity.high_mm[2] + uterus.wall_mm - 12.0)) + 75.0,
        float(max(reach[1], uterus.cavity.high_mm[1] + uterus.wall_mm)) + 10.0,
        uterus,
        seed,
    )


def _spine(plan: MotherPlan) -> Solid:
    """Lumbar vertebral bodies, 27 mm high with 9 mm disks between them, and their arches."""
    pieces, y = [], plan.spine_y_mm + 17.0
    for z in np.arange(plan.pelvis_z_mm + 20, plan.half_height_mm - 18, 36.0):
        pieces.append(solids.superellipsoid((0, y, z), (22, 16.5, 13.5), 3.0))
        pieces.append(solids.cone((0, y + 26, z - 4), (0, y + 36, z - 9), 4, 4))
        for side in (1, -1):
            pieces.append(solids.tube([(side * 14, y + 12, z + 4), (side * 15, y + 22, z), (0, y + 28, z - 3)], 4.0))
            pieces.append(solids.cone((side * 15, y + 20, z + 2), (side * 38, y + 24, z + 2), 3.5, 3.0))
    return solids.rough(solids.union(*pieces), 0.5, 12.0, plan.seed + 62)


def _pelvis(plan: MotherPlan) -> Solid:
    """Sacrum below the spine, iliac wings at the flanks, pubic arch in front below the bladder."""
    y, z = plan.spine_y_mm + 18.0, plan.pelvis_z_mm
    floor = -plan.half_height_mm + 14.0
    sacrum = solids.cone((0, y + 2, z - 8), (0, y + 20, floor - 10), 21, 14)
    pieces = [solids.intersect(sacrum, solids.box((0, y + 8, z - 30), (45, 40, 45), 4))]
    for side in (1, -1):
        wing = solids.rotation_to((side * 0.80, -0.50, 0.33), (0, 0, 1))
        blade = solids.ellipsoid((side * 80, y - 14, z - 12), (38, 42, 38), wing)
        hollow = solids.ellipsoid((side * (80 - 6.0), y - 18, z - 4), (40, 44, 38), wing)
        pieces.append(solids.subtract(blade, hollow, blend=3.0))
    front = -0.55 * plan.uterus.radii_mm[1]
    arch = [(s * x, front + b, floor + 12 + u) for s in (-1, 1) for x, b, u in ((62, 40, 10), (34, 10, 4), (6, 0, 0))]
    arch = arch[:3] + arch[:2:-1]
    pieces.append(solids.tube(arch, 7.0))
    whole = solids.intersect(solids.union(*pieces), plan.layer(3.0, 14.0, 0.0, 1.0, 0))
    return solids.rough(whole, 0.5, 14.0, plan.seed + 67)


def _psoas(plan: MotherPlan) -> Solid:
    """The muscles beside the spine, and those behind it."""
    pieces, y, top = [], plan.spine_y_mm, plan.half_height_mm - 16
    for side in (1, -1):
        pieces.append(
            solids.tube([(side * 30, y + 20, top), (side * 38, y + 12, 0), (side * 48, y - 2, -top)], [11, 17, 15])
        )
        pieces.append(solids.superellipsoid((side * 27, y + 44, 0), (23, 13, top), 2.5))
    return solids.rough(solids.union(*pieces), 0.6, 7.0, plan.seed + 68, UP, FASCICLES)


def _vessels(plan: MotherPlan) -> Solid:
    """Aorta to the left, inferior vena cava to the right, in front of the spine; both fork above the sacrum."""
    top, y, fork = plan.half_height_mm - 14, plan.spine_y_mm - 5.0, plan.pelvis_z_mm + 45.0
    aorta = solids.cone((11, y, top), (9, y, fork), 7.5, 6.5)
    cava = solids.superellipsoid((-12, y + 0.5, 0.5 * (top + fork)), (10.5, 6.0, 0.5 * (top - fork)), 2.2)
    pieces = [aorta, cava]
    for side in (1, -1):
        pieces.append(solids.tube([(9, y, fork), (22 * side + 4, y + 2, fork - 35), (52 * side, y, fork - 75)], 4.8))
        pieces.append(
            solids.tube(
                [(-12, y + 1, fork + 2), (20 * side - 3, y + 9, fork - 38), (46 * side, y + 9, fork - 75)],
                5.4,
            )
        )
    return solids.union(*pieces)


def _fascia(plan: MotherPlan) -> Solid:
    """Linea alba between the rectus muscles and the two half-moon lines beside them."""
    sheet = plan.layer(-0.6, 5.5, 0.0, 1.0, 0)
    height = plan.half_height_mm
    strips = []
    for x, half in ((0.0, 5.0), (64.0, 1.6), (-64.0, 1.6)):
        strips.append(solids.box((x, -200, 0), (half, 200, height), 1.0))
    deep = plan.layer(plan.muscle_mm + 0.8, -5.0, 0.0, 1.0, 0)
    wide = solids.union(*strips)
    return solids.subtract(solids.intersect(wide, sheet), deep)


def _bowel(plan: MotherPlan) -> Solid:
    """Loops of gut at both flanks and above the uterus, clear of it by a few millimetres."""
    rng = np.random.default_rng([plan.seed, 77])
    reach = plan.uterus.radii_mm + plan.uterus.wall_mm + 16.0
    top, pieces = plan.half_height_mm - 30.0, []
    for side in (1, -1):
        levels = np.arange(-0.35 * top, top, 9.0)
        wave = np.sin(np.arange(len(levels)) * 1.35 + rng.uniform(0, 6))
        line = np.stack([side * (93 + 8 * wave), 26 + 14 * np.cos(np.arange(len(levels)) * 1.9), levels], axis=1)
        pieces.append(solids.tube(line, 11.0 + 1.5 * wave))
    across = np.linspace(-78, 78, 19)
    crest = reach[2] * np.sqrt(np.clip(1 - (across / reach[0]) ** 2 * 0.6, 0.0, 1)) + 10
    crest = np.minimum(crest + 8 * np.sin(np.arange(19) * 2.1 + rng.uniform(0, 6)), top + 4)
    pieces.append(solids.tube(np.stack([across, 18 + 14 * np.cos(np.arange(19) * 1.4), crest], axis=1), 11.5))
    loops = solids.subtract(solids.union(*pieces), solids.superellipsoid((0, 0, 0), reach - 8.0, 2.3))
    loops = solids.intersect(loops, plan.layer(plan.muscle_mm + 5.0, 12.0, 0.0, 1.0, 0))
    return solids.rough(loops, 1.2, 11.0, plan.seed + 69)


def mother_parts(plan: MotherPlan) -> list[Part]:
    """Surfaces of the mother outside the uterus."""
    u, m = plan.uterus, plan.muscle_mm
    bladder_at = (0, -0.42 * u.radii_mm[1], -u.radii_mm[2] - 8)
    bladder = solids.ellipsoid(bladder_at, (30, 17, 19))
    fat = plan.layer(-plan.fat_mm, 2.0, 0.3, 22.0, plan.seed + 63)
    muscle = plan.layer(0.0, 4.5, 0.1, 8.0, plan.seed + 64, FASCICLES)
    inside = plan.layer(m, 8.0, 0.1, 8.0, plan.seed + 65, FASCICLES)
    septa = fascicles.septa(plan._layer(0.0), m, 20.0, u.radii_mm[2] + 12.0, plan.seed)
    cavity = plan.layer(m + 1.6, 10.0, 0.4, 15.0, plan.seed + 66)
    return [
        Part("maternal_skin", "skin", 1, "mother", plan.skin, 6.0),
        Part("maternal_fat", "fat", 2, "mother", fat, 6.0),
        Part("maternal_muscle", "muscle", 3, "mother", muscle, 4.0),
        Part("maternal_septa", "perimysium", 4, "mother", solids.union(*septa), 0.6, septa),
        Part("maternal_fascia", "fascia", 5, "mother", _fascia(plan), 3.0),
        Part("preperitoneal_fat", "fat", 6, "mother", inside, 4.0),
        Part("peritoneal_cavity", "fat", 7, "mother", cavity, 5.0),
        Part("maternal_psoas", "muscle", 8, "mother", _psoas(plan), 4.0),
        Part("maternal_bowel", "bowel", 9, "mother", _bowel(plan), 4.0),
        Part("maternal_vessels", "blood", 10, "mother", _vessels(plan), 4.0),
        Part("maternal_bladder_wall", "muscle", 11, "mother", solids.offset(bladder, 3.0), 4.0),
        Part("maternal_bladder", "urine", 12, "mother", bladder, 4.0),
        Part("maternal_spine", "bone", 13, "mother", _spine(plan), 4.0),
        Part("maternal_pelvis", "bone", 14, "mother", _pelvis(plan), 4.0),
    ]
