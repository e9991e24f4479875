"""Surfaces of meshes in memory."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from support.scenes import (
    sphere,
    sphere_mesh,
    surface,
    write_scene,
)

from ussim.errors import UssimError
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface


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
