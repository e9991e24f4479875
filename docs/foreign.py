"""Scenes as people bring them, to see what the shipped generator is worth there: solids, plain STLs, a label volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import trimesh
from commands import call

from ussim.dataset import job
from ussim.dataset.plan import make_plan
from ussim.probe.settings import build_settings
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.sweep import Sweep, SweepKey

FRAMES = 60
_PLACES = ((-50, -20, 0.2), (-10, 0, 0.0), (30, 10, -0.1), (60, 25, -0.3))
"""Of the probe over the primitives: to the side and in elevation [mm], tilt."""
_ORGANS = (
    "liver", "kidney_left", "spleen", "urinary_bladder", "aorta", "inferior_vena_cava", "gallbladder", "stomach",
    "pancreas", "iliopsoas_right", "autochthon_left", "vertebrae_L3", "rib_left_8", "femur_left", "hip_right",
    "heart_ventricle_left", "brain", "uterus", "placenta", "adrenal_gland_left",
)  # fmt: skip
"""As segmentation tools call them."""
_LABELS = {1: "soft_tissue", 2: "fat", 3: "liver", 4: "kidney", 5: "blood", 6: "bone"}


def stores(folder: Path) -> dict[str, Path]:
    """A store of each scene, in a folder; what is finished is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {"primitives": _render_primitives(folder / "primitives.zarr")}
    recipes: dict[str, Callable[[Path], list[object]]] = {"nested": _nested, "organs": _organs, "labels": _labels}
    for name, recipe in recipes.items():
        scene, made[name] = folder / name, folder / f"{name}.zarr"
        if not scene.exists():
            call("ussim", "scene", *recipe(folder), "-o", scene)
        resume = ("--resume",) if made[name].exists() else ()
        call("ussim", "render", scene, "-o", made[name], "--frames", FRAMES, *resume)
    return made


def _nested(folder: Path) -> list[object]:
    """Three ellipsoids in one STL without names: a body and two organs, which all become soft tissue."""
    solids = [
        _ellipsoid((125, 85, 140), (0, 0, 0)),
        _ellipsoid((48, 36, 42), (28, 12, 10)),
        _ellipsoid((22, 16, 36), (-45, -15, -10)),
    ]
    file = folder / "body.stl"
    trimesh.util.concatenate(solids).export(file)
    return ["init", file, "--repair"]


def _organs(folder: Path) -> list[object]:
    """A box with twenty balls in it, called as organs are."""
    meshes = folder / "meshes"
    meshes.mkdir(exist_ok=True)
    trimesh.creation.box((300, 180, 260)).export(meshes / "body.stl")
    for number, name in enumerate(_ORGANS):
        row, column = divmod(number, 5)
        ball = _ellipsoid((14, 14, 14), (-110 + 55 * column, -15 * (number % 3), -85 + 55 * row))
        ball.export(meshes / f"{name}.stl")
    return ["init", *sorted(meshes.glob("*.stl")), "--units", "mm"]


def _labels(folder: Path) -> list[object]:
    """A label volume of 1.5 mm: a trunk with a layer of fat, liver, kidneys, a vessel and a spine."""
    side_mm = 1.5
    x, y, z = side_mm * np.stack(np.meshgrid(*(np.arange(-n, n) for n in (95, 68, 68)), indexing="ij"))

    def inside(middle: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
        return sum(((at - m) / r) ** 2 for at, m, r in zip((x, y, z), middle, radii, strict=True)) < 1

    volume = np.zeros(x.shape, np.uint8)
    tall = 1e4
    volume[inside((0, 0, 0), (130, 90, tall))] = 2
    volume[inside((0, 0, 0), (118, 78, tall))] = 1
    volume[inside((-50, 5, 10), (55, 50, 60))] = 3
    for at in (-45, 45):
        volume[inside((at, -40, -30), (22, 18, 40))] = 4
    volume[inside((10, -22, 0), (9, 9, tall))] = 5
    volume[inside((0, -52, 0), (20, 16, tall))] = 6
    volume[:, :, [0, -1]] = volume[:, [0, -1]] = volume[[0, -1]] = 0
    file = folder / "labels.nii.gz"
    nibabel.Nifti1Image(volume, np.diag([side_mm, side_mm, side_mm, 1.0])).to_filename(file)
    tissues = [word for label, tissue in _LABELS.items() for word in ("--tissue", f"{label}={tissue}")]
    return ["from-labels", file, *tissues]


def _ellipsoid(radii_mm: tuple[float, float, float], middle_mm: tuple[float, float, float]) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(3)
    return ball.apply_scale(radii_mm).apply_translation(middle_mm)


def _render_primitives(store: Path) -> Path:
    """Balls, rods and boxes in a body, of tissues of the library."""
    shapes = [
        ("body", "soft_tissue", trimesh.creation.box((260, 200, 220)), (0, 0, 110)),
        ("fat", "fat", trimesh.creation.box((258, 198, 18)), (0, 0, 12)),
        ("liver", "liver", trimesh.creation.icosphere(4, 38), (-32, 0, 75)),
        ("vessel", "blood", trimesh.creation.cylinder(6, 120), (-30, 0, 70)),
        ("cyst", "urine", trimesh.creation.icosphere(4, 16), (34, 0, 55)),
        ("rod", "bone", trimesh.creation.cylinder(5, 90), (22, 5, 92)),
        ("stone", "bone", trimesh.creation.icosphere(3, 4), (34, 0, 68)),
        ("kidney", "kidney", trimesh.creation.capsule(50, 18), (60, -25, 100)),
    ]
    surfaces = []
    for priority, (name, tissue, mesh, place) in enumerate(shapes):
        if name in ("vessel", "rod"):
            mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0.3, 0]))
        mesh.apply_translation(place)
        surfaces.append(Surface.from_mesh(mesh, name=name, tissue=tissue, priority=priority))
    keys = [SweepKey((side, elevation, 2), (tilt, 0, 1), (1, 0, -tilt)) for side, elevation, tilt in _PLACES]
    scene = Scene.from_surfaces(surfaces, "gel", sweeps={"over": Sweep("over", tuple(keys))})
    settings = build_settings([], ("lq", "hq"), (1000, 1386))
    job.run(make_plan(scene, FRAMES, settings, "over"), store, resume=store.exists())
    return store
