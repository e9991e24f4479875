"""``ussim scene init``: scenes of meshes that are not ours, and what is said where they cannot be used as they are."""

from __future__ import annotations

import os
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trimesh
from support import commands
from support.commands import ussim
from support.imported import init, save, surfaces, volume_mm3
from support.scenes import box_mesh, sphere_mesh

from meshes.importing.nesting import find_nesting
from ussim.render.contact import contact_gap_mm
from ussim.scene.scene import Scene

refused = partial(commands.refused, "scene", "init")


@pytest.fixture(scope="module")
def nested(tmp_path_factory) -> Path:
    """A liver in a body in a box of fluid, in metres; the scene is in the folder ``scene``."""
    folder = tmp_path_factory.mktemp("nested")
    files = save(
        folder,
        amniotic_fluid=box_mesh((0.24, 0.2, 0.3)),
        body=sphere_mesh(0.08),
        liver=sphere_mesh(0.03, (0.02, 0, 0.01)),
    )
    init(*files, "-o", folder / "scene")
    return folder


# What comes out ---------------------------------------------------------------------------------------


def test_nested_surfaces_in_metres_become_millimetres_with_priorities_by_depth(nested):
    found = surfaces(Scene.load(nested / "scene"))
    assert {name: one.priority for name, one in found.items()} == {"amniotic_fluid": 10, "body": 20, "liver": 30}
    assert volume_mm3(found["amniotic_fluid"]) == pytest.approx(240 * 200 * 300, rel=1e-5)
    assert volume_mm3(found["liver"]) == pytest.approx(sphere_mesh(30).volume, rel=1e-4)
    text = (nested / "scene" / "scene.toml").read_text()
    assert "# Units: metres, guessed from the size: 0.3 long" in text
    assert "# inside body, amniotic_fluid" in text
    assert "# guessed: 'liver' in its name" in text


def test_every_pose_of_the_sweep_touches_the_body_and_looks_in(nested):
    scene = Scene.load(nested / "scene")
    poses = scene.sweep("exam").poses(25)
    assert (contact_gap_mm(scene, poses) <= 1.0).all()
    beams, axial = -poses[:, :3, 3], poses[:, :3, 2]  # the body is round about the origin
    off_axis = np.linalg.norm(beams - (beams * axial).sum(axis=1, keepdims=True) * axial, axis=1)
    assert off_axis.max() < 0.8 * 80, "the axis of every pose meets the body"
    # From the nearest wall of the box, and the box is shallowest along y.
    assert abs(poses[12, 1, 2]) == pytest.approx(1, abs=1e-6)


def test_a_frame_of_the_scene_shows_the_body(nested, tmp_path):
    from ussim.probe.settings import build_settings
    from ussim.render.renderer import Renderer

    scene = Scene.load(nested / "scene")
    settings = build_settings(["probe.scanlines=24", "probe.axial_samples=256"], ["lq"], (120, 166))
    poses = scene.sweep().poses(3)[1:2]
    renderer = Renderer(scene, settings.probe, settings.imaging, backend="cpu")
    renderer.fit_tgc(poses)
    image = renderer.render(poses, settings.qualities["lq"])[0]
    tissue = renderer.maps(poses).segmentation[0]
    names = [None, *(medium.name for medium in scene.media)]
    share = {name: (tissue == number).mean() for number, name in enumerate(names)}
    assert share["liver"] > 0.03
    assert share["fetal_soft"] > 0.1, "a body in amniotic fluid is that of a fetus"
    liver, fluid = (image[tissue == names.index(name)].mean() for name in ("liver", "amniotic_fluid"))
    assert liver > 2 * fluid + 10


def test_the_same_meshes_give_the_same_bytes(nested, tmp_path):
    files = [nested / f"{name}.stl" for name in ("amniotic_fluid", "body", "liver")]
    init(*files, "-o", tmp_path / "scene")

    def content(folder):
        return {f.relative_to(folder): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}

    assert content(tmp_path / "scene") == content(nested / "scene")


def test_parts_of_a_glb_become_surfaces_with_their_transforms(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.02)
    mirrored = np.diag([-1.0, 1, 1, 1])
    mirrored[0, 3] = -0.04
    file = trimesh.Scene()
    file.add_geometry(trimesh.creation.icosphere(subdivisions=3, radius=0.1), node_name="Skin", geom_name="a")
    file.add_geometry(
        ball, node_name="Left Kidney", geom_name="k", transform=trimesh.transformations.translation_matrix([0.04, 0, 0])
    )
    file.add_geometry(ball.copy(), node_name="Right Kidney", geom_name="r", transform=mirrored)
    file.export(tmp_path / "body.glb")
    found = surfaces(init(tmp_path / "body.glb", "-o", tmp_path / "scene"))
    assert set(found) == {"Skin", "Left_Kidney", "Right_Kidney"}
    for name, x in (("Left_Kidney", 40), ("Right_Kidney", -40)):
        np.testing.assert_allclose(found[name].vertices_mm.mean(axis=0), [x, 0, 0], atol=0.01)
        assert volume_mm3(found[name]) == pytest.approx(sphere_mesh(20).volume, rel=1e-3)
        assert (found[name].tissue, found[name].priority) == ("kidney", 20)
    assert found["Skin"].tissue == "soft_tissue", "it is filled with what is under a skin, not with skin"


def test_objects_of_an_obj_file_become_surfaces(tmp_path):
    text, offset = "", 0
    for name, mesh in (("body", sphere_mesh(90)), ("gallbladder", sphere_mesh(15, (20, 0, 0)))):
        text += f"o {name}\n" + "".join(f"v {x} {y} {z}\n" for x, y, z in mesh.vertices)
        text += "".join("f " + " ".join(str(i + 1 + offset) for i in face) + "\n" for face in mesh.faces)
        offset += len(mesh.vertices)
    (tmp_path / "model.obj").write_text(text)
    found = surfaces(init(tmp_path / "model.obj", "-o", tmp_path / "scene"))
    assert {name: one.tissue for name, one in found.items()} == {"body": "soft_tissue", "gallbladder": "urine"}


def test_siblings_that_overlap_differ_in_priority_and_those_apart_share_one(tmp_path):
    files = save(
        tmp_path,
        body=sphere_mesh(100),
        liver=sphere_mesh(30, (30, 0, 0)),
        tumor=sphere_mesh(12, (-5, 0, 0)),
        spleen=sphere_mesh(20, (-50, 0, 0)),
    )
    scene = init(*files, "-o", tmp_path / "scene")
    assert {one.name: one.priority for one in scene.surfaces} == {"body": 10, "liver": 20, "spleen": 20, "tumor": 30}
    assert "over liver, which it overlaps" in (tmp_path / "scene" / "scene.toml").read_text()


def test_a_small_overlap_at_one_corner_is_found():
    big, small = box_mesh((40, 40, 40)), box_mesh((10, 10, 10), (24.9, 24.9, 24.9))
    nesting = find_nesting([(mesh.vertices, mesh.faces) for mesh in (big, small)])
    assert nesting.share_inside[1, 0] == 0
    assert list(nesting.priorities) == [10, 20]


def test_walls_that_coincide_are_pointed_out(tmp_path):
    half = trimesh.creation.box(extents=(100, 100, 50))
    files = save(tmp_path, top=half.copy().apply_translation((0, 0, 25)), bottom=half.apply_translation((0, 0, -25)))
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene")
    assert result.exit_code == 0, result.output
    assert "where their walls only nearly coincide, slivers show between them" in result.stdout


def test_options_overrule_guesses(tmp_path):
    files = save(tmp_path, thing=sphere_mesh(20))
    scene = init(*files, "-o", tmp_path / "scene", "--units", "cm", "--tissue", "thing=liver", "--background", "urine")
    assert scene.bounds_mm.max() == pytest.approx(200, rel=1e-3)
    assert [medium.name for medium in scene.media] == ["urine", "liver"]


@pytest.mark.parametrize(
    ("radius", "wanted"),
    [
        (20, {"probe.kind=linear", "probe.depth_mm=45"}),
        (60, set()),
        (150, {"probe.depth_mm=330", "probe.focus_mm=165"}),
    ],
)
def test_a_body_of_another_size_comes_with_settings_that_show_it(tmp_path, radius, wanted):
    files = save(tmp_path, body=sphere_mesh(radius))
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene", "--units", "mm")
    line = result.stdout.splitlines()[-1]
    assert {word for word in line.split() if word.startswith("probe.")} >= wanted
    assert wanted or "--set" not in line
    text = (tmp_path / "scene" / "scene.toml").read_text()
    assert line.strip().replace(f"{tmp_path}/", "") in text
    checked = ussim("render", *line.split()[2:], "--dry-run")
    assert checked.exit_code == 0, checked.output


def test_the_probe_avoids_bone(tmp_path):
    """A plate of bone between the target and the side that is nearest otherwise."""
    body = trimesh.creation.icosphere(subdivisions=4, radius=1).apply_scale((90, 60, 90))
    plates = trimesh.util.concatenate([box_mesh((80, 5, 80), (0, 45, 0)), box_mesh((80, 5, 80), (0, -45, 0))])
    scene = init(*save(tmp_path, body=body, liver=sphere_mesh(10), rib=plates), "-o", tmp_path / "scene")
    assert abs(scene.sweep().poses(7)[3, 1, 2]) < 0.1


@pytest.mark.parametrize("side", ["+x", "-y", "+z"])
def test_the_side_can_be_chosen(nested, tmp_path, side):
    scene = init(nested / "body.stl", "-o", tmp_path / "scene", "--side", side)
    poses = scene.sweep().poses(7)
    axis = "xyz".index(side[1])
    assert poses[3, axis, 2] == pytest.approx(-1.0 if side[0] == "+" else 1.0)
    assert (contact_gap_mm(scene, poses) <= 1.0).all()


def test_what_lies_apart_from_the_body_does_not_hold_the_probe(tmp_path):
    table = box_mesh((400, 10, 400), (0, 150, 0))
    files = save(tmp_path, body=sphere_mesh(60), liver=sphere_mesh(20), table=table)
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene", "--side", "+y")
    assert result.exit_code == 0, result.output
    assert "note: apart from the body, in the background: table" in result.stdout
    assert "probe: on body, " in result.stdout
    assert 50 < Scene.load(tmp_path / "scene").sweep().poses(7)[3, 1, 3] < 60


# Mistakes ---------------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_refused_and_left_alone(nested, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty; allowed: a new or an empty folder" in refused(nested / "liver.stl", "-o", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_taken(nested, tmp_path):
    (tmp_path / "scene").mkdir()
    init(nested / "liver.stl", "-o", tmp_path / "scene")
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]


def test_mistakes_are_named_and_leave_nothing(nested, tmp_path):
    liver, out = nested / "liver.stl", ("-o", tmp_path / "scene")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "broken.stl").write_bytes(b"solid nothing")
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "a" / "cloud.ply")
    assert "no such file" in refused(tmp_path / "none.stl", *out)
    assert "allowed: stl, obj, ply, glb, gltf, off" in refused(Path(__file__), *out)
    assert "broken.stl" in refused(tmp_path / "a" / "broken.stl", *out)
    assert "cloud.ply: holds no triangles" in refused(tmp_path / "a" / "cloud.ply", *out)
    assert "did you mean 'liver'" in refused(liver, *out, "--tissue", "liver=livre")
    assert "no such surface; did you mean 'liver'" in refused(liver, *out, "--tissue", "livr=liver")
    assert "write NAME=TISSUE" in refused(liver, *out, "--tissue", "liver")
    assert "is given twice" in refused(liver, *out, "--tissue", "liver=liver", "--tissue", "liver=fat")
    assert "no such tissue" in refused(liver, *out, "--background", "water")
    assert "'inch' is not one of" in refused(liver, *out, "--units", "inch")
    result = ussim("scene", "init", liver, *out, "--units", "mm")
    assert "looks like metres; say --units m" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_name_of_a_mesh_file_adds_nothing_to_the_scene_file(tmp_path):
    path = tmp_path / 'ball\ntissues = ["evil.toml"]\n.stl'
    sphere_mesh(50).export(path)
    init(path, "-o", tmp_path / "scene")
    table = tomllib.loads((tmp_path / "scene" / "scene.toml").read_text("utf-8"))
    assert set(table) == {"format", "name", "background", "surface", "sweep"}


def test_the_name_of_a_mesh_file_must_be_text(tmp_path):
    path = tmp_path / os.fsdecode(b"ball\xff.stl")
    sphere_mesh(50).export(path)
    message = refused(path, "-o", tmp_path / "scene")
    assert r"the file name 'ball\udcff.stl' is no UTF-8 text; rename the file" in message
