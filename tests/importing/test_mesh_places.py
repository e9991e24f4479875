"""Meshes from the field: units and axes that are stated or not, and places far from the origin."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import trimesh
from support import commands
from support.commands import ussim
from support.imported import init, save, surfaces, volume_mm3
from support.mesh_files import ball, obj_text, ply_bytes, stl_bytes

from ussim.scene.scene import Scene

refused = partial(commands.refused, "scene", "init")


# Units --------------------------------------------------------------------------------------------------


def test_inches_can_be_said_or_any_scale(tmp_path):
    files = save(tmp_path, torso=ball(7), liver=ball(2))
    for number, option in enumerate((("--units", "in"), ("--scale", "25.4"))):
        scene = init(*files, "-o", tmp_path / str(number), *option)
        assert np.ptp(scene.bounds_mm, axis=0).max() == pytest.approx(
            25.4 * np.ptp(ball(7).bounds, axis=0).max(), rel=1e-5
        )
    assert "--units and --scale are given" in refused(*files, "-o", tmp_path / "s", "--units", "in", "--scale", "2")
    for scale in ("0", "-1", "nan", "1e9"):
        assert "allowed: above 0, to 1e+06 mm per unit" in refused(*files, "-o", tmp_path / "s", "--scale", scale)


@pytest.mark.parametrize(
    ("radius", "words"),
    [(12, "24 cm or 24 mm (or 24 inches)?"), (1.25, "2.5 m or 2.5 cm or 2.5 mm (or 2.5 inches)?"), (60, ""), (0.2, "")],
)
def test_a_size_that_settles_nothing_is_a_note_with_the_candidates(tmp_path, radius, words):
    (path,) = save(tmp_path, eye=trimesh.creation.icosphere(subdivisions=2, radius=radius))
    result = ussim("scene", "init", path, "-o", tmp_path / "scene")
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stdout.splitlines() if line.startswith("note: ")]
    assert len(notes) == bool(words)
    assert all(note.startswith(f"note: {words}") for note in notes)
    assert ("which is a guess: " in result.stdout) == bool(words)


def test_a_stated_unit_wins_over_the_guess_and_is_said(tmp_path):
    (tmp_path / "liver.obj").write_text("# 1 unit = 25.4 mm\n" + obj_text({"Liver": ball(2)}))
    (tmp_path / "skin.ply").write_bytes(ply_bytes(ball(7), comments=("units: inches",)))
    (silent,) = save(tmp_path, stone=ball(0.5))
    files = [tmp_path / "skin.ply", tmp_path / "liver.obj"]
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene")
    assert "units: in, as the header of skin.ply says (another" in result.stdout
    assert "# Units: inches, as the header of skin.ply says." in (tmp_path / "scene" / "scene.toml").read_text()
    found = surfaces(Scene.load(tmp_path / "scene"))
    assert volume_mm3(found["liver"]) == pytest.approx(ball(50.8).volume, rel=1e-4)
    result = ussim("scene", "init", *files, silent, "-o", tmp_path / "mixed")
    assert "says; assumed for the files that say nothing" in result.stdout
    scene = init(*files, "-o", tmp_path / "given", "--units", "cm")
    assert np.ptp(scene.bounds_mm) == pytest.approx(10 * np.ptp(ball(7).bounds), rel=1e-3)


def test_units_that_contradict_each_other_are_refused(tmp_path):
    (tmp_path / "liver.obj").write_text("# units: mm\n" + obj_text({"Liver": ball(30)}))
    (tmp_path / "skin.ply").write_bytes(ply_bytes(ball(10), comments=("units: cm",)))
    files = [tmp_path / "skin.ply", tmp_path / "liver.obj"]
    message = refused(*files, "-o", tmp_path / "scene")
    assert "skin.ply states that its unit is cm, liver.obj that it is mm; allowed: one unit for all" in message
    init(*files, "-o", tmp_path / "scene", "--units", "mm")


# Axes ---------------------------------------------------------------------------------------------------

OFF_CENTRE = ball(30, (40, 10, 5))


def stated(path, axes: str, mesh: trimesh.Trimesh):
    header = f"3D Slicer output. SPACE={axes}".encode() if axes else b""
    path.write_bytes(stl_bytes(mesh, header))
    return path


def turned(mesh: trimesh.Trimesh, *signs: float) -> trimesh.Trimesh:
    return trimesh.Trimesh(
        mesh.vertices * signs, mesh.faces if np.prod(signs) > 0 else mesh.faces[:, ::-1], process=False
    )


def middles(scene: Scene) -> dict[str, list[float]]:
    return {one.name: one.vertices_mm.mean(axis=0).round(3).tolist() for one in scene.surfaces}


def test_every_file_is_turned_from_the_axes_that_it_states(tmp_path):
    files = [
        stated(tmp_path / "body.stl", "RAS", ball(100)),
        stated(tmp_path / "a.stl", "LPS", turned(OFF_CENTRE, -1, -1, 1)),
        stated(tmp_path / "b.stl", "RAS", OFF_CENTRE),
        stated(tmp_path / "c.stl", "LAS", turned(OFF_CENTRE, -1, 1, 1)),
    ]
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene")
    assert result.exit_code == 0, result.output
    wanted = "frame: the patient's, x to the right, y to the front, z up; the files state RAS and LPS and LAS"
    assert wanted in result.stdout
    found = middles(Scene.load(tmp_path / "scene"))
    assert found["a"] == found["b"] == found["c"] == [40, 10, 5]


def test_the_probe_lies_on_the_front_of_a_patient_whose_axes_are_stated(tmp_path):
    files = [stated(tmp_path / f"{name}.stl", "LPS", ball(radius)) for name, radius in (("body", 100), ("liver", 30))]
    scene = init(*files, "-o", tmp_path / "scene")
    assert scene.sweep().poses(7)[3, 1, 2] < -0.9


def test_axes_that_only_some_files_state_are_refused_until_an_option_settles_it(tmp_path):
    mirrored = turned(OFF_CENTRE, -1, -1, 1)
    files = [stated(tmp_path / "body.stl", "LPS", ball(100)), stated(tmp_path / "a.stl", "", mirrored)]
    message = refused(*files, "-o", tmp_path / "s")
    assert "body.stl states its frame, LPS, and a.stl states none; say --frame lps or --frame ras" in message
    for option, x in (("lps", 40), ("ras", -40), ("none", -40)):
        scene = init(*files, "-o", tmp_path / option, "--frame", option)
        assert middles(scene)["a"][0] == x
    assert "LPS as given with --frame where they state none" in (tmp_path / "lps" / "scene.toml").read_text()


def test_axes_that_no_file_states_are_said_to_be_assumed(tmp_path):
    files = save(tmp_path, body=ball(100), a=turned(OFF_CENTRE, -1, -1, 1))
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene")
    assert "frame: not stated, so taken as it is (a patient's: --frame lps|ras)" in result.stdout
    assert middles(Scene.load(tmp_path / "scene"))["a"][0] == -40
    assert middles(init(*files, "-o", tmp_path / "lps", "--frame", "lps"))["a"][0] == 40


# Far from the origin ------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [(50_000.4, 0, -20_000), (5e6, -3e6, 120)])
def test_what_is_far_from_the_origin_is_moved_there_and_that_is_said(tmp_path, offset):
    far = {name: mesh.copy().apply_translation(offset) for name, mesh in (("Body", ball(100)), ("Liver", OFF_CENTRE))}
    (tmp_path / "far.obj").write_text(obj_text(far))
    result = ussim("scene", "init", tmp_path / "far.obj", "-o", tmp_path / "scene", "--units", "mm")
    assert result.exit_code == 0, result.output
    shift = [round(0 - one) for one in offset]
    words = f"everything was moved by [{', '.join(map(str, shift))}] mm to lie near the origin; subtract that"
    assert f"place: {words}" in result.stdout
    assert f"# Moved: {words}" in (tmp_path / "scene" / "scene.toml").read_text()
    found = surfaces(Scene.load(tmp_path / "scene"))
    for name, mesh in far.items():  # text has all digits, and they arrive
        np.testing.assert_allclose(found[name].vertices_mm.mean(axis=0), mesh.vertices.mean(axis=0) + shift, atol=2e-5)
        assert volume_mm3(found[name]) == pytest.approx(mesh.volume, rel=1e-5)


def test_a_labelled_volume_far_from_the_origin_is_moved_too(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[4:21, 4:21, 4:21] = 1
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = (50_000, 0, -30_000)
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "ct.nii.gz")
    result = ussim("scene", "from-labels", tmp_path / "ct.nii.gz", "--tissue", "1=liver", "-o", tmp_path / "scene")
    assert result.exit_code == 0, result.output
    assert "everything was moved by [-50036, -36, 29964] mm" in result.stdout
    np.testing.assert_allclose(Scene.load(tmp_path / "scene").bounds_mm.mean(axis=0), 0, atol=1)


def test_what_is_near_enough_stays_where_it_is(tmp_path):
    files = save(tmp_path, body=ball(100, (5000, 0, 0)))
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene", "--units", "mm")
    assert "was moved" not in result.stdout + (tmp_path / "scene" / "scene.toml").read_text()
    assert middles(Scene.load(tmp_path / "scene"))["body"][0] == pytest.approx(5000)


def test_numbers_of_32_bits_far_out_are_said_to_be_coarse(tmp_path):
    files = save(tmp_path, body=ball(100, (500_000, 0, 0)))
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene", "--units", "mm", "--repair")
    assert (
        "note: so far from the origin the files' numbers step by 0.031 mm: export the meshes nearer to it"
        in result.stdout
    )
