"""Mesh files that are cut off, flipped in places or padded: both readers take them or say in one line what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from support import scenes
from support.fuzz import damaged_bytes, only_mistakes_are_refused
from support.mesh_files import obj_text, ply_bytes

from meshes.importing.mesh_files import read_surfaces
from ussim.errors import UssimError
from ussim.scene.check import check_surfaces
from ussim.scene.mesh_io import load_mesh
from ussim.scene.surface import Surface

BALL = scenes.sphere_mesh(10, (0, 0, 20), subdivisions=1)
OBJ_WITH_EXTRAS = b"mtllib other.mtl\no part\nusemtl skin\nvt 0 0\nvn 0 0 1\n" + BALL.export(file_type="obj").encode()
FILES = {
    "binary.stl": BALL.export(file_type="stl"),
    "text.stl": BALL.export(file_type="stl_ascii").encode(),
    "plain.obj": OBJ_WITH_EXTRAS,
    "binary.ply": BALL.export(file_type="ply"),
    "text.ply": BALL.export(file_type="ply", encoding="ascii"),
    "uneven.ply": ply_bytes(BALL, [*BALL.faces, [0, 1, 2, 3]]),
    "strips.ply": ply_bytes(BALL, [[0, 1, 2, 3, -1, *face] for face in BALL.faces], element="tristrips"),
    "groups.obj": obj_text({"a": BALL, "b": BALL}, "g", relative=True, corner="{0}//{0}").encode(),
    "plain.off": BALL.export(file_type="off").encode(),
    "packed.glb": trimesh.Scene({"ball": BALL, "stone": scenes.box_mesh((3, 3, 3))}).export(file_type="glb"),
}


def read(path) -> None:
    """With both readers; what one takes is what the tracer and the checks can hold."""
    with only_mistakes_are_refused():
        vertices, triangles = load_mesh(path)
        assert vertices.dtype == np.float32
        assert triangles.dtype == np.int32
        assert triangles.min() >= 0
        assert triangles.max() < len(vertices)
        check_surfaces([Surface(name="it", tissue="liver", priority=1, vertices_mm=vertices, triangles=triangles)])
    with only_mistakes_are_refused():
        for surface in read_surfaces([path]):
            assert surface.triangles.max() < len(surface.vertices)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("meshes")


@pytest.mark.parametrize("name", FILES)
def test_the_files_that_are_damaged_here_are_good_ones(folder, name):
    (folder / name).write_bytes(FILES[name])
    assert len(load_mesh(folder / name)[1]) >= len(BALL.faces)
    assert sum(len(one.triangles) for one in read_surfaces([folder / name])) >= len(BALL.faces)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_a_damaged_mesh_file_is_taken_or_refused_in_one_line(folder, name, data):
    path = folder / name
    path.write_bytes(data.draw(damaged_bytes(FILES[name])))
    read(path)


@pytest.mark.parametrize("text", ["v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "v 1\nv 2\n"])
def test_vertices_of_fewer_numbers_are_refused_by_both_readers(folder, text):
    path = folder / "flat.obj"
    path.write_text(text)
    for reader in (load_mesh, lambda path: read_surfaces([path])):
        with pytest.raises(UssimError, match="three coordinates"):
            reader(path)


@given(content=st.binary(max_size=200), ending=st.sampled_from(["stl", "obj", "ply", "glb", "gltf", "off"]))
def test_any_bytes_for_a_mesh_are_taken_or_refused_in_one_line(folder, content, ending):
    path = folder / f"any.{ending}"
    path.write_bytes(content)
    read(path)
