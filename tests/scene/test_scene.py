"""Scenes: good ones load as their meshes say, bad ones are refused in one line that names what and where."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from support.scenes import box, box_mesh, layered_phantom, sphere, sphere_mesh, surface, write_scene

from ussim.errors import UssimError
from ussim.scene.check import check_surfaces
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.sweep import Sweep, SweepKey
from ussim.scene.topology import count_bad_edges, overlap_volume_mm3, winding_number

SWEEP = """
[[sweep]]
name = "exam"
description = "from side to side"
[[sweep.key]]
position_mm = [-20, 0, -30]
axial = [0, 0, 1]
lateral = [1, 0, 0]
[[sweep.key]]
position_mm = [20, 0, -30]
axial = {axial}
lateral = {lateral}
"""


def sweep_text(axial: str = "[0, 0, 1]", lateral: str = "[1, 0, 0]") -> str:
    return SWEEP.format(axial=axial, lateral=lateral)


def refusal(path) -> str:
    """The one line with which a scene is refused."""
    with pytest.raises(UssimError) as caught:
        Scene.load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def problems(*surfaces) -> list[str]:
    """The verdicts of surfaces put into one scene, in scene order."""
    return [report.verdict for report in Scene.from_surfaces(surfaces).check()]


def fresh_python(script: str, *arguments: str) -> str:
    """What a script prints in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def without_faces(mesh: trimesh.Trimesh, *faces: int) -> trimesh.Trimesh:
    keep = np.ones(len(mesh.faces), dtype=bool)
    keep[list(faces)] = False
    return trimesh.Trimesh(mesh.vertices, mesh.faces[keep], process=False)


def with_faces_flipped(mesh: trimesh.Trimesh, *faces: int) -> trimesh.Trimesh:
    triangles = mesh.faces.copy()
    triangles[list(faces)] = triangles[list(faces), ::-1]
    return trimesh.Trimesh(mesh.vertices, triangles, process=False)


# --- what a scene holds -------------------------------------------------------------------------------------


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


# --- loading ------------------------------------------------------------------------------------------------


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


# --- digest -------------------------------------------------------------------------------------------------


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


# --- meshes in memory ---------------------------------------------------------------------------------------


def test_a_surface_is_made_of_a_trimesh_or_of_arrays():
    mesh = sphere_mesh(20)
    for given in (mesh, (mesh.vertices, mesh.faces), (mesh.vertices.tolist(), mesh.faces.tolist())):
        one = Surface.from_mesh(given, name="ball", tissue="liver", priority=3, group="fetus")
        assert (one.name, one.tissue, one.priority, one.group, one.path) == ("ball", "liver", 3, "fetus", None)
        assert Scene.from_surfaces([one]).digest == Scene.from_surfaces([sphere(20, priority=3)]).digest


def test_a_mesh_in_memory_is_treated_as_one_from_a_file(tmp_path):
    soup = sphere_mesh(0.02)
    soup.unmerge_vertices()
    path = write_scene(tmp_path, {"ball": soup}, mesh='"ball.ply"', scale="1000.0")
    soup.export(tmp_path / "ball.ply")
    one = Surface.from_mesh((soup.vertices.astype(np.float32), soup.faces), name="b", tissue="liver", priority=10,
                            scale=1000)  # fmt: skip
    assert Scene.from_surfaces([one]).check()[0].verdict == "ok"
    assert Scene.from_surfaces([one]).digest == Scene.load(path).digest


BALL = sphere_mesh(20, subdivisions=1)


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (([[0, 0, np.nan], *BALL.vertices[1:]], BALL.faces), "1 vertices with NaN or infinite coordinates, the first"),
        ((BALL.vertices * 1e38, BALL.faces), "NaN or infinite coordinates, the first of them 0; allowed: finite"),
        ((BALL.vertices, BALL.faces + 1), "triangles use vertices outside the allowed 0 to 41"),
        ((BALL.vertices, BALL.faces + 2**32), "triangles use vertices outside the allowed 0 to 41"),
        ((BALL.vertices, BALL.faces * 0.5), "triangles holds float64; allowed: whole numbers"),
        ((BALL.vertices.astype(str), BALL.faces), "vertices_mm holds <U"),
        (([[0, 0, 0], [1, 1]], BALL.faces), "vertices_mm is no array; allowed: numbers of shape (n, 3)"),
        ((BALL.vertices[:, :2], BALL.faces), "vertices_mm has shape (42, 2); allowed: (n, 3)"),
        ((BALL.vertices, np.empty((0, 3), int)), "no triangles; allowed: a closed triangle mesh"),
        (BALL.vertices, "mesh is a TrackedArray; allowed: what has vertices and faces, or a pair of arrays"),
        (None, "mesh is a NoneType; allowed"),
    ],
)
def test_what_is_no_mesh_is_refused_in_one_line(mesh, words):
    with pytest.raises(UssimError) as caught:
        Surface.from_mesh(mesh, name="ball", tissue="liver")
    assert words in str(caught.value)
    assert str(caught.value).startswith("surface 'ball': ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf, "10"])
def test_scale_of_a_mesh_in_memory_is_a_number_above_0(scale):
    with pytest.raises(UssimError, match=r"surface 'ball': scale = .*; allowed: a number above 0"):
        Surface.from_mesh(BALL, name="ball", tissue="liver", scale=scale)


def test_priority_is_a_whole_number():
    with pytest.raises(UssimError, match=r"surface 'body': priority = 1\.5; allowed: a whole number"):
        surface(BALL, priority=1.5)


def test_scene_of_what_are_no_surfaces_is_refused():
    with pytest.raises(UssimError, match=r"a Trimesh is no surface; allowed: what Surface\.from_mesh makes of it"):
        Scene.from_surfaces([BALL])


def test_scene_refuses_coordinates_that_are_not_finite():
    with pytest.raises(UssimError, match=r"surface 'body': 1 vertices with NaN .*, the first of them 2; allowed"):
        Scene.from_surfaces(
            [surface(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, np.inf, 0]], [[0, 1, 2]], process=False))]
        )


# --- checks of one surface ----------------------------------------------------------------------------------


def test_report_of_a_sound_surface_measures_it():
    report = Scene.from_surfaces([box((10, 20, 30), (5, 5, 5), group="fetus")]).check()[0]
    assert report.ok
    assert report.verdict == "ok"
    assert (report.name, report.tissue, report.priority, report.group) == ("box", "liver", 10, "fetus")
    assert (report.vertices, report.triangles) == (8, 12)
    assert report.watertight
    assert report.consistent_winding
    assert report.outward
    assert report.degenerate_faces == report.bad_vertices == 0
    assert report.volume_mm3 == pytest.approx(6000)
    assert report.extent_mm == (10, 20, 30)


def test_hole_is_found_and_counted_by_its_open_edges():
    report = Scene.from_surfaces([surface(without_faces(sphere_mesh(20), 7))]).check()[0]
    assert not report.watertight
    assert report.consistent_winding
    assert report.open_edges == 3
    assert "not watertight, 3 open edges; allowed: closed surfaces" in report.verdict


def test_flipped_faces_are_found_and_counted_by_their_edges():
    report = Scene.from_surfaces([surface(with_faces_flipped(sphere_mesh(20), 7))]).check()[0]
    assert report.watertight
    assert not report.consistent_winding
    assert report.flipped_edges == 3
    assert "inconsistent winding, 3 edges" in report.verdict
    assert "allowed: counter-clockwise faces seen from outside" in report.verdict


def test_surface_turned_inside_out_is_found():
    mesh = sphere_mesh(20)
    report = Scene.from_surfaces([surface(with_faces_flipped(mesh, *range(len(mesh.faces))))]).check()[0]
    assert report.watertight
    assert report.consistent_winding
    assert not report.outward
    assert "inside out: the surface encloses -3.3" in report.verdict
    assert "allowed: positive volume" in report.verdict


def test_one_body_inside_out_among_several_is_found_although_the_volume_is_positive():
    bad = sphere_mesh(5, (50, 0, 0))
    bad.invert()
    report = Scene.from_surfaces([surface(trimesh.util.concatenate([sphere_mesh(20), bad]))]).check()[0]
    assert report.outward
    assert "inside out: 1 of 2 connected bodies enclose" in report.verdict


def test_body_inside_out_beside_another_is_no_cavity_even_within_its_bounds():
    bad = sphere_mesh(1, (17, 17, 17))
    bad.invert()
    (verdict,) = problems(surface(trimesh.util.concatenate([sphere_mesh(20), bad])))
    assert "inside out: 1 of 2 connected bodies" in verdict


def test_cavity_of_a_shell_is_no_body_inside_out():
    cavity = sphere_mesh(15)
    cavity.invert()
    core = sphere_mesh(5, (3, 0, 0))
    assert problems(surface(trimesh.util.concatenate([sphere_mesh(20), cavity, core]))) == ["ok"]


def test_bodies_of_one_surface_that_overlap_are_found():
    two = trimesh.util.concatenate([box_mesh((10, 10, 10)), box_mesh((10, 10, 10), (9, 0, 0))])
    (verdict,) = problems(surface(two))
    assert "its connected bodies overlap each other by 100 mm³; allowed: bodies that do not overlap" in verdict


def test_body_nested_in_another_of_the_same_surface_is_found():
    (verdict,) = problems(surface(trimesh.util.concatenate([box_mesh((30, 30, 30)), box_mesh((10, 10, 10))])))
    assert "overlap each other by 1000 mm³" in verdict


def test_faces_stored_twice_are_found():
    mesh = box_mesh((10, 10, 10))
    report = Scene.from_surfaces([replace(surface(mesh), triangles=[*mesh.faces, *mesh.faces])]).check()[0]
    assert report.duplicate_faces == 12
    assert "12 duplicate faces" in report.verdict


def test_two_bodies_may_share_an_edge():
    two = trimesh.util.concatenate([box_mesh((10, 10, 10)), box_mesh((10, 10, 10), (10, 10, 0))])
    two.merge_vertices()
    assert len(two.vertices) == 14
    assert problems(surface(two)) == ["ok"]


def test_faces_without_area_are_reported_and_allowed():
    mesh = box_mesh((10, 10, 10))
    # Split one face at the middle m of its edge ab; the flat triangle abm closes the gap to the neighbour.
    (a, b, c), m = mesh.faces[0], len(mesh.vertices)
    vertices = [*mesh.vertices, (mesh.vertices[a] + mesh.vertices[b]) / 2]
    faces = [(a, m, c), (m, b, c), (a, b, m), *mesh.faces[1:]]
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    report = Scene.from_surfaces([surface(mesh)]).check()[0]
    assert report.degenerate_faces == 1
    assert report.ok
    assert report.verdict == "ok; 1 degenerate face without area, which no ray hits"


def test_slivers_that_still_have_a_normal_are_allowed():
    assert problems(box((100, 100, 0.01))) == ["ok"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vertices_that_are_not_finite_are_found(bad):
    mesh = sphere_mesh(20)
    vertices = mesh.vertices.copy()
    vertices[[3, 8], 1] = bad
    (report,) = check_surfaces([replace(surface(mesh), vertices_mm=vertices)])
    assert report.bad_vertices == 2
    assert "2 vertices with NaN or infinite coordinates; allowed: finite numbers in mm" in report.verdict


def test_scene_in_metres_is_found_and_told_its_scale():
    verdicts = problems(sphere(0.15, name="belly"), sphere(0.01, (0.05, 0, 0), name="kidney", priority=11))
    assert all("looks like metres; set scale = 1000; allowed: millimetres" in verdict for verdict in verdicts)


def test_scene_in_metres_is_found_also_away_from_the_origin():
    (verdict,) = problems(sphere(0.7, (5, 0, 0)))
    assert "its extent is 1.4 mm, which looks like metres; set scale = 1000" in verdict


def test_one_surface_in_metres_among_others_in_millimetres_is_found():
    verdicts = problems(
        sphere(150, name="belly"),
        sphere(0.05, (0.1, 0, 0), name="head", priority=11),
        sphere(0.1, (0, 0, 40), name="point_target", priority=12),
    )
    assert verdicts[0] == verdicts[2] == "ok"
    assert "its extent is 0.1 mm, which looks like metres; set scale = 1000" in verdicts[1]


def test_scene_in_micrometres_is_found_and_told_its_scale():
    (verdict,) = problems(sphere(150e3))
    assert "its extent is 3e+05 mm, which looks like micrometres; set scale = 0.001" in verdict


# --- checks of surfaces against each other ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (box((10, 10, 10), (9, 0, 0), name="b"), "100"),
        (box((4, 4, 4), name="b"), "64"),
        (box((10, 10, 10), name="b"), "1000"),
    ],
    ids=["partly", "inside", "same"],
)
def test_surfaces_of_one_priority_that_overlap_are_refused_with_the_shared_volume(other, shared):
    verdicts = problems(box((10, 10, 10), name="a"), other)
    assert verdicts[0] == "ok"
    assert f"priority = 10: overlaps surface 'a' of the same priority by {shared} mm³; allowed:" in verdicts[1]


def test_surfaces_of_one_priority_may_lie_side_by_side_even_where_their_bounds_overlap():
    ring = trimesh.creation.annulus(r_min=15, r_max=20, height=10)
    assert problems(surface(ring, name="ring"), sphere(14, name="core")) == ["ok", "ok"]


def test_surfaces_of_different_priority_may_overlap():
    assert problems(box((10, 10, 10), name="a"), box((10, 10, 10), (5, 0, 0), name="b", priority=11)) == 2 * ["ok"]


@pytest.mark.parametrize(
    ("centre", "far"), [((9000, 0, 0), "9020"), ((5, -8180, 12), "8200"), ((0, 0, 4e6), "4.00002e+06")]
)
def test_scene_too_far_from_the_origin_is_told_how_far_and_where_to(centre, far):
    inner = box((10, 10, 10), centre, name="inner", priority=11)
    verdicts = problems(box((40, 40, 40), centre), inner)
    assert f"its coordinates reach {far} mm, where float32 steps by " in verdicts[0]
    shift = ", ".join(f"{-round(value)}" for value in centre)
    assert (
        f"; allowed: below 8192 mm; move all surfaces and sweeps together, for example by [{shift}] mm" in verdicts[0]
    )


def test_scene_of_a_few_metres_from_the_origin_is_fine():
    assert problems(box((40, 40, 40), (8100, -8100, 8100))) == ["ok"]


# --- bad input in a file ------------------------------------------------------------------------------------


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


# --- measures -----------------------------------------------------------------------------------------------


def test_winding_number_is_1_inside_0_outside_and_0_in_a_cavity():
    cavity = sphere_mesh(15)
    cavity.invert()
    shell = trimesh.util.concatenate([sphere_mesh(20), cavity])
    for point, expected in (((0, 0, 0), 0), ((17, 0, 0), 1), ((0, -25, 3), 0)):
        found = winding_number(np.array(point, dtype=float), shell.vertices, shell.faces)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_bad_edges_are_those_that_a_count_one_by_one_finds(seed):
    random = np.random.default_rng(seed)
    mesh = sphere_mesh(1, subdivisions=1)
    triangles = mesh.faces.copy()
    turned = random.random(len(triangles)) < 0.1 * (seed % 3)
    triangles[turned] = triangles[turned, ::-1]
    triangles = np.concatenate([triangles, triangles[:seed]])[random.random(len(triangles) + seed) < 0.9]
    uses: dict[tuple[int, int], list[int]] = {}
    for a, b, c in triangles.tolist():
        for p, q in ((a, b), (b, c), (c, a)):
            uses.setdefault((min(p, q), max(p, q)), []).append(1 if p < q else -1)
    open_edges = sum(len(signs) % 2 == 1 for signs in uses.values())
    flipped = sum(len(signs) % 2 == 0 and sum(signs) != 0 for signs in uses.values())
    assert count_bad_edges(triangles, len(mesh.vertices)) == (open_edges, flipped)


def test_overlap_of_a_mesh_that_is_not_closed_is_refused():
    mesh = box_mesh((10, 10, 10))
    with pytest.raises(UssimError, match="NotManifold; allowed: closed meshes"):
        overlap_volume_mm3([(mesh.vertices, mesh.faces), (mesh.vertices, mesh.faces[1:])])


def test_two_loose_triangles_that_face_opposite_ways_have_six_open_edges():
    assert count_bad_edges(np.array([(0, 1, 2), (3, 5, 4)]), 6) == (6, 0)
