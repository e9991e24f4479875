"""Scenes with mistakes: one line names file, place, value and what is allowed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from support.scenes import (
    box,
    box_mesh,
    sphere,
    sphere_mesh,
    sweep_text,
    without_faces,
    write_scene,
)

from ussim.errors import UssimError
from ussim.scene.point import PointTarget
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.sweep import Sweep, SweepKey


def refusal(path) -> str:
    """The one line with which a scene is refused."""
    with pytest.raises(UssimError) as caught:
        Scene.load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({"tissue": '"livr"'}, ["tissue = 'livr'", "did you mean 'liver'?", "allowed: gel, air"]),
        ({"priority": '"high"'}, ["priority = 'high'", "integer", "allowed: at least 0"]),
        ({"priority": "-4"}, ["priority = -4", "allowed: at least 0, at most 1000000"]),
        ({"scale": "0.0"}, ["scale = 0.0", "allowed: above 0"]),
        ({"scale": "nan"}, ["scale = nan", "allowed: above 0"]),
        ({"transform": "[[1, 0, 0, 0]]"}, ["transform", "at least 4 items"]),
        (
            {"transform": "[[1,0,0,0],[0,1,0,0],[0,0,1,0],[1,0,0,1]]"},
            ["transform", "last row is [1.0, 0.0, 0.0, 1.0]", "allowed: an affine matrix"],
        ),
        (
            {"transform": "[[1,0,0,0],[0,1,0,0],[1,1,0,0],[0,0,0,1]]"},
            ["transform", "singular", "allowed: one that can be inverted"],
        ),
        (
            {"transform": "[[1,0,0,0],[0,inf,0,0],[0,0,1,0],[0,0,0,1]]"},
            ["transform[1][1] = inf", "finite number"],
        ),
        (
            {"priorty": "3"},
            ["unknown key 'priorty'", "did you mean 'priority'?", "allowed: name, mesh, tissue"],
        ),
        ({"mesh": '"nowhere.stl"'}, ["mesh = 'nowhere.stl'", "no such file"]),
        ({"mesh": '"ball.docx"'}, ["mesh = 'ball.docx'", "allowed: stl, obj, ply, glb, gltf, off"]),
    ],
)
def test_bad_surface_entry_is_refused_with_file_surface_field_and_what_is_allowed(tmp_path, replaced, words):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, **replaced)
    message = refusal(path)
    assert message.startswith(f"{path}: surface 'ball': ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply", "glb", "gltf", "off"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01garbage\xff" * 40, b"solid x\nfacet normal 0 0"])
def test_unreadable_mesh_is_refused_in_every_format(tmp_path, suffix, content):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, mesh=f'"ball.{suffix}"')
    (tmp_path / f"ball.{suffix}").write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{path}: surface 'ball': mesh = 'ball.{suffix}': ")
    assert f"cannot be read as {suffix.upper()}" in message or "holds no triangles; allowed:" in message


def test_truncated_stl_is_refused(tmp_path):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)})
    data = (tmp_path / "ball.stl").read_bytes()
    (tmp_path / "ball.stl").write_bytes(data[: len(data) // 2])
    assert "surface 'ball': mesh = 'ball.stl': cannot be read as STL" in refusal(path)


def test_point_cloud_is_refused(tmp_path):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, mesh='"ball.ply"')
    trimesh.PointCloud(sphere_mesh(20).vertices).export(tmp_path / "ball.ply")
    message = refusal(path)
    assert "surface 'ball': mesh = 'ball.ply': " in message
    assert "holds no triangles; allowed: a triangle mesh" in message


def test_face_that_uses_a_vertex_that_does_not_exist_is_refused(tmp_path):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, mesh='"ball.ply"')
    (tmp_path / "ball.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n"
    )
    assert "surface 'ball': mesh = 'ball.ply': has a face that uses vertex 9; allowed: 0 to 2" in refusal(path)


def test_nan_in_a_mesh_file_is_refused(tmp_path):
    mesh = sphere_mesh(20)
    mesh.vertices[4, 2] = np.nan
    message = refusal(write_scene(tmp_path, {"ball": mesh}))
    assert "surface 'ball': mesh = 'ball.stl': " in message
    assert "with NaN or infinite coordinates; allowed: finite numbers in mm" in message


def test_first_failing_surface_is_named_and_the_others_are_counted(tmp_path):
    hole = without_faces(sphere_mesh(20), 0)
    meshes = {"good": sphere_mesh(30), "first": hole, "second": hole, "third": hole}
    path = write_scene(tmp_path, meshes)
    assert refusal(path).startswith(f"{path}: surface 'first': mesh = 'first.stl': not watertight, 3 open edges")
    assert refusal(path).endswith("(2 more surfaces also fail)")


def test_inspect_reports_every_surface_in_file_order_also_those_that_do_not_load(tmp_path):
    path = write_scene(tmp_path, {"good": sphere_mesh(30), "gone": sphere_mesh(5), "holed": sphere_mesh(4)})
    (tmp_path / "gone.stl").unlink()
    without_faces(sphere_mesh(4), 0).export(tmp_path / "holed.stl")
    reports = Scene.inspect(path)
    assert [(report.name, report.ok) for report in reports] == [
        ("good", True),
        ("gone", False),
        ("holed", False),
    ]
    assert "no such file" in reports[1].verdict
    assert reports[1].triangles == 0
    assert not reports[1].watertight
    assert "not watertight" in reports[2].verdict


def test_equal_priorities_that_overlap_are_refused_on_load(tmp_path):
    path = write_scene(tmp_path, {"a": box_mesh((10, 10, 10)), "b": sphere_mesh(4)}, priority="7")
    assert f"{path}: surface 'b': priority = 7: overlaps surface 'a' of the same priority by " in refusal(path)


def test_scene_in_metres_is_refused_on_load_and_loads_with_the_scale_it_is_told(tmp_path):
    meshes = {"ball": sphere_mesh(0.1)}
    message = refusal(write_scene(tmp_path, meshes))
    assert "surface 'ball': mesh = 'ball.stl': its extent is 0.2 mm, which looks like metres" in message
    assert "set scale = 1000" in message
    scene = Scene.load(write_scene(tmp_path, meshes, scale="1000"))
    np.testing.assert_allclose(scene.bounds_mm, [[-100] * 3, [100] * 3], rtol=1e-5)


def test_64_surfaces_load_and_65_are_refused():
    def many(count):
        return [box((1, 1, 1), (3 * n, 0, 0), name=f"b{n}", priority=n) for n in range(count)]

    assert len(Scene.from_surfaces(many(64)).surfaces) == 64
    with pytest.raises(UssimError, match="65 surfaces; allowed: at most 64"):
        Scene.from_surfaces(many(65))


def test_65_surfaces_in_a_file_are_refused_with_the_file(tmp_path):
    path = write_scene(tmp_path, {f"b{n}": box_mesh((1, 1, 1), (3 * n, 0, 0)) for n in range(65)})
    assert refusal(path).startswith(f"{path}: 65 surfaces; allowed: at most 64")


def test_name_used_twice_is_refused(tmp_path):
    path = write_scene(tmp_path, {"a": sphere_mesh(20), "b": sphere_mesh(5)}, name='"twin"')
    message = refusal(path)
    assert message.startswith(f"{path}: surface")
    assert "named 'twin'; allowed: every name once" in message
    with pytest.raises(UssimError, match="2 surfaces are named 'box'; allowed: every name once"):
        Scene.from_surfaces([box((1, 1, 1)), box((2, 2, 2))])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("format = 1", "format = 2", ["format = 2", "must be 1"]),
        ("format = 1", "", ["missing key 'format'"]),
        ("format = 1", "format =", ["not valid TOML", "line 1"]),
        ("format = 1", "format = 1\nsurfces = 3", ["unknown key 'surfces'", "did you mean 'surface'?"]),
        (
            "format = 1",
            'format = 1\nbackground = "wtaer"',
            ["background = 'wtaer'", "no such tissue", "allowed: gel"],
        ),
        ("format = 1", 'format = 1\ntissues = ["mine.toml"]', ["mine.toml: no such file"]),
        ("[[surface]]", "[[surfaces]]", ["unknown key 'surfaces'", "did you mean 'surface'?"]),
        ("[[surface]]", "[surface]", ["surface", "list"]),
        ('name = "ball"', 'name = ""', ["surface 1: name = ''", "at least 1 character"]),
        ('mesh = "ball.stl"', "", ["surface 'ball': missing key 'mesh'"]),
    ],
)
def test_bad_scene_file_is_refused_with_place_and_what_is_allowed(tmp_path, old, new, words):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)})
    path.write_text(path.read_text().replace(old, new, 1))
    message = refusal(path)
    assert message.startswith(f"{tmp_path}")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (sweep_text(axial="[0, 0, 0]"), ["key 2: axial = [0.0, 0.0, 0.0]", "not zero"]),
        (sweep_text(lateral="[0, 0, 2]"), ["key 2: lateral = [0.0, 0.0, 2.0]", "parallel to axial"]),
        (sweep_text(axial="[0, nan, 1]"), ["key 2: axial = [0.0, nan, 1.0]", "three finite numbers"]),
        (sweep_text(axial="[0, 1]"), ["key 2: axial", "at least 3 items"]),
        (sweep_text(axial='["down", 0, 1]'), ["key 2: axial[0] = 'down'", "number"]),
        (sweep_text() + "roll = 3", ["key 2: unknown key 'roll'", "allowed: position_mm, axial, lateral"]),
        ('[[sweep]]\nname = "exam"\nkey = []', ["key", "at least 1 item"]),
    ],
)
def test_bad_sweep_in_a_file_is_refused_with_file_sweep_key_and_field(tmp_path, text, words):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, extra=text)
    message = refusal(path)
    assert message.startswith(f"{path}: sweep 'exam': ")
    for word in words:
        assert word in message


def test_path_without_a_scene_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "scene.toml"):
        assert refusal(path) == f"{path}: no scene here; allowed: a scene.toml, or a folder that holds one"


def test_unknown_sweep_is_refused_with_the_names_there_are():
    scene = Scene.from_surfaces([], sweeps={"exam": Sweep("exam", (SweepKey((0, 0, 0), (0, 0, 1), (1, 0, 0)),))})
    with pytest.raises(UssimError, match=r"sweep = 'exma': .* did you mean 'exam'. allowed: exam"):
        scene.sweep("exma")
    with pytest.raises(UssimError, match="has no sweep; add a"):
        Scene.from_surfaces([]).sweep()


def test_unknown_tissue_is_refused_in_python_too():
    with pytest.raises(UssimError, match="surface 'ball': tissue = 'livr': no such tissue; did you mean 'liver'"):
        Scene.from_surfaces([sphere(20, name="ball", tissue="livr")])
    with pytest.raises(UssimError, match="background = 'gell': no such tissue; did you mean 'gel'"):
        Scene.from_surfaces([], background="gell")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("vertices_mm", np.zeros((4, 2)), r"vertices_mm has shape \(4, 2\); allowed: \(n, 3\)"),
        ("triangles", np.zeros((4, 4)), r"triangles has shape \(4, 4\); allowed: \(n, 3\)"),
        ("triangles", [[0, 1, 8]], "triangles use vertices outside the allowed 0 to 7"),
        ("triangles", [[0, 1, -1]], "triangles use vertices outside the allowed 0 to 7"),
    ],
)
def test_arrays_that_are_no_mesh_are_refused(key, value, words):
    with pytest.raises(UssimError, match=f"surface 'box': {words}"):
        replace(box((1, 1, 1)), **{key: value})


# --- points ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (
            "position_mm = [0, 0, 20.5]",
            [
                "position_mm = [0.0, 0.0, 20.5] lies outside every surface; allowed: inside of one",
                "all lie within x -20 to 20, y -20 to 20, z -20 to 20 mm",
            ],
        ),
        ("position_mm = [0, nan, 0]", ["position_mm[1] = nan", "finite number"]),
        ("position_mm = [0, 0]", ["position_mm", "at least 3 items"]),
        ("strength_db = 3.0", ["missing key 'position_mm'"]),
        ("position_mm = [0, 0, 0]\nstrength_db = 101.0", ["strength_db = 101.0", "at least -100, at most 100"]),
        ("position_mm = [0, 0, 0]\nstrength_db = '3'", ["strength_db = '3'", "number"]),
        (
            "position_mm = [0, 0, 0]\nstrengh_db = 3.0",
            ["unknown key 'strengh_db'", "did you mean 'strength_db'?", "allowed: position_mm, strength_db"],
        ),
    ],
)
def test_bad_point_is_refused_with_file_number_and_what_is_allowed(tmp_path, point, words):
    extra = f"\n[[point]]\nposition_mm = [1, 1, 1]\n[[point]]\n{point}\n"
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, extra=extra)
    message = refusal(path)
    assert message.startswith(f"{path}: point 2: ")
    for word in words:
        assert word in message


def test_a_point_must_lie_in_a_surface_not_only_in_its_bounds():
    ball = sphere(5, (30, 0, 0))
    assert Scene.from_surfaces([ball], points=[PointTarget((34.5, 0, 0))]).points
    for place in ((0, 0, 0), (34.0, 4.0, 4.0)):
        with pytest.raises(UssimError, match=r"point 1: .* outside every surface"):
            Scene.from_surfaces([ball], points=[PointTarget(place)])
    with pytest.raises(UssimError, match="allowed: inside of one; there is none"):
        Scene.from_surfaces([], points=[PointTarget((0, 0, 0))])


def test_what_is_no_point_is_told_in_one_line():
    with pytest.raises(UssimError, match="point 1: a tuple is no point; allowed: a PointTarget"):
        Scene.from_surfaces([sphere(5)], points=[(0, 0, 0)])


def test_a_surface_without_triangles_is_left_to_the_check():
    nothing = Surface(name="nothing", tissue="liver", vertices_mm=np.empty((0, 3)), triangles=np.empty((0, 3), int))
    scene = Scene.from_surfaces([sphere(5), nothing], points=[PointTarget((0, 0, 0))])
    assert [report.ok for report in scene.check()] == [False, True]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (((0, 0, np.nan),), "position_mm = .*: allowed: three finite numbers"),
        (((0, 0),), "three finite numbers"),
        ((3.0,), "three finite numbers"),
        (((0, 0, 0), 200), "strength_db = 200: allowed: at least -100, at most 100"),
        (((0, 0, 0), float("nan")), "strength_db = nan"),
        (((0, 0, 0), "loud"), "strength_db = loud: allowed"),
    ],
)
def test_a_bad_point_in_memory_is_refused(values, words):
    with pytest.raises(UssimError, match=words):
        PointTarget(*values)
