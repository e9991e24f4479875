"""Signed distances and the mesher that stands on them."""

from __future__ import annotations

import manifold3d
import numpy as np
import pytest
from support.anatomies import sampled_and_dense

from meshes import SurfaceError
from meshes.shapes import mesher, sdf, solids
from meshes.shapes.part import Part


def busy_solid():
    body = solids.union(solids.ellipsoid((0, 0, 0), (20, 12, 8)), solids.cone((5, 0, 0), (22, 14, 9), 6, 2), blend=4.0)
    body = solids.subtract(body, solids.sphere((-12, 0, 6), 6), solids.tube([(0, -12, 0), (0, 0, 9), (0, 12, 0)], 1.5))
    body = solids.intersect(body, solids.box((0, 0, 0), (30, 20, 7), 1.0), blend=2.0)
    ribs = solids.union(*[solids.tube([(x, -9, 12), (x, 9, 12)], 1.0) for x in range(-20, 21, 5)])
    return solids.rough(solids.offset(solids.union(body, ribs), 0.4), 0.3, 6.0, 3)


def test_block_sampling_has_the_zero_surface_of_full_evaluation():
    grid, full = sampled_and_dense(busy_solid(), 0.8)
    assert np.array_equal(grid < 0, full < 0)
    near = np.abs(full) < 0.8
    assert np.abs(grid - full)[near].max() < 1e-4


def test_primitive_distances_are_right_on_the_axes():
    assert sdf.distance(solids.sphere((1, 2, 3), 5), [(9, 2, 3)])[0] == pytest.approx(3)
    assert sdf.distance(solids.ellipsoid((0, 0, 0), (3, 4, 5)), [(0, 0, 7)])[0] == pytest.approx(2)
    assert sdf.distance(solids.box((0, 0, 0), (1, 2, 3), 0.2), [(4, 0, 0)])[0] == pytest.approx(3)
    assert sdf.distance(solids.cone((0, 0, 0), (0, 0, 10), 2, 1), [(0, 0, 14)])[0] == pytest.approx(3)
    assert sdf.distance(solids.cone((0, 0, 0), (0, 0, 10), 2, 2), [(5, 0, 4)])[0] == pytest.approx(3)
    assert sdf.distance(solids.superellipsoid((0, 0, 0), (3, 4, 5), 4.0), [(4, 0, 0)])[0] == pytest.approx(1)


def test_a_sphere_has_its_volume():
    body = mesher.surface(solids.sphere((3, -2, 1), 12.0), 0.7)
    assert body.volume() == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.01)


def test_a_blended_union_stays_in_its_box():
    solid = solids.union(solids.sphere((0, 0, 0), 5), solids.sphere((6, 0, 0), 5), blend=4.0)
    grid, _ = sdf.sample(solid, 0.5)
    assert min(grid[[0, -1]].min(), grid[:, [0, -1]].min(), grid[:, :, [0, -1]].min()) > 0


def test_a_budget_is_met_and_the_shape_kept():
    part = Part("ball", "liver", 1, "fetus", solids.rough(solids.sphere((0, 0, 0), 20), 0.4, 6, 1), 3.0)
    (mesh,) = mesher.mesh_parts([part], 3_000, 1.0, 0.35, 0.03)
    assert abs(len(mesh.triangles) - 3_000) <= 90
    radius = np.linalg.norm(mesh.vertices_mm, axis=1)
    assert 19 < radius.min() < radius.max() < 21


def test_specks_are_dropped():
    solid = solids.union(solids.sphere((0, 0, 0), 5), solids.sphere((12, 0, 0), 0.35))
    assert len(mesher.surface(solid, 0.2).decompose()) == 1


def test_an_empty_solid_is_an_error():
    with pytest.raises(SurfaceError, match="empty"):
        mesher.surface(solids.subtract(solids.sphere((0, 0, 0), 3), solids.sphere((0, 0, 0), 5)), 0.5)


def test_touching_copies_of_a_vertex_are_drawn_apart():
    tetra = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], dtype=np.float32)
    faces = np.array([(0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2)], dtype=np.int32)
    mesh = mesher.Mesh(np.vstack([tetra, -tetra]), np.vstack([faces, faces[:, ::-1] + 4]).astype(np.int32))
    apart = mesher.without_pinches(mesh)
    assert len(np.unique(mesh.vertices_mm, axis=0)) == 7
    assert len(np.unique(apart.vertices_mm, axis=0)) == 8
    assert np.abs(apart.vertices_mm - mesh.vertices_mm).max() < 0.01


def test_relief_with_a_grain_is_longer_along_it():
    grain = np.array([0.6, 0.0, 0.8])
    block = solids.rough(solids.box((0, 0, 0), (50, 50, 50)), 0.5, 6.0, 4, grain, 5.0)
    points = np.random.default_rng(0).uniform(-20, 20, (4000, 3)) * (1, 0, 1) + (0, 50, 0)  # on one face

    def slope(way):
        ends = [sdf.distance(block, points + 0.05 * sign * np.asarray(way)) for sign in (1, -1)]
        return np.std((ends[0] - ends[1]) / 0.1)

    assert slope(grain) * 5.0 == pytest.approx(slope((0.8, 0.0, -0.6)), rel=0.2)


def test_a_lens_is_closed_and_lies_on_its_solid():
    axes = solids.rotation_to((1.0, 2.0, 3.0))
    solid = solids.rough(solids.ellipsoid((5, -3, 8), (0.4, 3.0, 12.0), axes), 0.1, 6.0, 9, axes[2], 4.0)
    body = mesher.lens(solid)
    mesh = mesher.to_mesh(body)
    assert np.abs(sdf.distance(solid, mesh.vertices_mm)).max() < 0.02
    assert body.volume() == pytest.approx(mesher.surface(solid, 0.12).volume(), rel=0.2)


def test_lenses_that_cross_become_one_closed_surface():
    lenses = tuple(solids.ellipsoid((x, 0, 0), (0.4, 3.0, 12.0)) for x in (0.0, 0.2, 30.0))
    part = Part("septa", "muscle", 1, "mother", solids.union(*lenses), 0.6, lenses)
    (mesh,) = mesher.mesh_parts([part], 120, 1.0, 0.35, 0.3)
    body = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices_mm, mesh.triangles.astype(np.uint32)))
    assert body.status() == manifold3d.Error.NoError
    assert len(body.decompose()) == 2


def test_a_budget_counts_crossing_lenses_after_they_are_united():
    places = np.random.default_rng(0).uniform(-20, 20, (60, 3)) * (1, 0.1, 1)
    lenses = tuple(solids.ellipsoid(place, (0.4, 5.0, 12.0), solids.rotation_to(place + 5)) for place in places)
    part = Part("septa", "muscle", 1, "mother", solids.union(*lenses), 0.6, lenses)
    alone = 60 * mesher.lens(lenses[0]).num_tri()
    (mesh,) = mesher.mesh_parts([part], int(1.3 * alone), 1.0, 0.35, 0.05)
    assert len(mesh.triangles) == pytest.approx(1.3 * alone, rel=0.05)


def test_a_ray_that_does_not_leave_is_an_error_that_names_it():
    with pytest.raises(SurfaceError, match=r"ball: no way out .* along \[1\. 0\. 0\.\] in 8 mm"):
        sdf.exits(solids.sphere((0, 0, 0), 20), (0, 0, 0), (3, 0, 0), "ball", 8.0)
