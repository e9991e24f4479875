"""Checks of surfaces: what a tracer could not tell in from out in is found, counted and named."""

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
    surface,
    without_faces,
)

from ussim.errors import UssimError
from ussim.scene.check import check_surfaces
from ussim.scene.scene import Scene
from ussim.scene.topology import count_bad_edges, overlap_volume_mm3, winding_number


def problems(*surfaces) -> list[str]:
    """The verdicts of surfaces put into one scene, in scene order."""
    return [report.verdict for report in Scene.from_surfaces(surfaces).check()]


def with_faces_flipped(mesh: trimesh.Trimesh, *faces: int) -> trimesh.Trimesh:
    triangles = mesh.faces.copy()
    triangles[list(faces)] = triangles[list(faces), ::-1]
    return trimesh.Trimesh(mesh.vertices, triangles, process=False)


# --- checks of one surface ------------------------------------------------------------------------------------


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


# --- checks of surfaces against each other --------------------------------------------------------------------


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


# --- measures -------------------------------------------------------------------------------------------------


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
