"""Repair of meshes: what is mended, and what is only named."""

from __future__ import annotations

import manifold3d
import numpy as np
import pytest
import trimesh
from support.commands import ussim
from support.imported import save, surfaces, volume_mm3
from support.scenes import box_mesh, sphere_mesh, without_faces

from meshes.importing.repair import repair_surface
from ussim.scene.scene import Scene
from ussim.scene.topology import count_bad_edges, face_shapes


def assert_sound(vertices: np.ndarray, triangles: np.ndarray, volume: float, rel: float = 1e-4) -> None:
    assert count_bad_edges(triangles, len(vertices)) == (0, 0)
    assert face_shapes(vertices, triangles)[1].sum() / 6 == pytest.approx(volume, rel=rel)


def test_a_sound_surface_is_left_alone():
    mesh = sphere_mesh(20)
    vertices, triangles, changes = repair_surface(mesh.vertices, mesh.faces)
    assert changes == []
    np.testing.assert_array_equal(vertices, mesh.vertices)
    np.testing.assert_array_equal(triangles, mesh.faces)


def test_a_flat_cut_is_closed_by_the_wall_that_is_missing():
    box = box_mesh((30, 20, 10)).subdivide().subdivide()
    open_box = box.copy()
    open_box.update_faces(open_box.triangles_center[:, 2] < 4.999)
    vertices, triangles, changes = repair_surface(open_box.vertices, open_box.faces)
    assert_sound(vertices, triangles, 6000)
    assert changes == ["filled 1 hole, the largest 30 mm across"]


def test_a_concave_flat_cut_is_closed_too():
    outline = [(0, 0), (60, 0), (60, 60), (40, 60), (40, 20), (20, 20), (20, 60), (0, 60)]
    solid = manifold3d.Manifold.extrude(manifold3d.CrossSection([outline]), 10).to_mesh()
    cut = trimesh.Trimesh(solid.vert_properties, solid.tri_verts, process=False)
    cut.update_faces(cut.triangles_center[:, 2] < 9.99)
    vertices, triangles, _ = repair_surface(cut.vertices, cut.faces)
    assert_sound(vertices, triangles, 10 * (60 * 60 - 20 * 40))


def test_near_vertices_are_merged_and_faces_turned_and_copies_removed():
    mesh = sphere_mesh(20)
    shaken = mesh.vertices[mesh.faces].reshape(-1, 3) + np.random.default_rng(0).uniform(
        -1e-5, 1e-5, (3 * len(mesh.faces), 3)
    )
    faces = np.arange(len(shaken)).reshape(-1, 3)
    faces[:100] = faces[:100, ::-1]
    faces = np.concatenate([faces, faces[200:210], faces[300:305, [1, 2, 0]]])
    vertices, triangles, changes = repair_surface(shaken, faces)
    assert_sound(vertices, triangles, mesh.volume)
    assert len(triangles) == len(mesh.faces)
    assert [change.split()[0] for change in changes] == ["merged", "removed", "turned"]
    assert "removed 15 copies of faces" in changes
    assert "turned 100 faces round" in changes


def test_an_inverted_surface_is_turned_and_its_cavity_with_it():
    shell = trimesh.util.concatenate([sphere_mesh(20), sphere_mesh(15)])
    faces = shell.faces.copy()
    faces[: len(faces) // 2] = faces[: len(faces) // 2, ::-1]  # outer wall inward, inner wall outward: all turned
    vertices, triangles, changes = repair_surface(shell.vertices, faces)
    assert_sound(vertices, triangles, sphere_mesh(20).volume - sphere_mesh(15).volume)
    assert changes == ["turned 2 bodies inside out"]


def test_bodies_that_overlap_are_united():
    two = trimesh.util.concatenate([box_mesh((20, 20, 20)), box_mesh((20, 20, 20), (10, 3, 2))])
    vertices, triangles, changes = repair_surface(two.vertices, two.faces)
    assert_sound(vertices, triangles, 2 * 8000 - 10 * 17 * 18)
    assert changes == ["united 2 bodies that overlapped by 3.06e+03 mm³"]


def test_vertices_that_are_no_numbers_leave_a_hole_that_is_filled():
    mesh = sphere_mesh(20)
    vertices = mesh.vertices.copy()
    vertices[7] = np.nan
    vertices, triangles, changes = repair_surface(vertices, mesh.faces)
    assert_sound(vertices, triangles, mesh.volume, rel=0.01)
    assert changes[0] == f"removed {(mesh.faces == 7).any(axis=1).sum()} faces with NaN or infinite coordinates"


def test_an_open_mesh_is_named_and_mended_only_on_request(tmp_path):
    files = save(tmp_path, body=without_faces(sphere_mesh(80), *range(9)), liver=sphere_mesh(20))
    result = ussim("scene", "init", *files, "-o", tmp_path / "scene")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith("body: not watertight, ")
    assert "close the holes" in lines[0]
    assert lines[1] == "error: 1 of 2 surfaces fail the check (body): mend them, or let --repair try"
    assert not (tmp_path / "scene").exists()

    result = ussim("scene", "init", *files, "-o", tmp_path / "scene", "--repair")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("body: repaired: filled ")
    assert "# Repaired: filled " in (tmp_path / "scene" / "scene.toml").read_text()
    body = surfaces(Scene.load(tmp_path / "scene"))["body"]
    assert volume_mm3(body) == pytest.approx(sphere_mesh(80).volume, rel=0.01)
