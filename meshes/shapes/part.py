"""What the regions of the anatomy hand to the mesher: a named solid with its tissue and priority."""

from __future__ import annotations

from dataclasses import dataclass

from meshes.shapes.solids import Solid


@dataclass(frozen=True)
class Part:
    """One surface of the scene.

    Attributes:
        name: file name of the surface, without suffix.
        tissue: name in the tissue library.
        priority: where surfaces overlap the higher one wins; unique within a scene.
        group: "fetus" or "mother".
        solid: its shape, in the frame of its group.
        feature_mm: the smallest detail or wall to resolve, in mm; sets the sampling step.
        lenses: the solid as many rough ellipsoids, when it is thin and spread wide: no grid is sampled then.
    """

    name: str
    tissue: str
    priority: int
    group: str
    solid: Solid
    feature_mm: float
    lenses: tuple[Solid, ...] = ()
