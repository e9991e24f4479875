"""The mother's abdomen around the uterus: layers of the wall, bladder, bones, vessels, bowel. Scene frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshes import solids
from meshes.part import Part
from meshes.solids import Solid
from meshes.uterus import CAVITY_EXPONENT, UterusPlan


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

    def _layer(self, depth: float) -> Solid:
        """The trunk at `depth` mm below the outside of the muscle (negative: above it), not yet cut to length."""
        u = self.uterus
        grown = u.radii_mm + u.wall_mm + self.muscle_mm + 2.5
        belly = solids.superellipsoid((0, 0, 0), grown + np.array([4.0, -2.0, 6.0]), CAVITY_EXPONENT)
        back = self.spine_y_mm + 42.0
        front = -0.62 * grown[1]
        middle, half = 0.5 * (front + back), 0.5 * (back - front)
        trunk = solids.superellipsoid((0, middle, 0), (138.0, half, 4 * self.half_height_mm), 2.4)
        return solids.offset(solids.union(trunk, belly, blend=26.0), -depth)

    def layer(self, depth: float, inset: float, relief: float, wavelength: float, seed: int) -> Solid:
        """A closed layer: rough, cut `inset` mm short of the full height."""
        body = self._layer(depth)
        body = solids.rough(body, relief, wavelength, seed) if relief else body
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
    return MotherPlan(2.0, fat_mm, 8.0, float(reach[2]) + 75.0, float(reach[1]) + 14.0, uterus, seed)


def _spine(plan: MotherPlan) -> Solid:
    """Lumbar vertebral bodies, 27 mm high with 9 mm disks between them, and their arches."""
    pieces, y = [], plan.spine_y_mm + 17.0
    for z in np.arange(-plan.half_height_mm + 24, plan.half_height_mm - 18, 36.0):
        pieces.append(solids.superellipsoid((0, y, z), (22, 16.5, 13.5), 3.0))
        pieces.append(solids.cone((0, y + 26, z - 4), (0, y + 40, z - 10), 4, 5))
        for side in (1, -1):
            pieces.append(solids.tube([(side * 14, y + 12, z + 4), (side * 15, y + 22, z), (0, y + 28, z - 3)], 4.0))
            pieces.append(solids.cone((side * 15, y + 20, z + 2), (side * 38, y + 24, z + 2), 3.5, 3.0))
    return solids.rough(solids.union(*pieces), 0.5, 12.0, plan.seed + 62)


def _vessels(plan: MotherPlan) -> Solid:
    """Aorta to the left, inferior vena cava to the right, in front of the spine."""
    top, y = plan.half_height_mm - 12, plan.spine_y_mm - 5.0
    aorta = solids.cone((11, y, top), (9, y, -top), 7.5, 6.5)
    return solids.union(aorta, solids.superellipsoid((-12, y + 0.5, 0), (10.5, 6.0, top), 2.2))


def mother_parts(plan: MotherPlan) -> list[Part]:
    """Surfaces of the mother outside the uterus."""
    u = plan.uterus
    m = plan.muscle_mm
    low = u.radii_mm[2]
    bladder_at = (0, -0.42 * u.radii_mm[1], -low - 8)
    bladder = solids.ellipsoid(bladder_at, (30, 17, 19))
    skin, fat = plan.skin, plan.layer(-plan.fat_mm, 2.0, 0.3, 22.0, plan.seed + 63)
    muscle = plan.layer(0.0, 4.5, 0.4, 12.0, plan.seed + 64)
    inside = plan.layer(m, 8.0, 0.4, 12.0, plan.seed + 65)
    abdomen = plan.layer(m + 1.6, 10.0, 0.4, 15.0, plan.seed + 66)
    return [
        Part("maternal_skin", "skin", 1, "mother", skin, 6.0),
        Part("maternal_fat", "fat", 2, "mother", fat, 6.0),
        Part("maternal_muscle", "muscle", 3, "mother", muscle, 5.0),
        Part("preperitoneal_fat", "fat", 4, "mother", inside, 5.0),
        Part("maternal_abdomen", "bowel", 5, "mother", abdomen, 5.0),
        Part("maternal_vessels", "blood", 6, "mother", _vessels(plan), 4.0),
        Part("maternal_bladder_wall", "muscle", 7, "mother", solids.offset(bladder, 3.0), 4.0),
        Part("maternal_bladder", "urine", 8, "mother", bladder, 4.0),
        Part("maternal_spine", "bone", 9, "mother", _spine(plan), 4.0),
    ]
