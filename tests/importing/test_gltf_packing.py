"""glTF that is compressed, extended, spread over files or broken: read, or refused in one line by name."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import trimesh
from support.commands import ussim
from support.mesh_files import Gltf, ball
from support.scenes import box_mesh

from meshes.importing.mesh_files import FileSurface, read_surfaces
from ussim.errors import UssimError

BODY, LIVER = ball(0.1), ball(0.03, (0.02, 0.01, 0))


def read(path) -> dict[str, FileSurface]:
    return {one.name: one for one in read_surfaces([path])}


def refusal(path) -> str:
    with pytest.raises(UssimError) as caught:
        read_surfaces([path])
    assert str(caught.value).isprintable()
    return str(caught.value)


def plain(**changes) -> Gltf:
    """One ball, and what is added to the document."""
    file = Gltf()
    file.node(mesh=file.mesh(file.primitive(LIVER), name="Liver"))
    file.document |= changes
    return file


# Compression and extensions -----------------------------------------------------------------------------


def draco(mesh: trimesh.Trimesh, beside: trimesh.Trimesh | None = None, data: bytes | None = None) -> Gltf:
    """A mesh that is only there compressed, beside one that is not."""
    file = Gltf()
    if data is None:
        import DracoPy

        data = DracoPy.encode(mesh.vertices.astype("<f4"), mesh.faces.astype("<u4"), quantization_bits=16)
    places = {"count": len(mesh.vertices), "type": "VEC3", "componentType": 5126}
    file.document["accessors"] = [places, {"count": mesh.faces.size, "type": "SCALAR", "componentType": 5125}]
    extension = {"bufferView": file.view(data), "attributes": {"POSITION": 0}}
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "extensions": {"KHR_draco_mesh_compression": extension}}
    file.node(mesh=file.mesh(primitive), name="Liver")
    if beside is not None:
        file.node(mesh=file.mesh(file.primitive(beside)), name="Body")
    file.document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    return file


def test_draco_is_decoded_where_its_library_is_installed(tmp_path):
    pytest.importorskip("DracoPy")
    found = read(draco(LIVER, beside=BODY).save(tmp_path / "a.glb"))
    np.testing.assert_allclose(found["Liver"].bounds, LIVER.bounds, atol=2e-6)
    np.testing.assert_allclose(found["Body"].bounds, BODY.bounds, atol=1e-6)
    volume = trimesh.Trimesh(found["Liver"].vertices, found["Liver"].triangles, process=False).volume
    assert volume == pytest.approx(LIVER.volume, rel=1e-3)


@pytest.mark.parametrize("beside", [None, BODY])
def test_draco_is_refused_in_one_line_where_it_is_not(tmp_path, monkeypatch, beside):
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    path = draco(LIVER, beside, b"DRACO").save(tmp_path / "a.glb")
    result = ussim("scene", "init", path, "-o", tmp_path / "scene", "--repair")
    assert result.exit_code == 2
    wanted = "uses KHR_draco_mesh_compression: export without compression, or pip install 'ussim[draco]'"
    assert result.stderr == f"error: {path}: {wanted}\n"


def test_broken_draco_is_refused_by_name(tmp_path):
    pytest.importorskip("DracoPy")
    path = draco(LIVER, data=b"DRACO\2\2\1\1" + bytes(99)).save(tmp_path / "a.glb")
    assert "uses KHR_draco_mesh_compression, and its data cannot be decoded" in refusal(path)


@pytest.mark.parametrize("name", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
@pytest.mark.parametrize("required", [True, False])
def test_meshopt_is_refused_by_name(tmp_path, name, required):
    file = plain(extensionsUsed=[name])
    if required:
        file.document["extensionsRequired"] = [name]
    file.document["buffers"] = []
    path = file.save(tmp_path / "a.gltf")
    document = json.loads(path.read_text())
    document["buffers"] = [{"byteLength": len(file.blob), "extensions": {name: {"fallback": True}}}]
    path.write_text(json.dumps(document))
    assert f"uses {name}: export without compression" in refusal(path)


def test_any_other_extension_that_a_file_requires_is_refused_by_name(tmp_path):
    path = plain(extensionsRequired=["ACME_bent_space"]).save(tmp_path / "a.glb")
    assert "requires the extension 'ACME_bent_space', which is not read here" in refusal(path)


def test_extensions_that_change_no_geometry_do_not_matter(tmp_path):
    names = ["KHR_materials_unlit", "KHR_texture_transform", "EXT_texture_webp", "KHR_lights_punctual"]
    assert set(read(plain(extensionsRequired=names).save(tmp_path / "a.glb"))) == {"Liver"}


def test_instances_of_a_gpu_are_refused_by_name(tmp_path):
    file = plain()
    file.document["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {}}}
    assert "uses EXT_mesh_gpu_instancing" in refusal(file.save(tmp_path / "a.glb"))


# Files beside -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["my%20liver.bin", "my liver.bin", "sub/../x", "parts%2Fliver.bin"])
def test_a_buffer_may_have_a_percent_encoded_name_inside_the_folder(tmp_path, uri):
    (tmp_path / "parts").mkdir()
    name = {"sub/../x": None, "parts%2Fliver.bin": "parts/liver.bin"}.get(uri, "my liver.bin")
    path = plain().save(tmp_path / "a.gltf", tmp_path / (name or "x"), uri)
    if name is None:
        assert "lies outside of its folder" in refusal(path)
    else:
        np.testing.assert_allclose(read(path)["Liver"].bounds, LIVER.bounds, atol=1e-6)


@pytest.mark.parametrize(
    "uri", ["../secret.bin", "%2e%2e/secret.bin", "file:///etc/passwd", "link.bin", "a\\..\\b.bin"]
)
def test_a_buffer_outside_of_the_folder_is_never_opened(tmp_path, uri):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = plain().save(inner / "a.gltf", tmp_path / "secret.bin", uri)
    assert "lies outside of its folder; allowed: a file in it" in refusal(path)


def test_a_buffer_that_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.bin")
    (tmp_path / "folder.bin").mkdir()
    (tmp_path / "zero.bin").symlink_to("/dev/zero")
    for name, words in (
        ("pipe.bin", "is a pipe or a device"),
        ("folder.bin", "is a folder"),
        ("zero.bin", "lies outside"),
        ("none.bin", "no such file"),
    ):
        assert words in refusal(plain().save(tmp_path / "a.gltf", None, name))


# Broken -------------------------------------------------------------------------------------------------


def deep(depth: int) -> str:
    return '{"asset":' + "[" * depth + "]" * depth + "}"


@pytest.mark.parametrize(
    "text", [deep(100_000), '{"accessors": ' + "9" * 5000 + "}", "[]", "{", '{"asset": {"version": "1.0"}}']
)
def test_json_of_any_kind_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "a.gltf").write_text(text)
    assert refusal(tmp_path / "a.gltf").startswith(f"{tmp_path / 'a.gltf'}: ")


def test_nodes_that_hold_each_other_are_refused(tmp_path):
    file = plain()
    file.document["nodes"][0]["children"] = [0]
    assert "is placed twice; allowed: a tree of nodes" in refusal(file.save(tmp_path / "a.glb"))


@pytest.mark.parametrize("matrix", [[1e300] * 16, [float("nan")] * 16])
def test_a_transform_beyond_all_bounds_is_refused(tmp_path, matrix):
    file = plain()
    file.document["nodes"][0]["matrix"] = matrix
    assert "node 0 has a transform of " in refusal(file.save(tmp_path / "a.glb"))


@pytest.mark.parametrize("changes", [{"count": 10**7}, {"byteOffset": 10**7}, {"byteOffset": -4}, {"count": -1}])
def test_an_array_that_reaches_beyond_its_data_is_refused(tmp_path, changes):
    file = plain()
    file.document["accessors"][0] |= changes
    assert "reaches beyond its buffer; was it cut off?" in refusal(file.save(tmp_path / "a.glb"))


def test_lines_and_points_beside_a_mesh_are_left_out(tmp_path):
    file = plain()
    box = box_mesh((1, 1, 1))
    file.node(mesh=file.mesh(file.primitive(box, mode=1), file.primitive(box, mode=0)), name="Axes")
    assert set(read(file.save(tmp_path / "a.glb"))) == {"Liver"}
