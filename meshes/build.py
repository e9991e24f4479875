"""From weeks and a seed to a folder with meshes and scene.toml."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meshes.errors import SettingError
from meshes.fetus import trunk
from meshes.fetus.attitude import plan_fetus
from meshes.fetus.body import fetus_parts, outline
from meshes.fetus.growth import check_weeks, grow
from meshes.fetus.plan import FetusPlan
from meshes.folder import MARK, new_scene
from meshes.mother.uterus import UterusPlan, cord_path, fetal_axes, plan_uterus, uterus_parts
from meshes.mother.wall import MotherPlan, mother_parts, plan_mother
from meshes.planes import poses, window
from meshes.planes.standard import standard_planes
from meshes.shapes import mesher
from meshes.shapes.mesher import Mesh
from meshes.shapes.part import Part
from meshes.variation import Variation, check_seed, draw
from ussim.scene.file import SCENE_FILE_NAME, SceneFile
from ussim.scene.sweep import Sweep
from ussim.scene.writer import scene_text, sweep_entry


@dataclass(frozen=True)
class Detail:
    """How finely a scene is meshed.

    Attributes:
        fetal_triangles, maternal_triangles: budgets of both groups.
        tolerance: how far from them a build may end, as a fraction.
        fetal_steps, maternal_steps: least number of samples across the smallest feature of a part.
        reach: how far simplification may move a surface, as a fraction of its smallest feature.
        left_out: names of the parts that are not built.
    """

    fetal_triangles: int
    maternal_triangles: int
    tolerance: float
    fetal_steps: float
    maternal_steps: float
    reach: float
    left_out: frozenset[str]


# what a mesh of a few thousand triangles cannot hold
TOO_FINE = frozenset(
    (
        "cord_vessels chorionic_plate placental_vessels placental_lakes fetal_brainstem fetal_corpus_callosum "
        "cervical_canal maternal_septa maternal_spine maternal_pelvis maternal_fascia maternal_bowel "
        "maternal_psoas fetal_diaphragm fetal_airway fetal_fat fetal_falx fetal_girdles fetal_lenses "
        "fetal_renal_pelves fetal_gallbladder fetal_epiphyses fetal_vessels fetal_umbilical_vein "
        "fetal_choroid_plexus fetal_spinal_cord fetal_face_bones"
    ).split()
)
DETAILS = {
    "tiny": Detail(6_400, 3_600, 0.25, 0.75, 0.55, 0.9, TOO_FINE),
    "demo": Detail(52_000, 66_000, 0.05, 1.6, 1.1, 0.45, frozenset()),
    "paper": Detail(400_000, 275_000, 0.025, 1.6, 1.1, 0.35, frozenset()),
}


@dataclass(frozen=True)
class Anatomy:
    """All plans and parts of one scene."""

    variation: Variation
    fetus: FetusPlan
    uterus: UterusPlan
    mother: MotherPlan
    parts: tuple[Part, ...]


def plan_anatomy(weeks: float = 22, seed: int = 0) -> Anatomy:
    """Lays out fetus, uterus and mother.

    Raises:
        SettingError: weeks or seed out of range.
    """
    weeks = check_weeks(weeks)
    variation = draw(weeks, seed)
    growth = grow(weeks, variation.head_z, variation.abdomen_z, variation.femur_z)
    fetus = plan_fetus(growth, variation)
    skin = outline(fetus)
    body = mesher.surface(skin, 1.4 * fetus.limb_scale, "fetal_skin")  # fine enough for fingers
    points = mesher.to_mesh(body.simplify(0.5 * fetus.limb_scale)).vertices_mm.astype(float)
    uterus = plan_uterus(points, body.volume() * 1e-3, fetal_axes(variation), variation, weeks)
    mother = plan_mother(uterus, variation.fat_mm, seed)
    cord_radius = 4.0 * (weeks / 22) ** 0.7
    cord = cord_path(uterus, skin, trunk.umbilicus(fetus), cord_radius)
    parts = (*mother_parts(mother), *uterus_parts(uterus, cord, cord_radius), *fetus_parts(fetus))
    return Anatomy(variation, fetus, uterus, mother, parts)


def plan_sweeps(anatomy: Anatomy) -> tuple[Sweep, ...]:
    """The regular exam and the standard planes of an anatomy."""
    fetus, uterus, mother = anatomy.fetus, anatomy.uterus, anatomy.mother
    bones = tuple(window.obstacles(anatomy.parts, uterus.lie))
    reach = poses.Reach(mother.skin, bones, mother.half_height_mm - 25.0)
    ends = [uterus.lie.to_scene(p) for p in (fetus.head_at(0, 0, 18), fetus.at(0.93, 0, 15, 0))]
    low, high = sorted(float(end[2]) for end in ends)
    low, high = min(low, -0.45 * uterus.radii_mm[2]), max(high, 0.45 * uterus.radii_mm[2])
    sweep = poses.exam(reach.skin, 0.62 * min(float(uterus.radii_mm[0]), 95.0), low, high)
    return (sweep, *[poses.standing(planes, reach) for planes in standard_planes(fetus, uterus)])


def _meshes(anatomy: Anatomy, detail: Detail, progress: Callable[[str], None]) -> dict[str, Mesh]:
    """Meshes of both groups by name, in the scene frame."""
    found = {}
    for group, budget, steps in (
        ("mother", detail.maternal_triangles, detail.maternal_steps),
        ("fetus", detail.fetal_triangles, detail.fetal_steps),
    ):
        parts = [part for part in anatomy.parts if part.group == group and part.name not in detail.left_out]
        meshes = mesher.mesh_parts(parts, budget, steps, detail.reach, detail.tolerance, progress)
        for part, mesh in zip(parts, meshes, strict=True):
            if group == "fetus":
                mesh = Mesh(anatomy.uterus.lie.to_scene(mesh.vertices_mm).astype(np.float32), mesh.triangles)
            found[part.name] = mesher.without_specks(mesher.without_pinches(mesh))
    return found


def check_detail(detail: str) -> str:
    """The name of a detail.

    Raises:
        SettingError: there is none of that name.
    """
    if detail not in DETAILS:
        raise SettingError("detail", detail, "one of " + ", ".join(DETAILS))
    return detail


def build_scene(
    detail: str,
    out_dir: Path,
    seed: int = 0,
    weeks: float = 22,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Builds a pregnant abdomen with its fetus and writes it as a scene folder.

    Args:
        detail: "tiny", "demo" or "paper".
        out_dir: folder to write into; made if missing.
        seed: varies the anatomy; on one machine, with the same versions, a seed gives the same bytes.
        weeks: gestational age, 16–36.
        progress: called with one line of text per step.

    Returns:
        Path of the scene.toml. An older scene of this command in the folder is replaced once the new
        one is whole.

    Raises:
        SettingError: an argument is out of range.
        OutputError: the folder cannot be written, or holds meshes of somebody else.
        SurfaceError: a surface could not be closed.
    """
    check_detail(detail)
    report = progress or (lambda text: None)
    weeks, seed = check_weeks(weeks), check_seed(seed)
    with new_scene(Path(out_dir)) as folder:
        report("planning the anatomy")
        anatomy = plan_anatomy(weeks, seed)
        sweeps = plan_sweeps(anatomy)
        meshes = _meshes(anatomy, DETAILS[detail], report)
        report("writing the scene")
        for name, mesh in meshes.items():
            mesher.write_ply(mesh, folder / "meshes" / f"{name}.ply")
        shutil.copyfile(Path(__file__).with_name("tissues.toml"), folder / "tissues.toml")
        parts = [part for part in anatomy.parts if part.name in meshes]
        title = f"Fetus of {weeks:g} weeks, seed {seed}, {detail}"
        (folder / SCENE_FILE_NAME).write_text(_scene_text(title, parts, sweeps), "utf-8")
    return Path(out_dir) / SCENE_FILE_NAME


def _scene_text(title: str, parts: Sequence[Part], sweeps: Sequence[Sweep]) -> str:
    surfaces = [
        {
            "name": part.name,
            "mesh": f"meshes/{part.name}.ply",
            "tissue": part.tissue,
            "priority": part.priority,
            "group": part.group,
        }
        for part in sorted(parts, key=lambda part: part.priority)
    ]
    entries = [sweep_entry(sweep, decimals=5) for sweep in sweeps]
    file = SceneFile(format=1, name=title, tissues=["tissues.toml"], surface=surfaces, sweep=entries)
    return scene_text(file, header=[MARK])
