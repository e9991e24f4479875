"""Smooth normals as functions of the place on a triangle."""

from __future__ import annotations

import numpy as np

from ussim.render.normals import normal_fields, surface_normals


def test_the_normal_between_the_corners_is_that_of_the_corners_by_barycentric_weights():
    g = np.random.default_rng(0)
    vertices = g.normal(size=(300, 3)).astype(np.float32)
    triangles = np.arange(300, dtype=np.int32).reshape(100, 3)
    corners = g.normal(size=(100, 3, 3)).astype(np.float32)
    fields = normal_fields(vertices, triangles, corners).astype(float)
    weights = g.dirichlet(np.ones(3), 100)
    place = np.einsum("tc,tci->ti", weights, vertices[triangles])
    found = fields[:, 3:6] + np.einsum("tij,tj->ti", fields[:, 6:15].reshape(-1, 3, 3), place - fields[:, :3])
    np.testing.assert_allclose(found, np.einsum("tc,tci->ti", weights, corners), atol=1e-4)


def test_a_triangle_without_height_has_the_mean_of_its_corners_normals_everywhere():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0.3, 1e-5, 0], [0.5, 0, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 1, 3], [0, 0, 0]], np.int32)
    corners = np.random.default_rng(1).normal(size=(3, 3, 3)).astype(np.float32)
    fields = normal_fields(vertices, triangles, corners)
    np.testing.assert_allclose(fields[:, 3:6], corners.mean(axis=1), atol=1e-6)
    assert not fields[:, 6:].any()


def test_corner_normals_of_a_finely_triangulated_sphere_point_away_from_its_centre():
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 65)[:-1], np.linspace(0.2, np.pi - 0.2, 32))
    points = np.stack([np.sin(rise) * np.cos(turn), np.sin(rise) * np.sin(turn), np.cos(rise)], -1)
    index = np.arange(32 * 64).reshape(32, 64)
    beside, below = np.roll(index, -1, axis=1), index + 64
    under = np.roll(below, -1, axis=1)
    triangles = np.concatenate(
        [np.stack(c, -1)[:-1].reshape(-1, 3) for c in ((index, below, beside), (beside, below, under))]
    )
    vertices = points.reshape(-1, 3)
    flat, corners = surface_normals(vertices.astype(np.float32), triangles.astype(np.int32))
    assert np.einsum("ti,ti->t", flat, vertices[triangles].mean(axis=1)).min() > 0.9
    assert np.einsum("tci,tci->tc", corners, vertices[triangles]).min() > 0.99
