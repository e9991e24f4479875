"""The whole fetus: its outline in layers, then the surfaces of each region."""

from __future__ import annotations

from dataclasses import replace

from meshes.fetus import head, trunk
from meshes.fetus import limbs as fetus_limbs
from meshes.fetus.plan import FetusPlan
from meshes.shapes import solids
from meshes.shapes.part import Part
from meshes.shapes.solids import Solid

FOLD_MM = 1.1  # fluid between a limb and the skin that it lies on, at 22 weeks
PRESS_MM = 3.0  # how far limbs press the trunk in at most, at 22 weeks: ribs and organs lie deeper


def trunk_and_head(plan: FetusPlan) -> Solid:
    """Skin of the fetus without its limbs."""
    return solids.union(trunk.skin(plan), head.skin(plan), blend=4.0 * plan.trunk_scale)


def outline(plan: FetusPlan) -> Solid:
    """Skin of the whole fetus. Limbs are one with the trunk at shoulder and hip; elsewhere they press it in."""
    k, limbs = plan.limb_scale, fetus_limbs.limbs(plan)
    free = [fetus_limbs.free_part(plan, *limb) for limb in limbs]
    whole = trunk_and_head(plan)
    firm = solids.offset(whole, -PRESS_MM * plan.trunk_scale)
    body = solids.subtract(whole, *[solids.offset(limb, FOLD_MM * k) for limb in free], blend=0.8 * k)
    body = solids.union(body, firm)
    body = solids.union(body, *[fetus_limbs.root_part(plan, *limb) for limb in limbs], blend=2.0 * k)
    return solids.union(body, *free)


def fetus_parts(plan: FetusPlan) -> list[Part]:
    """All surfaces of the fetus, in the fetus frame."""
    skin = outline(plan)
    skin_mm = 0.5 + 0.03 * (plan.growth.weeks - 16)
    fat_mm = 0.25 + 0.10 * (plan.growth.weeks - 16)  # hardly any fat before 20 weeks, millimetres near term
    body = solids.rough(solids.offset(skin, -(skin_mm + fat_mm)), 0.12, 4.5, plan.seed + 2)
    parts = [
        Part("fetal_skin", "fetal_skin", 24, "fetus", skin, 2.0),
        Part("fetal_fat", "fetal_fat", 25, "fetus", solids.offset(skin, -skin_mm), 2.0),
        Part("fetal_muscle", "fetal_muscle", 26, "fetus", body, 2.0),
        *trunk.trunk_parts(plan),
        *fetus_limbs.limb_parts(plan),
        *head.head_parts(plan),
    ]
    scale = plan.trunk_scale  # features grow with the fetus
    return [replace(part, feature_mm=part.feature_mm * scale) for part in parts]
