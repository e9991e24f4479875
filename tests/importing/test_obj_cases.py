"""OBJ in its dialects: parts, corners, vertices, and what the header says."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from support.imported import init, surfaces, volume_mm3
from support.mesh_files import ball, obj_text
from support.scenes import box_mesh, without_faces

from meshes.importing.mesh_files import FileSurface, read_surfaces
from ussim.errors import UssimError
from ussim.scene.mesh_io import load_mesh

PARTS = {"Body": ball(100), "Liver": ball(30, (20, 10, 0)), "Kidney": ball(12, (-40, 0, 5))}


def read(tmp_path, text: str | bytes) -> dict[str, FileSurface]:
    path = tmp_path / "model.obj"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {one.name: one for one in read_surfaces([path])}


def refusal(tmp_path, text: str) -> str:
    with pytest.raises(UssimError) as caught:
        read(tmp_path, text)
    assert str(caught.value).isprintable()
    return str(caught.value)


def assert_parts(found: dict[str, FileSurface]) -> None:
    assert set(found) == set(PARTS)
    for name, mesh in PARTS.items():
        np.testing.assert_allclose(found[name].bounds, mesh.bounds, atol=1e-5)
        volume = trimesh.Trimesh(found[name].vertices, found[name].triangles, process=False).volume
        assert volume == pytest.approx(mesh.volume, rel=1e-4)


# Corners ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", ["{0}", "{0}/1", "{0}//1", "{0}/1/1"])
@pytest.mark.parametrize("relative", [True, False])
def test_corners_count_from_the_first_vertex_or_back_from_the_last(tmp_path, relative, corner):
    text = "vt 0 0\nvn 0 0 1\n" + obj_text(PARTS, relative=relative, corner=corner)
    assert_parts(read(tmp_path, text))
    vertices, triangles = load_mesh(tmp_path / "model.obj")  # as a scene.toml does
    joined = trimesh.Trimesh(vertices, triangles, process=False)
    assert joined.volume == pytest.approx(sum(mesh.volume for mesh in PARTS.values()), rel=1e-4)


def test_both_kinds_of_corners_may_stand_in_one_file(tmp_path):
    box = box_mesh((2, 2, 2))
    lines = [f"v {x} {y} {z}" for x, y, z in box.vertices]
    lines += [f"f {a + 1}/1 {b - 8}//7 {c - 8}" for a, b, c in box.faces]
    (surface,) = read(tmp_path, "\n".join(lines)).values()
    assert surface.triangles.tolist() == box.faces.tolist()


def test_tabs_line_ends_continued_lines_and_blanks_do_not_matter(tmp_path):
    text = obj_text(PARTS)
    for changed in (
        text.replace(" ", "\t"),
        text.replace("\n", "\r\n"),
        text.replace("\n", "\r"),
        text.replace("f ", "  f \\\n"),
        text.replace("v ", "v   ").replace("\n", "  \n"),
        "\ufeff" + text,
    ):
        assert_parts(read(tmp_path, changed))


@pytest.mark.parametrize("ending", [" 1.0", " 0.5 0.5 0.5", " 1 0 0 1"])
def test_weights_and_colours_behind_a_vertex_are_not_read(tmp_path, ending):
    lines = obj_text(PARTS).splitlines()
    assert_parts(read(tmp_path, "\n".join(line + ending if line.startswith("v ") else line for line in lines)))


def test_polygons_become_fans(tmp_path):
    prism = [(np.cos(a), np.sin(a), z) for z in (0, 1) for a in np.arange(6) * np.pi / 3]
    faces = [
        "6 5 4 3 2 1",
        "7 8 9 10 11 12",
        *(f"{n + 1} {(n + 1) % 6 + 1} {(n + 1) % 6 + 7} {n + 7}" for n in range(6)),
    ]
    text = "".join(f"v {x} {y} {z}\n" for x, y, z in prism) + "".join(f"f {face}\n" for face in faces)
    (surface,) = read(tmp_path, text).values()
    assert len(surface.triangles) == 4 + 4 + 12
    volume = trimesh.Trimesh(surface.vertices, surface.triangles, process=False).volume
    assert volume == pytest.approx(1.5 * np.sqrt(3), rel=1e-6)


# Parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["o", "g", "usemtl"])
@pytest.mark.parametrize("head", ["", "mtllib none.mtl\n", "g default\n"])
def test_objects_else_groups_else_materials_make_surfaces(tmp_path, separator, head):
    assert_parts(read(tmp_path, head + obj_text(PARTS, separator)))


def test_groups_of_one_object_make_surfaces(tmp_path):
    assert_parts(read(tmp_path, "o Scene\n" + obj_text(PARTS, "g")))


def test_materials_name_groups_that_are_only_numbered(tmp_path):
    text = obj_text(PARTS, "usemtl")
    for number, name in enumerate(PARTS):
        text = text.replace(f"usemtl {name}", f"g grp{number}\nusemtl {name}")
    assert_parts(read(tmp_path, text))


@pytest.mark.parametrize("separator", ["usemtl", "g"])
def test_a_closed_body_of_two_materials_stays_one(tmp_path, separator):
    mesh = ball(30)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
    for name, rows in (("red", mesh.triangles_center[:, 0] > 0), ("brown", mesh.triangles_center[:, 0] <= 0)):
        lines += [f"{separator} {name}", *("f " + " ".join(str(one + 1) for one in face) for face in mesh.faces[rows])]
    (surface,) = read(tmp_path, "\n".join(lines)).values()
    assert surface.name == "model"
    assert len(surface.triangles) == len(mesh.faces)


def test_a_part_with_a_hole_of_its_own_is_still_a_part(tmp_path):
    parts = PARTS | {"Liver": without_faces(PARTS["Liver"], 0, 1)}
    assert set(read(tmp_path, obj_text(parts, "g"))) == set(PARTS)


def test_a_part_that_comes_twice_is_one(tmp_path):
    two = {"Liver": PARTS["Liver"], "Kidney": PARTS["Kidney"]}
    text = obj_text(two, relative=True) + obj_text({"Liver": ball(5, (90, 0, 0))}, relative=True)
    found = read(tmp_path, text)
    assert {name: len(one.triangles) for name, one in found.items()} == {"Liver": 640, "Kidney": 320}


def test_groups_become_a_scene_without_repair(tmp_path):
    (tmp_path / "model.obj").write_text(obj_text(PARTS, "g"))
    scene = init(tmp_path / "model.obj", "-o", tmp_path / "scene")
    found = surfaces(scene)
    assert {name: one.priority for name, one in found.items()} == {"Body": 10, "Kidney": 20, "Liver": 20}
    assert volume_mm3(found["Liver"]) == pytest.approx(PARTS["Liver"].volume, rel=1e-4)


# Headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "unit", "size_mm"),
    [
        ("1 unit = 25.4 mm", "in", 25.4),
        ("1 unit = 1 cm", "cm", 10),
        ("1 unit = 0.7 mm", "units of 0.7 mm", 0.7),
        ("units: mm", "mm", 1),
        ("File units = inches", "in", 25.4),
        ("Units are Meters", "m", 1000),
        ("exported by unit testers: many", "", 0),
        ("units: models", "", 0),
    ],
)
def test_a_header_may_state_the_unit(tmp_path, comment, unit, size_mm):
    (surface,) = read(tmp_path, f"# {comment}\n" + obj_text({"Liver": ball(3)})).values()
    assert (surface.stated.unit, surface.stated.unit_mm) == (unit, pytest.approx(size_mm))


@pytest.mark.parametrize(("comment", "axes"), [("SPACE=LPS", "LPS"), ("SPACE=RAS", "RAS"), ("spaceship = LPS", "")])
def test_a_header_may_state_the_axes(tmp_path, comment, axes):
    (surface,) = read(tmp_path, f"# {comment}\n" + obj_text({"Liver": ball(3)})).values()
    assert surface.stated.axes == axes


def test_a_header_that_contradicts_itself_is_refused(tmp_path):
    text = obj_text({"Liver": ball(3)})
    assert "states two units, cm and mm; allowed: one" in refusal(tmp_path, f"# units: mm\n# 1 unit = 1 cm\n{text}")
    assert "states two frames, LPS and RAS" in refusal(tmp_path, f"# SPACE=LPS\n# SPACE=RAS\n{text}")
    assert "states the frame SPQ" in refusal(tmp_path, f"# SPACE=SPQ\n{text}")


# Broken -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "has a vertex '0 0'; allowed: three coordinates each"),
        ("v\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "allowed: three coordinates each"),
        ("v 0,5 0,5 0,5\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "allowed: three numbers each with decimal points, not commas"),
        ("v 0 0 x\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "has a vertex '0 0 x'"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "uses vertex 3; allowed: 0 to 2"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -4\n", "uses vertex -1; allowed: 0 to 2"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "uses vertex 0; allowed: numbers from 1 on, or negative ones"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 1.5\n", "whose vertex is no whole number"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf a b c\n", "has a face 'a b c'"),
        ("v 0 0 0\nv 1 0 0\nl 1 2\n", "holds no triangles"),
        ("f 1 2 3\n", "allowed: 0 to -1"),
    ],
)
def test_what_is_no_vertex_or_no_face_is_named(tmp_path, text, words):
    assert words in refusal(tmp_path, text)
