"""Lines against meshes: where they cross the surface, and which way it looks there."""

from __future__ import annotations

import numpy as np
import trimesh
from support.scenes import box_mesh, sphere_mesh

from meshes.importing.rays import crossings, normals


def test_a_line_crosses_a_box_where_its_walls_are():
    mesh = box_mesh((10, 20, 30))
    distances, triangles = crossings(np.array([1.0, 3.0, 100.0]), np.array([0.0, 0.0, 1.0]), mesh.vertices, mesh.faces)
    np.testing.assert_allclose(distances, [-115, -85])
    np.testing.assert_allclose(normals(mesh.vertices, mesh.faces[triangles]), [[0, 0, -1], [0, 0, 1]], atol=1e-12)


def test_lines_in_all_directions_cross_a_shell_four_times_in_ascending_order():
    mesh = trimesh.util.concatenate([sphere_mesh(20), sphere_mesh(10)])
    rng = np.random.default_rng(0)
    for direction in rng.normal(size=(20, 3)):
        direction /= np.linalg.norm(direction)
        distances, triangles = crossings(np.array([1.0, -2.0, 0.5]), direction, mesh.vertices, mesh.faces)
        assert len(distances) == len(triangles) == 4
        assert (np.diff(distances) > 0).all()
        assert (distances[:2] < 0).all()
        assert (distances[2:] > 0).all()


def test_a_line_beside_a_mesh_or_along_a_flat_triangle_crosses_nothing():
    mesh = box_mesh((10, 10, 10))
    assert not len(crossings(np.array([6.0, 0, 0]), np.array([0.0, 0, 1]), mesh.vertices, mesh.faces)[0])
    flat = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    assert not len(crossings(np.array([0.5, 0, 1]), np.array([0.0, 0, 1]), flat, np.array([[0, 1, 2]]))[0])


def test_normals_point_outwards_and_are_zero_without_area():
    mesh = sphere_mesh(20)
    found = normals(mesh.vertices, mesh.faces)
    assert ((found * mesh.triangles_center).sum(axis=1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert (normals(mesh.vertices, np.array([[1, 1, 2]])) == 0).all()
