"""Meshes from the field: several bodies in one, units and axes that are stated or not, far places, odd names."""

from __future__ import annotations

import os
import shlex
import unicodedata
from functools import partial

import numpy as np
import pytest
import trimesh
from support import commands
from support.commands import ussim
from support.imported import init, save, surfaces, volume_mm3
from support.mesh_files import Gltf, ball, join, obj_text, ply_bytes, stl_bytes, stl_text
from support.scenes import box_mesh

from meshes.importing.names import LONGEST_NAME, clean_name, unique_names
from ussim.scene.scene import Scene

refused = partial(commands.refused, "scene", "init")


def inside_out(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    turned = mesh.copy()
    turned.invert()
    return turned


# Bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--repair",)])
def test_bodies_inside_others_become_surfaces_by_falling_volume(tmp_path, options):
    parts = [ball(12, (-40, 0, 0)), ball(100), ball(30, (30, 10, 0))]
    (path,) = save(tmp_path, Segmentation=join(*parts))
    result = ussim("scene", "init", path, "-o", tmp_path / "scene", *options)
    assert result.exit_code == 0, result.output
    names = ["Segmentation_1", "Segmentation_2", "Segmentation_3"]
    assert f"surfaces of their own: {', '.join(names)}" in result.stderr
    found = surfaces(Scene.load(tmp_path / "scene"))
    assert {name: one.priority for name, one in found.items()} == dict(zip(names, (10, 20, 20), strict=True))
    for name, part in zip(names, (parts[1], parts[2], parts[0]), strict=True):
        assert volume_mm3(found[name]) == pytest.approx(part.volume, rel=1e-4)


@pytest.mark.parametrize("shorter", [0.95, 1.0])
def test_the_lumen_of_a_vessel_survives_repair(tmp_path, shorter):
    wall, lumen = (trimesh.creation.cylinder(radius=r, height=60, sections=32) for r in (10, 7))
    lumen.apply_scale([1, 1, shorter])  # both ends may be flush
    (path,) = save(tmp_path, vessel=join(wall, lumen))
    found = surfaces(init(path, "-o", tmp_path / "scene", "--repair", "--units", "mm"))
    assert volume_mm3(found["vessel_1"]) == pytest.approx(wall.volume, rel=1e-4)
    assert volume_mm3(found["vessel_2"]) == pytest.approx(lumen.volume, rel=1e-4)
    assert found["vessel_1"].priority < found["vessel_2"].priority


def test_bodies_that_overlap_are_united_and_what_lies_in_them_is_not(tmp_path):
    two = [box_mesh((60, 60, 60)), box_mesh((60, 60, 60), (40, 5, 3))]
    (path,) = save(tmp_path, organ=join(*two, ball(10, (-10, 0, 0))))
    found = surfaces(init(path, "-o", tmp_path / "scene", "--repair"))
    assert set(found) == {"organ_1", "organ_2"}
    assert volume_mm3(found["organ_1"]) == pytest.approx(2 * 60**3 - 20 * 55 * 57, rel=1e-4)
    assert volume_mm3(found["organ_2"]) == pytest.approx(ball(10).volume, rel=1e-4)


def test_bodies_that_overlap_alone_are_refused_as_before(tmp_path):
    (path,) = save(tmp_path, organ=join(box_mesh((60, 60, 60)), box_mesh((60, 60, 60), (40, 5, 3))))
    assert "1 of 1 surfaces fail the check (organ): mend them, or let --repair try" in refused(
        path, "-o", tmp_path / "s"
    )
    assert set(surfaces(init(path, "-o", tmp_path / "scene", "--repair"))) == {"organ"}


@pytest.mark.parametrize("options", [(), ("--repair",)])
def test_a_hollow_stays_a_hollow(tmp_path, options):
    (path,) = save(tmp_path, skull=join(ball(60), inside_out(ball(50)), ball(20)))
    found = surfaces(init(path, "-o", tmp_path / "scene", *options))
    assert set(found) == {"skull"}, "what lies in a hollow overlaps nothing"
    wanted = ball(60).volume - ball(50).volume + ball(20).volume
    assert volume_mm3(found["skull"]) == pytest.approx(wanted, rel=1e-4)


def test_a_hollow_goes_with_the_body_around_it(tmp_path):
    (path,) = save(tmp_path, all=join(ball(60), ball(30, (10, 0, 0)), inside_out(ball(20, (10, 0, 0)))))
    found = surfaces(init(path, "-o", tmp_path / "scene"))
    assert volume_mm3(found["all_1"]) == pytest.approx(ball(60).volume, rel=1e-4)
    assert volume_mm3(found["all_2"]) == pytest.approx(ball(30).volume - ball(20).volume, rel=1e-4)


def test_bodies_apart_stay_one_surface_beside_nested_ones(tmp_path):
    apart = [ball(8, (x, 0, 0)) for x in (60, 80, 100)]
    (path,) = save(tmp_path, ribs=join(*apart, ball(40), ball(10)))
    found = surfaces(init(path, "-o", tmp_path / "scene", "--units", "mm"))
    volumes = sorted(volume_mm3(one) for one in found.values())
    assert volumes == pytest.approx(sorted([ball(40).volume, ball(10).volume, 3 * ball(8).volume]), rel=1e-3)


def test_the_names_of_bodies_are_unique(tmp_path):
    files = save(tmp_path, a=join(ball(60), ball(20)), a_1=ball(25, (200, 0, 0)))
    assert set(surfaces(init(*files, "-o", tmp_path / "scene"))) == {"a_1", "a_2", "a_1_2"}


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


# Names --------------------------------------------------------------------------------------------------

NAMES = {
    "Körper außen": "Körper_außen",
    "肝脏": "肝脏",
    "Жёлчный пузырь": "Жёлчный_пузырь",
    "الكبد 2": "الكبد_2",
    "यकृत": "यकृत",
    unicodedata.normalize("NFD", "Schädel"): "Schädel",
    "../../etc/passwd": "etc_passwd",
    ".hidden": "hidden",
    "a\u202etxt.exe": "a_txt_exe",
    "red\x1b[31m\x07": "red_31m",
    "con": "con_1",
    "LPT1": "LPT1_1",
    "\u3164": "",
    "\u0301x": "x",
    "--repair": "repair",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_keep_their_letters_and_lose_what_is_no_part_of_a_file_name(name):
    assert clean_name(name) == NAMES[name]
    assert clean_name(clean_name(name)) == clean_name(name)


@pytest.mark.parametrize("letter", ["a", "ä", "肝", "𝔞", "a\u0301\u0302\u0303"])
def test_names_are_short_enough_for_any_folder(letter):
    name = clean_name(200 * letter)
    assert 0 < len(name) <= LONGEST_NAME
    assert len(name.encode()) <= 200
    twice = unique_names([name, name])
    assert len(set(twice)) == 2
    assert max(map(len, twice)) <= LONGEST_NAME


def test_names_that_differ_in_capitals_alone_are_told_apart():
    assert unique_names(["Liver", "liver", "LIVER_2"]) == ["Liver", "liver_2", "LIVER_2_2"]


def test_the_printed_commands_run_when_pasted_and_the_file_stands_beside_a_changed_name(tmp_path):
    folder = tmp_path / "meine Aufnahmen $HOME"
    folder.mkdir()
    files = [stated(folder / f"{name}.stl", "", ball(radius)) for name, radius in (("Haut außen", 100), ("肝脏", 20))]
    scene = folder / "meine 'Szene'"
    result = ussim("scene", "init", *files, "-o", scene, "--tissue", "肝脏=liver")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["surface", "from"]
    assert any("Haut_außen" in line and "Haut außen.stl" in line for line in lines)
    info, render = (shlex.split(line) for line in lines[-2:])
    assert info == ["ussim", "scene", "info", str(scene)]
    assert ussim(*info[1:]).exit_code == 0
    assert render[:6] == ["ussim", "render", str(scene), "-o", "meine 'Szene'.zarr", "--frames"]
    (line,) = [line for line in (scene / "scene.toml").read_text("utf-8").splitlines() if "Render it with" in line]
    assert shlex.split(line.partition(": ")[2])[:5] == ["ussim", "render", scene.name, "-o", f"{scene.name}.zarr"]


def test_names_from_files_command_no_terminal(tmp_path):
    evil = "liver\x1b[2J\x1b]0;owned\x07\u202e"
    file = Gltf()
    file.node(mesh=file.mesh(file.primitive(ball(0.1))), name=evil)
    file.node(mesh=file.mesh(file.primitive(ball(0.03))), name="stone")
    path = file.save(tmp_path / f"{evil}.glb")
    result = ussim("scene", "init", path, "-o", tmp_path / "scene")
    assert result.exit_code == 0, result.output
    assert result.output.replace("\n", "").isprintable()
    (tmp_path / f"{evil}.stl").write_bytes(b"nothing")
    assert refused(tmp_path / f"{evil}.stl", "-o", tmp_path / "s").isprintable()
    text = (tmp_path / "scene" / "scene.toml").read_text("utf-8")
    (tmp_path / "scene" / "scene.toml").write_text(text.replace('name = "stone"', 'name = "a\\u001b[31m"'), "utf-8")
    result = ussim("scene", "info", tmp_path / "scene")
    assert "holds a control character; allowed: letters that can be seen" in result.stderr
    assert result.output.replace("\n", "").isprintable()


def test_a_surface_of_a_name_that_was_taken_stands_beside_its_file(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    files = [*save(tmp_path / "a", liver=ball(50)), *save(tmp_path / "b", liver=ball(20))]
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene")
    assert any(line.startswith("liver_2  liver.stl ") for line in result.stdout.splitlines())


# Files that are none ------------------------------------------------------------------------------------


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.stl")
    (tmp_path / "zero.stl").symlink_to("/dev/zero")
    (tmp_path / "folder.stl").mkdir()
    for name, words in (("pipe", "a pipe or a device"), ("zero", "a pipe or a device"), ("folder", "is a folder")):
        assert words in refused(tmp_path / f"{name}.stl", "-o", tmp_path / "scene")
    assert "cannot be read: File name too long" in refused(tmp_path / ("x" * 300 + ".stl"), "-o", tmp_path / "scene")


def test_materials_and_textures_of_an_obj_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mtl")
    (tmp_path / "ball.obj").write_text("mtllib pipe.mtl\nusemtl skin\n" + obj_text({"ball": ball(50)}))
    assert set(surfaces(init(tmp_path / "ball.obj", "-o", tmp_path / "scene"))) == {"ball"}


@pytest.mark.parametrize("number", ["nan", "inf", "1e300"])
def test_coordinates_that_are_nowhere_are_named_without_a_word_of_a_library(tmp_path, number, capfd):
    text = stl_text({"ball": ball(50)})
    (tmp_path / "ball.stl").write_text(text.replace(f"{ball(50).triangles[0, 0, 0]:.6f}", number, 1))
    result = ussim("scene", "init", tmp_path / "ball.stl", "-o", tmp_path / "scene", "--units", "mm")
    assert result.exit_code == 2
    assert "1 vertices with NaN or infinite coordinates" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert capfd.readouterr().err == ""
