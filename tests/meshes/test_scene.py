"""The built scene: closed surfaces, nesting, poses, determinism, clear errors."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trimesh
from support.anatomies import anatomy_of, sweeps_of

from meshes import MeshesError, OutputError, SettingError, build_scene
from meshes.build import DETAILS
from meshes.planes.poses import PRESS_MM
from meshes.shapes import mesher, sdf
from meshes.variation import draw
from ussim.errors import UssimError

STANDARD_PLANES = {
    "transthalamic", "transcerebellar", "abdominal_circumference", "four_chamber", "femur", "spine_sagittal",
    "spine_coronal", "facial_profile", "placenta",
}  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return build_scene("tiny", tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def table(scene) -> dict:
    return tomllib.loads(scene.read_text("utf-8"))


@pytest.fixture(scope="module")
def anatomy():
    return anatomy_of(22, 0)


@pytest.fixture(scope="module", params=[(18, 3), (27, 8)], ids=["18wk-seed3", "27wk-seed8"])
def varied(request):
    return anatomy_of(*request.param)


def part(anatomy, name):
    return next(p for p in anatomy.parts if p.name == name)


def skin_points(anatomy) -> np.ndarray:
    """Points on the fetal skin, within 0.4 mm, fetus frame."""
    skin = part(anatomy, "fetal_skin").solid
    rng = np.random.default_rng(0)
    points = skin.low_mm + rng.random((60_000, 3)) * (skin.high_mm - skin.low_mm)
    near = points[np.abs(sdf.distance(skin, points)) < 0.4]
    assert len(near) > 500
    return near


def test_every_surface_is_closed_and_wound_outward(scene, table):
    for row in table["surface"]:
        mesh = trimesh.load_mesh(scene.parent / row["mesh"])
        assert mesh.is_watertight, row["name"]
        assert mesh.is_winding_consistent, row["name"]
        assert mesh.volume > 0, row["name"]
        assert mesh.area_faces.min() > 0, row["name"]


def test_names_and_priorities_are_unique_and_fit_the_bit_mask(table, anatomy):
    for rows in ([r["priority"] for r in table["surface"]], [p.priority for p in anatomy.parts]):
        assert len(set(rows)) == len(rows) <= 64
    assert len({p.name for p in anatomy.parts}) == len(anatomy.parts)


def test_the_tiny_scene_is_small(scene, table):
    count = sum(len(trimesh.load_mesh(scene.parent / row["mesh"]).faces) for row in table["surface"])
    assert 6_000 < count < 12_500


def test_layers_of_the_wall_are_nested_with_a_gap(anatomy):
    layers = ["maternal_skin", "maternal_fat", "maternal_muscle", "preperitoneal_fat", "peritoneal_cavity"]
    rng = np.random.default_rng(1)
    for outer, inner in pairwise(layers):
        solid = part(anatomy, inner).solid
        points = solid.low_mm + rng.random((20_000, 3)) * (solid.high_mm - solid.low_mm)
        inside = points[sdf.distance(solid, points) < 0]
        assert len(inside) > 5000
        assert sdf.distance(part(anatomy, outer).solid, inside).max() < -0.5, (outer, inner)


def septa_centres(anatomy) -> np.ndarray:
    return np.array([one.rows[0, 3:6] for one in part(anatomy, "maternal_septa").lenses])


def test_septa_run_inside_the_muscle_of_the_wall(anatomy):
    lenses = part(anatomy, "maternal_septa").lenses
    assert len(lenses) > 400
    points = np.concatenate([mesher.to_mesh(mesher.lens(one)).vertices_mm for one in lenses])
    within = sdf.distance(part(anatomy, "maternal_muscle").solid, points) < 0
    within &= sdf.distance(part(anatomy, "preperitoneal_fat").solid, points) > 0
    assert within.mean() > 0.99


def test_the_obliques_cross_as_they_do_in_the_flank(anatomy):
    inward = -sdf.distance(part(anatomy, "maternal_muscle").solid, centres := septa_centres(anatomy))
    fibres = np.array([one.rows[0, 12:15] for one in part(anatomy, "maternal_septa").lenses])
    share, flank = inward / anatomy.mother.muscle_mm, np.abs(centres[:, 0]) > 80
    short = np.array([one.rows[0, 16] < 4 for one in part(anatomy, "maternal_septa").lenses])  # no fascial plane
    for low, high, sign in ((0.08, 0.25, 1), (0.42, 0.58, -1)):  # external: down and forward; internal: up and forward
        own = fibres[flank & short & (share > low) & (share < high)]
        assert len(own) > 20
        assert (own[:, 1] * own[:, 2] * sign > 0).mean() > 0.95  # y runs backward, z up


def test_the_fetus_lies_in_the_fluid_clear_of_wall_and_placenta(anatomy):
    points = anatomy.uterus.lie.to_scene(skin_points(anatomy))
    assert sdf.distance(part(anatomy, "amniotic_fluid").solid, points).max() < 0.0
    assert sdf.distance(part(anatomy, "placenta").solid, points).min() > -0.5


def test_other_weeks_and_seeds_keep_the_fetus_in_the_fluid(varied):
    points = varied.uterus.lie.to_scene(skin_points(varied))
    assert sdf.distance(part(varied, "amniotic_fluid").solid, points).max() < 0.0
    assert sdf.distance(part(varied, "placenta").solid, points).min() > -0.5


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("fetal_brain", "fetal_subarachnoid"),
        ("fetal_subarachnoid", "fetal_skull"),
        ("fetal_skull", "fetal_skin"),
        ("fetal_heart_chambers", "fetal_heart_muscle"),
        ("fetal_lungs", "fetal_muscle"),
        ("fetal_liver", "fetal_muscle"),
        ("fetal_stomach", "fetal_muscle"),
        ("fetal_bladder", "fetal_muscle"),
        ("fetal_kidneys", "fetal_muscle"),
        ("fetal_vertebrae", "fetal_muscle"),
        ("fetal_ribs", "fetal_muscle"),
        ("fetal_limb_bones", "fetal_skin"),
        ("fetal_renal_pelves", "fetal_kidneys"),
        ("fetal_spinal_cord", "fetal_spinal_canal"),
        ("maternal_bladder", "maternal_bladder_wall"),
        ("maternal_pelvis", "maternal_fat"),
        ("maternal_spine", "maternal_skin"),
        ("amniotic_fluid", "uterus"),
        ("cord_vessels", "cord"),
    ],
)
def test_a_child_is_inside_its_parent(anatomy, child, parent):
    solid = part(anatomy, child).solid
    points = solid.low_mm + np.random.default_rng(2).random((30_000, 3)) * (solid.high_mm - solid.low_mm)
    inside = points[sdf.distance(solid, points) < 0]
    assert len(inside) > 20
    outside = sdf.distance(part(anatomy, parent).solid, inside) > 0
    # sutures and fontanelles are holes in the skull: there the space below shows
    allowed = 0.04 if parent == "fetal_skull" else 0.0
    assert outside.mean() <= allowed


def test_all_standard_planes_and_the_exam_are_there(table):
    assert {row["name"] for row in table["sweep"]} == STANDARD_PLANES | {"exam"}


@pytest.mark.slow
@pytest.mark.parametrize("weeks_seed", [(22, 0), (16, 21), (27, 2)])
def test_poses_touch_the_skin_and_look_inward(weeks_seed):
    skin = anatomy_of(*weeks_seed).mother.skin
    for sweep in sweeps_of(*weeks_seed):
        for key in sweep.keys:
            position_mm, axial, lateral = map(np.array, vars(key).values())
            depth = -sdf.distance(skin, position_mm)[0]
            assert 0.0 <= depth <= PRESS_MM + 0.5, sweep.name
            assert sdf.distance(skin, position_mm + 40 * axial)[0] < -20, sweep.name
            assert abs(axial @ lateral) < 1e-6


def test_most_exam_frames_see_the_fetus(anatomy):
    body = part(anatomy, "fetal_skin").solid
    exam = next(s for s in sweeps_of(22, 0) if s.name == "exam")
    angle, radius = np.meshgrid(np.radians(np.linspace(-33, 33, 25)), np.linspace(45, 188, 60))
    x, z = radius * np.sin(angle), radius * np.cos(angle) - 40.0
    seen = [
        (sdf.distance(body, anatomy.uterus.lie.to_fetus(
            (position_mm + x[..., None] * lateral + z[..., None] * axial).reshape(-1, 3))) < 0).mean() > 0.03
        for position_mm, axial, lateral in (map(np.array, vars(key).values()) for key in exam.keys)
    ]  # fmt: skip
    assert np.mean(seen) > 0.9


@pytest.mark.slow
def test_one_seed_gives_the_same_bytes_and_another_a_different_fetus(scene, tmp_path):
    again = build_scene("tiny", tmp_path / "again")
    for first in sorted(scene.parent.rglob("*.*")):
        if first.is_file():
            assert first.read_bytes() == (again.parent / first.relative_to(scene.parent)).read_bytes(), first.name
    assert draw(22, 1).roll_deg != draw(22, 2).roll_deg


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"detail": "huge"}, ("detail", "huge", "tiny")),
        ({"detail": "tiny", "weeks": 12}, ("weeks", "12", "16")),
        ({"detail": "tiny", "weeks": float("nan")}, ("weeks", "nan", "36")),
        ({"detail": "tiny", "weeks": "soon"}, ("weeks", "soon", "36")),
        ({"detail": "tiny", "seed": -1}, ("seed", "-1", "2147483647")),
        ({"detail": "tiny", "seed": 1.5}, ("seed", "1.5", "whole number")),
    ],
)
def test_a_wrong_setting_names_field_value_and_range(tmp_path, arguments, words):
    with pytest.raises(SettingError) as caught:
        build_scene(out_dir=tmp_path, **arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        build_scene("tiny", tmp_path / "file" / "scene")


def test_all_errors_are_mistakes_of_the_user_of_one_family():
    assert issubclass(SettingError, MeshesError)
    assert issubclass(MeshesError, UssimError)
    assert set(DETAILS) == {"tiny", "demo", "paper"}
