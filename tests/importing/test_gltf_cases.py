"""glTF as programs write it: whatever its numbers and its tree are, the same meshes come out."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from support.imported import init, surfaces, volume_mm3
from support.mesh_files import Gltf, ball

from meshes.importing.mesh_files import FileSurface, read_surfaces
from ussim.scene.mesh_io import load_mesh

BODY, LIVER = ball(0.1), ball(0.03, (0.02, 0.01, 0))
TOPS = {"B": 255, "H": 65535, "b": 127, "h": 32767}


def read(path) -> dict[str, FileSurface]:
    return {one.name: one for one in read_surfaces([path])}


def plain() -> Gltf:
    """One ball."""
    file = Gltf()
    file.node(mesh=file.mesh(file.primitive(LIVER), name="Liver"))
    return file


def size(surface: FileSurface) -> np.ndarray:
    return np.ptp(surface.bounds, axis=0)


# Positions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TOPS)
@pytest.mark.parametrize("name", ["a.glb", "a.gltf"])
def test_normalised_integers_are_fractions_of_the_largest(tmp_path, kind, name):
    file = Gltf()
    for called, mesh in (("Body", BODY), ("Liver", LIVER)):
        low, high = mesh.bounds
        signed = kind.islower()
        origin, unit = ((low + high) / 2, (high - low).max() / 2) if signed else (low, (high - low).max())
        packed = np.round((mesh.vertices - origin) / unit * TOPS[kind])
        position = file.array(packed, kind, normalized=True)
        primitive = {"attributes": {"POSITION": position}, "indices": file.array(mesh.faces.ravel(), "H")}
        node = {"translation": origin.tolist(), "scale": [unit] * 3}
        file.node(mesh=file.mesh(primitive), name=called, **node)
    file.document["extensionsRequired"] = ["KHR_mesh_quantization"]
    path = file.save(tmp_path / name)
    for called, mesh in (("Body", BODY), ("Liver", LIVER)):
        step = np.ptp(mesh.bounds, axis=0).max() / TOPS[kind]
        np.testing.assert_allclose(read(path)[called].bounds, mesh.bounds, atol=1.01 * step)
    vertices, _ = load_mesh(path, scale=1000)  # as a scene.toml does
    np.testing.assert_allclose(vertices.max(axis=0), 1000 * BODY.bounds[1], atol=1.6 if kind in "Bb" else 0.01)


def test_the_least_signed_integer_is_minus_one_too(tmp_path):
    file = Gltf()
    corners = file.array([[-128, 0, 0], [-127, 0, 0], [0, 127, 0]], "b", normalized=True)
    file.node(mesh=file.mesh({"attributes": {"POSITION": corners}}))
    (surface,) = read(file.save(tmp_path / "a.glb")).values()
    assert surface.bounds.tolist() == [[-1, 0, 0], [0, 1, 0]]


def test_integers_that_are_not_normalised_stay_as_they_are(tmp_path):
    file = Gltf()
    grown = trimesh.Trimesh(np.round(LIVER.vertices * 1e4), LIVER.faces, process=False)
    primitive = {
        "attributes": {"POSITION": file.array(grown.vertices, "h")},
        "indices": file.array(grown.faces.ravel(), "H"),
    }
    file.node(mesh=file.mesh(primitive), scale=[1e-4] * 3)
    (surface,) = read(file.save(tmp_path / "a.glb")).values()
    np.testing.assert_allclose(size(surface), np.ptp(LIVER.bounds, axis=0), atol=2e-4)


def test_sparse_arrays_are_put_over_their_base_or_over_zeros(tmp_path):
    for base in (True, False):
        file = plain()
        accessor = file.document["accessors"][0]
        if not base:
            del accessor["bufferView"]
        moved = LIVER.vertices if not base else LIVER.vertices[:1] + 1
        accessor["sparse"] = {
            "count": len(moved),
            "indices": {"bufferView": file.view(np.arange(len(moved), dtype="<u2").tobytes()), "componentType": 5123},
            "values": {"bufferView": file.view(moved.astype("<f4").tobytes())},
        }
        (surface,) = read(file.save(tmp_path / f"{base}.glb")).values()
        wanted = LIVER.vertices.copy()
        wanted[: len(moved)] = moved
        np.testing.assert_allclose(surface.vertices, wanted, atol=1e-6)


def test_a_morph_target_is_added_by_its_weight(tmp_path):
    file = plain()
    primitive = file.document["meshes"][0]["primitives"][0]
    primitive["targets"] = [{"POSITION": file.array(np.full_like(LIVER.vertices, 0.5), "f")}]
    for weights, shift in (([0.0], 0.0), ([0.4], 0.2)):
        file.document["meshes"][0]["weights"] = weights
        (surface,) = read(file.save(tmp_path / "a.glb")).values()
        np.testing.assert_allclose(surface.vertices, LIVER.vertices + shift, atol=1e-6)


def test_a_skin_is_put_on_its_joints(tmp_path):
    file = plain()
    count = len(LIVER.vertices)
    attributes = file.document["meshes"][0]["primitives"][0]["attributes"]
    attributes["JOINTS_0"] = file.array(np.tile([1, 0, 0, 0], (count, 1)), "B")
    attributes["WEIGHTS_0"] = file.array(np.tile([1.0, 0, 0, 0], (count, 1)), "f")
    bind = np.tile(np.eye(4), (2, 1, 1))
    bind[1, 3, :3] = [0, 0, -2]  # column by column: joint 1 was at z = 2 when the skin was put on
    joints = [file.node(translation=[9, 9, 9]), file.node(translation=[0, 1, 2])]
    file.document["skins"] = [{"joints": joints, "inverseBindMatrices": file.array(bind.reshape(2, 16), "f")}]
    file.document["nodes"][0] |= {"skin": 0, "translation": [5, 5, 5]}  # which a skin overrules
    (surface,) = read(file.save(tmp_path / "a.glb")).values()
    np.testing.assert_allclose(surface.vertices, LIVER.vertices + np.array((0, 1, 0)), atol=1e-6)


def test_strips_and_fans_are_triangles_of_one_side(tmp_path):
    for mode, corners in ((5, [0, 1, 2, 3]), (6, [1, 3, 2, 0])):
        file = Gltf()
        places = file.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], "f")
        file.node(
            mesh=file.mesh({"attributes": {"POSITION": places}, "indices": file.array(corners, "B"), "mode": mode})
        )
        vertices, triangles = load_mesh(file.save(tmp_path / "a.glb"))
        normals = np.cross(*(vertices[triangles[:, one]] - vertices[triangles[:, 0]] for one in (1, 2)))
        assert normals[:, 2].tolist() == [1, 1]


# Nodes and names ----------------------------------------------------------------------------------------


def two_materials(path):
    """A liver whose halves have materials of their own, beside a body of one."""
    file = Gltf()
    upper = LIVER.triangles_center[:, 2] > 0
    halves = [trimesh.Trimesh(LIVER.vertices, LIVER.faces[rows], process=False) for rows in (upper, ~upper)]
    file.node(mesh=file.mesh(*(file.primitive(half, material=n) for n, half in enumerate(halves)), name="Liver"))
    file.node(mesh=file.mesh(file.primitive(BODY), name="Body"))
    file.document["materials"] = [{"name": "red"}, {"name": "brown"}]
    return file.save(path)


def test_primitives_of_a_mesh_are_one_closed_surface(tmp_path):
    scene = init(two_materials(tmp_path / "a.glb"), "-o", tmp_path / "scene")
    assert {name: one.priority for name, one in surfaces(scene).items()} == {"Body": 10, "Liver": 20}
    assert volume_mm3(surfaces(scene)["Liver"]) == pytest.approx(LIVER.volume * 1e9, rel=1e-4)


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = two_materials(tmp_path / "a.glb")
    texts = []
    for number in range(3):
        init(path, "-o", tmp_path / str(number) / "scene")
        folder = tmp_path / str(number) / "scene"
        texts.append({f.relative_to(folder): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()})
    assert texts[0] == texts[1] == texts[2]


def test_an_instanced_mesh_is_placed_as_often_as_it_is_named(tmp_path):
    file = Gltf()
    mesh = file.mesh(file.primitive(LIVER), name="kidney")
    turned = [0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]  # 90° about z
    inner = file.node(root=False, mesh=mesh, name="left", translation=[0.1, 0, 0])
    file.node(children=[inner], rotation=turned)
    file.node(mesh=mesh, name="right", matrix=[-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, -0.1, 0, 0, 1])
    file.node(mesh=mesh, translation=[0, 0, 1])
    found = read(file.save(tmp_path / "a.glb"))
    assert set(found) == {"left", "right", "kidney"}
    middle = LIVER.bounds.mean(axis=0)
    np.testing.assert_allclose(found["left"].bounds.mean(axis=0), [-middle[1], 0.1 + middle[0], 0], atol=1e-6)
    np.testing.assert_allclose(found["right"].bounds.mean(axis=0), [-0.1 - middle[0], middle[1], 0], atol=1e-6)
    for one in found.values():  # the mirrored one stays outward
        volume = trimesh.Trimesh(one.vertices, one.triangles, process=False).volume
        assert volume == pytest.approx(LIVER.volume, rel=1e-4)


def test_a_mesh_without_a_name_is_called_like_what_it_hangs_on(tmp_path):
    file = Gltf()
    inner = file.node(root=False, mesh=file.mesh(file.primitive(LIVER), name="mesh_0"))
    file.node(name="Spleen", children=[inner])
    file.node(mesh=file.mesh(file.primitive(BODY)), name="Skin")
    assert set(read(file.save(tmp_path / "a.glb"))) == {"Spleen", "Skin"}
