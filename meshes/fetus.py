"""The whole fetus: its outline in layers, then the surfaces of each region."""

from __future__ import annotations

from dataclasses import replace

from meshes import fetus_head, fetus_limbs, fetus_trunk, solids
from meshes.fetus_plan import FetusPlan
from meshes.part import Part
from meshes.solids import Solid


def outline(plan: FetusPlan) -> Solid:
    """Skin of the whole fetus."""
    head_and_trunk = solids.union(fetus_trunk.skin(plan), fetus_head.skin(plan), blend=4.0 * plan.trunk_scale)
    return solids.union(head_and_trunk, fetus_limbs.skin(plan), blend=2.0 * plan.limb_scale)


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
        *fetus_trunk.trunk_parts(plan),
        *fetus_limbs.limb_parts(plan),
        *fetus_head.head_parts(plan),
    ]
    scale = plan.trunk_scale  # features grow with the fetus
    return [replace(part, feature_mm=part.feature_mm * scale) for part in parts]
