"""Meshes from the field: several bodies in one, odd names, and files that are none."""

from __future__ import annotations

import os
import shlex
import unicodedata
from functools import partial

import pytest
import trimesh
from support import commands
from support.commands import ussim
from support.imported import init, save, surfaces, volume_mm3
from support.mesh_files import Gltf, ball, join, obj_text, stl_bytes, stl_text
from support.scenes import box_mesh

from ussim.names import LONGEST_NAME, clean_name, unique_names
from ussim.scene.scene import Scene

refused = partial(commands.refused, "scene", "init")


def write(path, mesh: trimesh.Trimesh):
    path.write_bytes(stl_bytes(mesh))
    return path


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
    files = [write(folder / f"{name}.stl", ball(radius)) for name, radius in (("Haut außen", 100), ("肝脏", 20))]
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


def test_a_wire_that_scanlines_may_pass_by_is_told(tmp_path):
    body, thin, thick = box_mesh((200, 160, 200)), box_mesh((0.1, 0.1, 100)), box_mesh((2, 2, 100), (40, 0, 0))
    paths = save(tmp_path, body=body, wire=thin, needle=thick)
    result = ussim("scene", "init", *paths, "-o", tmp_path / "scene", "--units", "mm")
    (note,) = [line for line in result.stdout.splitlines() if "thinner than" in line]
    assert "low quality may pass by wire; for pins and wires take [[point]]" in note


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
