"""What tests and benchmarks of the anatomy share: a fetus by age and seed, and measurements on a whole anatomy."""

from __future__ import annotations

from functools import cache
from math import exp

import numpy as np

from meshes.build import Anatomy, plan_anatomy, plan_sweeps
from meshes.fetus import limbs
from meshes.fetus.attitude import plan_fetus
from meshes.fetus.growth import grow
from meshes.fetus.limbs import Girth
from meshes.fetus.plan import FetusPlan, Limb
from meshes.shapes import mesher, sdf
from meshes.shapes.solids import Solid
from meshes.variation import draw
from ussim.scene.sweep import Sweep

FILM_MM = 0.8
DENSITY_G_ML = 1.031  # Baker et al., Lancet 1994;343:644–645


def fetus(weeks: float, seed: int) -> FetusPlan:
    """The landmarks of one fetus."""
    variation = draw(weeks, seed)
    return plan_fetus(grow(weeks, variation.head_z, variation.abdomen_z, variation.femur_z), variation)


@cache
def anatomy_of(weeks: float, seed: int) -> Anatomy:
    """The anatomy of an age and a seed, planned once for all tests of a process: do not change it."""
    return plan_anatomy(weeks, seed)


@cache
def sweeps_of(weeks: float, seed: int) -> tuple[Sweep, ...]:
    """Its sweeps, planned once."""
    return plan_sweeps(anatomy_of(weeks, seed))


def usual_weight_g(weeks: float) -> float:
    """Median of Hadlock et al., Radiology 1991;181:129–133."""
    return exp(0.578 + 0.332 * weeks - 0.00354 * weeks**2)


def grid_points(solid: Solid, step: float) -> np.ndarray:
    """Points (n, 3) of a grid over the box of a solid."""
    axes = [np.arange(low + step / 2, high, step) for low, high in zip(solid.low_mm, solid.high_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def sampled_and_dense(solid: Solid, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """A solid on its grid (nx, ny, nz): sampled by blocks, and every point evaluated with every row."""
    grid, origin = sdf.sample(solid, step_mm)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return grid, sdf.distance(solid, origin + step_mm * index.reshape(-1, 3)).reshape(grid.shape)


def fluid_ml_and_weight_g(anatomy: Anatomy, step_mm: float = 3.0) -> tuple[float, float]:
    """Amniotic fluid and fetus, by counting points of a grid."""
    solid = {part.name: part.solid for part in anatomy.parts}
    points = grid_points(solid["amniotic_fluid"], step_mm)
    inside = points[sdf.distance(solid["amniotic_fluid"], points) < 0]
    fetal = sdf.distance(solid["fetal_skin"], anatomy.uterus.lie.to_fetus(inside)) < 0
    taken = fetal | (sdf.distance(solid["placenta"], inside) < 0) | (sdf.distance(solid["cord"], inside) < 0)
    ml = step_mm**3 * 1e-3
    return float(np.sum(~taken)) * ml, DENSITY_G_ML * float(np.sum(fetal)) * ml


def grown_together(plan: FetusPlan, skin: Solid, limb: Limb, girth: Girth) -> float:
    """Share of a limb's surface, beyond the part that may be one with the trunk, without FILM_MM of fluid over it."""
    free = limbs.free_part(plan, limb, girth)
    points = mesher.to_mesh(mesher.surface(free, plan.limb_scale, "limb")).vertices_mm.astype(float)
    axis = (limb.middle - limb.root) / np.linalg.norm(limb.middle - limb.root)
    points = points[(points - limb.root) @ axis > limbs.ROOT * np.linalg.norm(limb.middle - limb.root)]
    points = points - sdf.distance(free, points)[:, None] * sdf.normal(free, points)
    above = points + FILM_MM * sdf.normal(free, points)
    in_own_fold = sdf.distance(free, above) < 0.7 * FILM_MM
    return float(((sdf.distance(skin, above) < 0) & ~in_own_fold).mean())
