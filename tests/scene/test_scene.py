"""Scenes: what they hold, how they load, and their digest."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from support.scenes import (
    box,
    box_mesh,
    layered_phantom,
    sphere,
    sphere_mesh,
    sweep_text,
    write_scene,
)

from ussim.scene.point import PointTarget
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.sweep import Sweep, SweepKey


def fresh_python(script: str, *arguments: str) -> str:
    """What a script prints in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


# --- what a scene holds ---------------------------------------------------------------------------------------


def test_surfaces_are_sorted_by_priority_and_then_by_order_given():
    scene = Scene.from_surfaces(
        [
            box((1, 1, 1), (50, 0, 0), name="late", priority=30),
            box((1, 1, 1), (10, 0, 0), name="first", priority=5),
            box((1, 1, 1), (20, 0, 0), name="second", priority=5),
        ]
    )
    assert [one.name for one in scene.surfaces] == ["first", "second", "late"]


def test_media_are_the_background_and_then_tissues_by_first_use():
    scene = Scene.from_surfaces(
        [
            sphere(3, name="a", tissue="bone", priority=3),
            sphere(9, name="b", tissue="liver", priority=1),
            sphere(4, name="c", tissue="liver", priority=2),
            sphere(1, name="d", tissue="fat", priority=4),
        ],
        background="fat",
    )
    assert [medium.name for medium in scene.media] == ["fat", "liver", "bone"]
    assert scene.surface_media.dtype == np.int32
    np.testing.assert_array_equal(scene.surface_media, [1, 1, 2, 0])


def test_concatenated_arrays_are_contiguous_and_name_the_surface_of_every_triangle():
    scene = Scene.from_surfaces([sphere(5, name="ball", priority=2), box((30, 30, 30), priority=1)])
    assert scene.vertices_mm.dtype == np.float32
    assert scene.triangles.dtype == scene.triangle_surface.dtype == np.int32
    assert all(a.flags.c_contiguous for a in (scene.vertices_mm, scene.triangles, scene.triangle_surface))
    for number, one in enumerate(scene.surfaces):
        corners = scene.vertices_mm[scene.triangles[scene.triangle_surface == number]]
        np.testing.assert_array_equal(corners, one.vertices_mm[one.triangles])


def test_bounds_are_the_lowest_and_highest_corner():
    scene = Scene.from_surfaces([box((2, 4, 6), (1, 1, 1)), sphere(5, (20, 0, 0))])
    np.testing.assert_allclose(scene.bounds_mm, [[0, -5, -5], [25, 5, 5]], atol=1e-5)


def test_scene_of_nothing_but_background_has_no_triangles():
    scene = Scene.from_surfaces([], background="liver")
    assert [medium.name for medium in scene.media] == ["liver"]
    assert scene.triangles.shape == scene.vertices_mm.shape == (0, 3)
    assert scene.check() == []


def test_layered_phantom_passes_every_check():
    scene = layered_phantom([("fat", 10), ("liver", 40)], inclusions=[sphere(4, (0, 0, 40), priority=200)])
    assert [report.verdict for report in scene.check()] == ["ok", "ok", "ok"]


def test_import_of_the_scene_module_loads_neither_trimesh_nor_scipy_nor_manifold3d():
    heavy = "('trimesh', 'scipy', 'manifold3d')"
    assert fresh_python(f"import sys, ussim.scene.scene; print([m for m in {heavy} if m in sys.modules])") == "[]"


# --- loading --------------------------------------------------------------------------------------------------


def test_scene_loads_from_its_file_and_from_its_folder(tmp_path):
    path = write_scene(tmp_path / "s", {"ball": sphere_mesh(20)}, extra=sweep_text(), group='"fetus"')
    scene = Scene.load(path)
    assert scene.digest == Scene.load(tmp_path / "s").digest
    assert (scene.name, scene.path) == ("test scene", path)
    assert (scene.surfaces[0].name, scene.surfaces[0].group) == ("ball", "fetus")
    assert scene.sweep().name == "exam"
    assert scene.sweeps["exam"].poses(5).shape == (5, 4, 4)


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply", "glb", "gltf", "off"])
def test_every_mesh_format_gives_the_same_closed_surface(tmp_path, suffix):
    mesh = sphere_mesh(20, (3, 4, 5), subdivisions=2)
    path = write_scene(tmp_path, {"ball": mesh}, mesh=f'"ball.{suffix}"')
    mesh.export(tmp_path / f"ball.{suffix}")
    loaded = Scene.load(path).surfaces[0]
    assert loaded.vertices_mm.shape == mesh.vertices.shape
    assert loaded.triangles.shape == mesh.faces.shape
    found = loaded.vertices_mm[loaded.triangles].mean(axis=1)
    wanted = mesh.triangles_center
    order = [np.lexsort(np.round(centres, 3).T) for centres in (found, wanted)]
    np.testing.assert_allclose(found[order[0]], wanted[order[1]], atol=1e-4)


def test_stl_vertices_are_merged_but_only_where_they_are_exactly_equal(tmp_path):
    mesh = trimesh.util.concatenate([box_mesh((10, 10, 10)), box_mesh((10, 10, 10), (10.001, 0, 0))])
    loaded = Scene.load(write_scene(tmp_path, {"two": mesh})).surfaces[0]
    assert len(loaded.vertices_mm) == 16


def test_scale_comes_before_the_transform(tmp_path):
    text = "transform = [[1, 0, 0, 100], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"
    path = write_scene(tmp_path, {"ball": box_mesh((0.02, 0.02, 0.02))}, scale="1000.0", extra=text)
    np.testing.assert_allclose(Scene.load(path).bounds_mm, [[90, -10, -10], [110, 10, 10]], atol=1e-4)


def test_mirroring_transform_keeps_the_surface_outward(tmp_path):
    text = "transform = [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"
    path = write_scene(tmp_path, {"ball": sphere_mesh(20, (30, 0, 0))}, extra=text)
    scene = Scene.load(path)
    assert scene.check()[0].volume_mm3 == pytest.approx(sphere_mesh(20).volume, rel=1e-5)
    np.testing.assert_allclose(scene.bounds_mm[:, 0], [-50, -10], atol=1e-4)


def test_vertices_that_no_triangle_uses_are_dropped(tmp_path):
    mesh = sphere_mesh(20)
    path = write_scene(tmp_path, {"ball": mesh}, mesh='"ball.ply"')
    trimesh.Trimesh([*mesh.vertices, (900, 900, 900)], mesh.faces, process=False).export(tmp_path / "ball.ply")
    scene = Scene.load(path)
    assert len(scene.vertices_mm) == len(mesh.vertices)
    assert scene.bounds_mm.max() < 21


def test_own_tissue_library_is_found_beside_the_scene_file(tmp_path):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, tissue='"thyroid"')
    path.write_text(path.read_text().replace("format = 1", 'format = 1\ntissues = ["mine.toml"]', 1))
    (tmp_path / "mine.toml").write_text(
        'format = 1\n[[tissue]]\nname = "thyroid"\nspeed_m_s = 1555\ndensity_kg_m3 = 1050\n'
        'attenuation_db_cm_mhz = 0.9\nsource = "estimate"\n'
    )
    assert Scene.load(path).media[1].speed_m_s == 1555


# --- digest ---------------------------------------------------------------------------------------------------


def test_digest_does_not_depend_on_paths_names_or_mesh_format(tmp_path):
    mesh = sphere_mesh(20, subdivisions=2)
    one = write_scene(tmp_path / "one", {"ball": mesh}, extra=sweep_text(), mesh='"ball.ply"')
    two = write_scene(tmp_path / "two", {"globe": mesh}, extra=sweep_text(), mesh='"globe.off"')
    mesh.export(tmp_path / "one" / "ball.ply")
    mesh.export(tmp_path / "two" / "globe.off", digits=20)
    assert Scene.load(one).digest == Scene.load(two).digest


def test_digest_is_the_same_in_another_process(tmp_path):
    path = write_scene(tmp_path, {"ball": sphere_mesh(20)}, extra=sweep_text())
    script = "import sys; from ussim.scene.scene import Scene; print(Scene.load(sys.argv[1]).digest)"
    assert fresh_python(script, str(path)) == Scene.load(path).digest


@pytest.mark.parametrize(
    "changed",
    [
        {"surfaces": [sphere(20.001)]},
        {"surfaces": [sphere(20, tissue="kidney")]},
        {"surfaces": [sphere(20, priority=11)]},
        {"surfaces": [replace(sphere(20), triangles=sphere(20).triangles[::-1])]},
        {"background": "fat"},
        {"sweeps": {"exam": Sweep("exam", (SweepKey((0, 0, -31), (0, 0, 1), (1, 0, 0)),))}},
        {"sweeps": {}},
        {"points": [PointTarget((1, 2, 3))]},
    ],
)
def test_digest_changes_with_whatever_decides_pixels(changed):
    sweeps = {"exam": Sweep("exam", (SweepKey((0, 0, -30), (0, 0, 1), (1, 0, 0)),))}
    given = {"surfaces": [sphere(20)], "sweeps": sweeps}
    assert Scene.from_surfaces(**given).digest == Scene.from_surfaces(**given).digest
    assert Scene.from_surfaces(**given).digest != Scene.from_surfaces(**(given | changed)).digest


def test_digest_changes_with_a_value_of_a_tissue_but_not_with_its_colour():
    scene = Scene.from_surfaces([sphere(20)])
    gel, liver = scene.media
    faster = replace(scene, media=(gel, replace(liver, speed_m_s=1571.0)))
    painted = replace(scene, media=(gel, replace(liver, color="#123456", source="estimate: other words")))
    assert faster.digest != scene.digest
    assert painted.digest == scene.digest


def exam(number=float) -> dict[str, Sweep]:
    vectors = ([-1.5, 2, -30.25], [0, 0, 1], [1, 0, 0]), ([1.5, 2, -30.25], [0, 0.5, 1], [1, 0, 0])
    keys = tuple(SweepKey(*(tuple(number(value) for value in vector) for vector in key)) for key in vectors)
    return {"exam": Sweep("exam", keys)}


def tetrahedron(**keys) -> Surface:
    corners = [[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]]
    triangles = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
    given = {"name": "tetrahedron", "tissue": "liver", "vertices_mm": corners, "triangles": triangles, "priority": 10}
    return Surface(**given | keys)


def test_digest_of_a_scene_is_what_stores_say_it_was():
    found = Scene.from_surfaces([tetrahedron()], sweeps=exam()).digest
    assert found == "2bd52f96878cdaaad5227174e477ef21e53fe1d55bdbd3bc0a916cb29420daad"


@pytest.mark.parametrize(
    "number",
    [np.float32, np.float64, lambda value: int(value) if value == int(value) else value],
    ids=["float32", "float64", "int"],
)
def test_digest_does_not_depend_on_the_type_of_a_number(number):
    surface = tetrahedron(priority=np.int64(10), vertices_mm=np.array(tetrahedron().vertices_mm, np.float64))
    scene = Scene.from_surfaces([surface], sweeps=exam(number))
    assert scene.digest == Scene.from_surfaces([tetrahedron()], sweeps=exam()).digest


def test_keys_of_arrays_are_equal_to_keys_of_tuples():
    key = SweepKey(np.array([0, 0, -30]), np.array([0.0, 0.0, 1.0], np.float32), [1, 0, 0])
    assert key == SweepKey((0, 0, -30.0), (0, 0, 1), (1, 0, 0))
    assert hash(key) == hash(SweepKey((0, 0, -30.0), (0, 0, 1), (1, 0, 0)))


# --- points ---------------------------------------------------------------------------------------------------

POINT = """
[[point]]
position_mm = [1, 2.5, -3]
[[point]]
position_mm = [0, 0, 19]
strength_db = -12.5
"""


def test_points_are_loaded_in_the_order_of_the_file(tmp_path):
    scene = Scene.load(write_scene(tmp_path, {"ball": sphere_mesh(20)}, extra=POINT))
    assert scene.points == (PointTarget((1.0, 2.5, -3.0)), PointTarget((0.0, 0.0, 19.0), -12.5))
    assert scene.points[0].strength_db == 0.0


def test_digest_changes_with_place_and_strength_of_a_point_and_not_with_the_type_of_its_numbers():
    def digest(*point):
        return Scene.from_surfaces([sphere(20)], points=[PointTarget(*point)]).digest

    assert digest((1, 2, 3), 4) == digest(np.array([1, 2, 3], np.float32), 4.0)
    assert len({digest((1, 2, 3), 4), digest((1, 2, 3.001), 4), digest((1, 2, 3), 5), digest((2, 1, 3), 4)}) == 4
