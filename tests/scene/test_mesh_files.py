"""Mesh files of strangers: nothing beside the mesh is read, and nothing unfolds to more than may be."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from support.scenes import sphere_mesh

from ussim.errors import UssimError
from ussim.scene import mesh_io
from ussim.scene.mesh_io import load_mesh, read_mesh_file


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Names of the files that are read whole."""
    names = []
    read = Path.read_bytes

    def noted(self):
        names.append(self.name)
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", noted)
    return names


def refusal(path) -> str:
    with pytest.raises(UssimError) as caught:
        load_mesh(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def textured() -> trimesh.Trimesh:
    mesh = sphere_mesh(20, subdivisions=1)
    image = Image.new("RGB", (2, 2))
    mesh.visual = trimesh.visual.TextureVisuals(
        np.zeros((len(mesh.vertices), 2)), trimesh.visual.material.SimpleMaterial(image)
    )
    return mesh


def test_materials_of_an_obj_stay_unread(tmp_path, opened):
    textured().export(tmp_path / "ball.obj")
    assert (tmp_path / "material.mtl").is_file()
    vertices, triangles = load_mesh(tmp_path / "ball.obj")
    assert (vertices.shape, triangles.shape) == ((42, 3), (80, 3))
    assert opened == ["ball.obj"]


def test_textures_of_a_glb_stay_unread(tmp_path, monkeypatch):
    textured().export(tmp_path / "ball.glb")
    opened = []
    monkeypatch.setattr(Image, "open", lambda *arguments: opened.append(arguments))
    assert load_mesh(tmp_path / "ball.glb")[1].shape == (80, 3)
    assert opened == []


def gltf(**changes) -> dict:
    """One triangle, its numbers in the file itself."""
    data = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]).tobytes() + np.uint32([0, 1, 2]).tobytes()
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    return {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"byteLength": 48, "uri": uri}],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36, "byteOffset": 0},
            {"buffer": 0, "byteLength": 12, "byteOffset": 36},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"},
        ],
    } | changes


def save(path, header: dict):
    """A header as GLTF or, by the name, as GLB."""
    text = json.dumps(header).encode()
    if path.suffix == ".glb":
        text += b" " * (-len(text) % 4)
        chunk = len(text).to_bytes(4, "little") + b"JSON" + text
        text = b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunk)).to_bytes(4, "little") + chunk
    path.write_bytes(text)
    return path


@pytest.mark.parametrize("name", ["a.gltf", "a.glb"])
def test_a_gltf_of_one_triangle_is_read(tmp_path, name):
    assert load_mesh(save(tmp_path / name, gltf()))[1].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("name", ["a.gltf", "a.glb"])
def test_an_array_that_is_nothing_but_long_is_refused(tmp_path, name):
    empty = {"componentType": 5126, "count": 10**9, "type": "VEC3"}
    header = gltf(accessors=[empty, gltf()["accessors"][1]])
    assert refusal(save(tmp_path / name, header)) == "an array in it has 11.2 GiB; allowed: at most 2 GiB"


def test_a_buffer_that_unfolds_to_too_much_is_refused(tmp_path):
    header = gltf(buffers=[{**gltf()["buffers"][0], "byteLength": 2**40}])
    assert refusal(save(tmp_path / "a.gltf", header)) == "a buffer in it has 1.02e+03 GiB; allowed: at most 2 GiB"


NONSENSE = [{"accessors": [3]}, {"accessors": [{"count": "x"}]}, {"buffers": 7}, {"meshes": [[]]}, {"scene": "x"}]


@pytest.mark.parametrize("header", [[], None, 7, *(gltf(**changes) for changes in NONSENSE)])
def test_a_gltf_of_nonsense_is_refused(tmp_path, header):
    assert "cannot be read as GLTF: " in refusal(save(tmp_path / "a.gltf", header))


def test_a_mesh_counts_as_often_as_it_is_placed(tmp_path, monkeypatch):
    header = gltf(nodes=[{"mesh": 0, "translation": [one, 0, 0]} for one in range(9)])
    header["scenes"][0]["nodes"] = list(range(9))
    path = save(tmp_path / "a.gltf", header)
    assert len(load_mesh(path)[1]) == 9
    monkeypatch.setattr(mesh_io, "MOST_TRIANGLES", 8)
    assert refusal(path) == "holds 9 triangles; allowed: at most 8"


def test_a_file_that_is_too_large_is_not_even_read(tmp_path, monkeypatch):
    path = tmp_path / "large.stl"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # a hole: it takes no room
    monkeypatch.setattr(Path, "read_bytes", None)
    assert refusal(path) == "the file has 3 GiB; allowed: at most 2 GiB"


@pytest.mark.parametrize("outside", ["../secret.bin", "{folder}/secret.bin"])
def test_a_mesh_opens_no_file_outside_of_its_folder(tmp_path, outside):
    (tmp_path / "secret.bin").write_bytes(base64.b64decode(gltf()["buffers"][0]["uri"].split(",")[1]))
    (tmp_path / "inner").mkdir()
    header = gltf(buffers=[{"byteLength": 48, "uri": outside.format(folder=tmp_path)}])
    assert "cannot be read as GLTF" in refusal(save(tmp_path / "inner" / "a.gltf", header))
    (tmp_path / "inner" / "secret.bin").write_bytes((tmp_path / "secret.bin").read_bytes())
    inside = save(tmp_path / "inner" / "b.gltf", gltf(buffers=[{"byteLength": 48, "uri": "secret.bin"}]))
    assert len(read_mesh_file(inside)) == 1
