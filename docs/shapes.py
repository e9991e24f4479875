"""Scenes that are no anatomy: balls, shells, rods and boxes of the library's tissues, in a block of flesh.

A generator that has seen anatomies only takes their walls, thin and rough, for what an image looks like. What users
bring, segmented organs and plain models, is often smoother.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import trimesh
from trimesh.transformations import random_rotation_matrix, scale_matrix

from ussim.dataset.series import SceneSource
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.sweep import Sweep, SweepKey

SWEEP = "over"
_KEYS = 4
_TISSUES = (
    "soft_tissue", "muscle", "fat", "liver", "kidney", "uterus", "brain", "placenta", "blood", "urine", "bone",
)  # fmt: skip
_FLESH, _ORGANS, _FLUIDS = _TISSUES[:2], _TISSUES[:8], _TISSUES[8:10]


def sources(make: Callable[[int], Scene], count: int, first_seed: int = 0) -> list[SceneSource]:
    """Scenes of the seeds from ``first_seed``."""
    return [
        SceneSource(seed, 0.0, make.__name__, lambda seed=seed: make(seed))
        for seed in range(first_seed, first_seed + count)
    ]


def shape_scene(seed: int) -> Scene:
    """A block with layers of fat and muscle under its upper side, at z = 0, and ten bodies at random places in it."""
    rng = np.random.default_rng(seed)
    fat, muscle = rng.uniform(4, 28), rng.uniform(4, 16)
    solids = [
        ("body", "soft_tissue", _slab(0.0, 240.0, 280.0)),
        ("fat", "fat", _slab(1.5, 1.5 + fat, 278.0)),
        ("muscle", "muscle", _slab(1.8 + fat, 1.8 + fat + muscle, 276.0)),
        ("liver", "liver", _placed(rng, _ellipsoid(rng, 25, 60))),
        ("fluid", "amniotic_fluid", _placed(rng, _ellipsoid(rng, 25, 55))),
        ("placenta", "placenta", _placed(rng, _ellipsoid(rng, 10, 35))),
        ("kidney", "kidney", _placed(rng, _rod(rng, 10, 22, 20, 60))),
        ("block", "fetal_soft", _placed(rng, trimesh.creation.box(rng.uniform(10, 45, 3)))),
        *_shell(rng),
        ("cyst", "urine", _placed(rng, _ellipsoid(rng, 4, 18))),
        ("vessel", "blood", _placed(rng, _rod(rng, 1.5, 8, 50, 150))),
        ("rod", "bone", _placed(rng, _rod(rng, 1.5, 6, 15, 90))),
        ("stone", "bone", _placed(rng, _ellipsoid(rng, 1.5, 5))),
    ]
    return _scene(solids, rng, f"shapes {seed}")


def plain_scene(seed: int) -> Scene:
    """A block with one to twenty ellipsoids in it, of any tissue and some inside others, as segmented organs are.

    In a third of the scenes all are of one tissue, as of meshes whose names say nothing: then there is little to see,
    and the low-quality image is right nearly everywhere.
    """
    rng = np.random.default_rng((seed, 1))
    count = round(20 ** rng.random())
    of_one_tissue = rng.random() < 1 / 3
    flesh = str(rng.choice(_FLESH))
    solids = [*_table(), ("body", flesh, _slab(0.0, 240.0, 280.0))]
    for number in range(count):
        tissue = flesh if of_one_tissue else str(rng.choice(_TISSUES))
        largest_mm = rng.uniform(4, 60 / count**0.3)
        solids.append((f"organ_{number}", tissue, _placed(rng, _ellipsoid(rng, largest_mm / 2, largest_mm))))
    return _scene(solids, rng, f"plain {seed}")


def solid_scene(seed: int) -> Scene:
    """A block with layers and ten to thirty bodies of all kinds, two of three of bone or fluid: many shadows."""
    rng = np.random.default_rng((seed, 2))
    fat = rng.uniform(4, 28)
    solids = [
        *_table(),
        ("body", str(rng.choice(_FLESH)), _slab(0.0, 240.0, 280.0)),
        ("fat", "fat", _slab(1.5, 1.5 + fat, 278.0)),
    ]
    for number in range(rng.integers(10, 31)):
        kind = rng.choice(("bone", "fluid", "organ"))
        if kind == "bone":
            tissue, thin, thick = "bone", 2.0, 12.0
        else:
            tissue, thin, thick = str(rng.choice(_FLUIDS if kind == "fluid" else _ORGANS)), 3.0, 30.0
        largest = thin * (thick / thin) ** rng.random()
        shapes = {
            "ball": lambda size=largest: _ellipsoid(rng, size / 2, size),
            "rod": lambda size=largest: _rod(rng, size / 2, size, 15, 120),
            "box": lambda size=largest: trimesh.creation.box(rng.uniform(size, 2 * size, 3)),
        }
        solids.append((f"body_{number}", tissue, _placed(rng, shapes[str(rng.choice(tuple(shapes)))]())))
    return _scene(solids, rng, f"solids {seed}")


def _table() -> list[tuple[str, str, trimesh.Trimesh]]:
    """All tissues, hidden under the block: scenes of one store have one table, in the order of the first surfaces."""
    hidden = trimesh.creation.icosphere(2, 2.0).apply_translation((0, 0, 230))
    return [(f"hidden_{tissue}", tissue, hidden) for tissue in _TISSUES]


def _scene(solids: list[tuple[str, str, trimesh.Trimesh]], rng: np.random.Generator, name: str) -> Scene:
    surfaces = [
        Surface.from_mesh(mesh, name=name, tissue=tissue, priority=priority)
        for priority, (name, tissue, mesh) in enumerate(solids)
    ]
    keys = [_key(rng) for _ in range(_KEYS)]
    return Scene.from_surfaces(surfaces, "gel", sweeps={SWEEP: Sweep(SWEEP, tuple(keys))}, name=name)


def _key(rng: np.random.Generator) -> SweepKey:
    tilt = rng.uniform(-0.35, 0.35)
    return SweepKey((rng.uniform(-50, 50), rng.uniform(-25, 25), 1.0), (tilt, 0, 1), (1, 0, -tilt))


def _slab(top_mm: float, bottom_mm: float, side_mm: float) -> trimesh.Trimesh:
    slab = trimesh.creation.box((side_mm, side_mm, bottom_mm - top_mm))
    slab.apply_translation((0, 0, (top_mm + bottom_mm) / 2))
    return slab


def _placed(rng: np.random.Generator, mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Turned at random, with its middle somewhere in view."""
    mesh.apply_transform(random_rotation_matrix(rng.random(3)))
    mesh.apply_translation((rng.uniform(-55, 55), rng.uniform(-20, 20), rng.uniform(35, 130)))
    return mesh


def _ellipsoid(rng: np.random.Generator, least_mm: float, most_mm: float) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(4)
    return ball.apply_scale(rng.uniform(least_mm, most_mm, 3))


def _rod(rng: np.random.Generator, thin: float, thick: float, short: float, long: float) -> trimesh.Trimesh:
    return trimesh.creation.capsule(rng.uniform(short, long), rng.uniform(thin, thick), count=(32, 32))


def _shell(rng: np.random.Generator) -> list[tuple[str, str, trimesh.Trimesh]]:
    """A skull: bone around brain, 1 to 4 mm thick."""
    outer = _placed(rng, _ellipsoid(rng, 12, 45))
    inner, middle = outer.copy(), outer.bounds.mean(axis=0)
    inner.apply_transform(scale_matrix(1 - rng.uniform(1, 4) / (np.ptp(outer.bounds, axis=0).max() / 2), middle))
    return [("skull", "bone", outer), ("brain", "brain", inner)]
