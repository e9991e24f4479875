"""From weeks and a seed to a folder with meshes and scene.toml."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meshes import fetus_trunk, mesher, poses
from meshes.errors import OutputError, SettingError
from meshes.fetus import fetus_parts, outline
from meshes.fetus_plan import FetusPlan, plan_fetus
from meshes.growth import median_growth
from meshes.mesher import Mesh
from meshes.mother import MotherPlan, mother_parts, plan_mother
from meshes.part import Part
from meshes.poses import Sweep
from meshes.uterus import UterusPlan, cord_path, plan_uterus, presentation, uterus_parts


@dataclass(frozen=True)
class Detail:
    """How finely a scene is meshed: triangle budgets of both groups, samples across the smallest feature,
    how far simplification may move a surface (a fraction of its smallest feature), and the parts left out."""

    fetal_triangles: int
    maternal_triangles: int
    fetal_steps: float
    maternal_steps: float
    reach: float
    left_out: frozenset[str]


DETAILS = {
    "tiny": Detail(6_500, 3_300, 0.85, 0.6, 1.0, frozenset({"cord_vessels"})),
    "demo": Detail(54_000, 30_000, 1.7, 1.3, 0.35, frozenset()),
    "paper": Detail(400_000, 275_000, 3.2, 3.6, 0.35, frozenset()),
}
BUDGET_TOLERANCE = 0.025


@dataclass(frozen=True)
class Anatomy:
    """All plans and parts of one scene."""

    fetus: FetusPlan
    uterus: UterusPlan
    mother: MotherPlan
    parts: tuple[Part, ...]


def plan_anatomy(weeks: float = 22, seed: int = 0) -> Anatomy:
    """Lays out fetus, uterus and mother.

    Raises:
        SettingError: weeks or seed out of range.
    """
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise SettingError("seed", seed, "a whole number from 0 to 2147483647")
    fetus = plan_fetus(median_growth(weeks), seed)
    skin = outline(fetus)
    points = mesher.to_mesh(mesher.surface(skin, 3.0, "fetal_skin").simplify(0.5)).vertices_mm.astype(float)
    uterus = plan_uterus(points, presentation(18.0, 6.0, False), (-0.35, 0.80, 0.55), weeks, 4.0, seed)
    mother = plan_mother(uterus, 12.0, seed)
    cord_radius = 4.0 * (weeks / 22) ** 0.7
    cord = cord_path(uterus, skin, fetus_trunk.umbilicus(fetus), cord_radius)
    parts = (*mother_parts(mother), *uterus_parts(uterus, cord, cord_radius), *fetus_parts(fetus))
    return Anatomy(fetus, uterus, mother, parts)


def plan_sweeps(anatomy: Anatomy) -> tuple[Sweep, ...]:
    """Sweeps and standard planes of an anatomy."""
    fetus, lie, skin = anatomy.fetus, anatomy.uterus.lie, anatomy.mother.skin
    radii = anatomy.uterus.radii_mm
    rotate = lie.rotation
    crown, rump = lie.to_scene(fetus.head_at(0, 0, 18)), lie.to_scene(fetus.at(0.93, 0, 15, 0))
    head = rotate @ fetus.head_axes.T  # columns: left, posterior, up of the head, in the scene
    belly = rotate @ fetus.axes(0.57).T
    back = rotate @ fetus.axes(0.5).T
    return (
        poses.exam(skin, 0.62 * radii[0], *sorted((crown[2], rump[2]))),
        poses.plane_through(
            skin, lie.to_scene(fetus.head_at(0, 0, 1)), head[:, 2], "Head, level of the thalami", "transthalamic"
        ),
        poses.plane_through(
            skin, lie.to_scene(fetus.at(0.57, 0, 14, 0)), belly[:, 2], "Abdomen, level of the stomach",
            "abdominal_circumference",
        ),
        poses.plane_through(
            skin, lie.to_scene(fetus.at(0.5, 0, 2, 0)), back[:, 0], "Spine in its long axis", "spine_sagittal",
            (0, 0, -1),
        ),
    )  # fmt: skip


def _meshes(anatomy: Anatomy, detail: Detail, progress: Callable[[str], None]) -> dict[str, Mesh]:
    """Meshes of both groups by name, in the scene frame."""
    found = {}
    for group, budget, steps in (
        ("mother", detail.maternal_triangles, detail.maternal_steps),
        ("fetus", detail.fetal_triangles, detail.fetal_steps),
    ):
        parts = [part for part in anatomy.parts if part.group == group and part.name not in detail.left_out]
        meshes = mesher.mesh_parts(parts, budget, steps, BUDGET_TOLERANCE, detail.reach, progress)
        for part, mesh in zip(parts, meshes, strict=True):
            if group == "fetus":
                mesh = Mesh(anatomy.uterus.lie.to_scene(mesh.vertices_mm).astype(np.float32), mesh.triangles)
            found[part.name] = mesh
    return found


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
        seed: varies the anatomy; one seed gives the same bytes.
        weeks: gestational age, 16–36.
        progress: called with one line of text per step.

    Returns:
        Path of the scene.toml.

    Raises:
        SettingError: an argument is out of range.
        OutputError: the folder cannot be written.
        SurfaceError: a surface could not be closed.
    """
    if detail not in DETAILS:
        raise SettingError("detail", detail, "one of " + ", ".join(DETAILS))
    report = progress or (lambda text: None)
    report("planning the anatomy")
    anatomy = plan_anatomy(weeks, seed)
    sweeps = plan_sweeps(anatomy)
    meshes = _meshes(anatomy, DETAILS[detail], report)
    report("writing the scene")
    out_dir = Path(out_dir)
    try:
        (out_dir / "meshes").mkdir(parents=True, exist_ok=True)
        for name, mesh in meshes.items():
            mesher.write_ply(mesh, out_dir / "meshes" / f"{name}.ply")
        path = out_dir / "scene.toml"
        path.write_text(_toml([part for part in anatomy.parts if part.name in meshes], sweeps, f"Fetus of {weeks:g} weeks, seed {seed}, {detail}"), "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the scene to {out_dir}: {error.strerror or error}") from error
    return path


def _numbers(values) -> str:
    return "[" + ", ".join(f"{float(v):.5f}" for v in values) + "]"


def _toml(parts, sweeps, name: str) -> str:
    lines = ["format = 1", f'name = "{name}"', 'background = "gel"', ""]
    for part in sorted(parts, key=lambda p: p.priority):
        lines += [
            "[[surface]]", f'name = "{part.name}"', f'mesh = "meshes/{part.name}.ply"', f'tissue = "{part.tissue}"',
            f"priority = {part.priority}", f'group = "{part.group}"', "",
        ]  # fmt: skip
    for sweep in sweeps:
        lines += ["[[sweep]]", f'name = "{sweep.name}"', f'description = "{sweep.description}"', ""]
        for key in sweep.keys:
            lines += [
                "[[sweep.key]]", f"position_mm = {_numbers(key.position_mm)}", f"axial = {_numbers(key.axial)}",
                f"lateral = {_numbers(key.lateral)}", "",
            ]  # fmt: skip
    return "\n".join(lines)
