"""STL, PLY and OFF as programs write them, also packed: what is odd about a file does not show in its surface."""

from __future__ import annotations

import gzip
import zipfile

import numpy as np
import pytest
import trimesh
from support.commands import ussim
from support.imported import init, surfaces
from support.mesh_files import Gltf, ball, obj_text, ply_bytes, stl_bytes, stl_text

from meshes.importing.mesh_files import FileSurface, read_surfaces
from ussim.errors import UssimError
from ussim.scene.formats import packed
from ussim.scene.mesh_io import load_mesh

BALL, STONE = ball(20), ball(5, (3, 0, 0))


def read(path, content: bytes | str) -> list[FileSurface]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_surfaces([path])


def refusal(path, content: bytes | str) -> str:
    with pytest.raises(UssimError) as caught:
        read(path, content)
    assert str(caught.value).isprintable()
    return str(caught.value)


def assert_ball(found: list[FileSurface], mesh: trimesh.Trimesh = BALL) -> None:
    assert len(found) == 1
    again = trimesh.Trimesh(found[0].vertices, found[0].triangles, process=False)
    assert again.is_watertight
    assert again.volume == pytest.approx(mesh.volume, rel=1e-4)


# STL ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [b"", b"solid binary facet", b"solid 3D Slicer output. SPACE=LPS", b"\xff" * 80])
@pytest.mark.parametrize("odd", ["", "count", "none", "tail"])
def test_a_binary_stl_is_read_whatever_its_header_and_count_say(tmp_path, header, odd):
    count = {"count": 2**32 - 1, "none": 0}.get(odd)
    tail = b"written by some scanner" if odd == "tail" else b""
    content = stl_bytes(BALL, header, count, tail)
    assert_ball(read(tmp_path / "ball.stl", content))
    vertices, triangles = load_mesh(tmp_path / "ball.stl")
    assert trimesh.Trimesh(vertices, triangles, process=False).is_watertight


def test_bytes_behind_the_last_triangle_are_no_triangles(tmp_path):
    assert_ball(read(tmp_path / "ball.stl", stl_bytes(BALL, tail=bytes(150))))


@pytest.mark.parametrize("missing", [50 * 7, 50 * 7 - 20])
def test_a_binary_stl_that_was_cut_off_is_refused(tmp_path, missing):
    message = refusal(tmp_path / "ball.stl", stl_bytes(BALL)[:-missing])
    assert "its header counts 320 triangles, it has room for 313" in message
    assert message.endswith("was it cut off?")


def test_every_solid_of_a_text_is_a_surface_of_its_name(tmp_path):
    text = stl_text({"Skin of the vertex": BALL, "Stone 7": STONE, "": ball(2)})
    for changed in (text, text.upper(), text.replace("\n", "\r\n"), text.replace("endsolid Stone 7", "endsolid")):
        found = {one.name.lower(): one for one in read(tmp_path / "all.stl", changed)}
        assert set(found) == {"skin_of_the_vertex", "stone_7", "all"}
        assert np.ptp(found["stone_7"].bounds, axis=0) == pytest.approx(np.ptp(STONE.bounds, axis=0), abs=1e-4)


@pytest.mark.parametrize("name", ["", "vcg", "Exported from Blender-2.8", "3D Slicer output. SPACE=LPS"])
def test_one_solid_is_called_like_its_file(tmp_path, name):
    found = read(tmp_path / "ball.stl", stl_text({name: BALL}))
    assert_ball(found)
    assert found[0].name == "ball"


@pytest.mark.parametrize("normal", ["nan nan nan", "x y z", "", "1,0 0,0 0,0"])
def test_damaged_normals_do_not_matter(tmp_path, normal, caplog):
    (tmp_path / "ball.stl").write_text(stl_text({"ball": BALL}).replace("normal 0 0 1", f"normal {normal}"))
    result = ussim("scene", "init", tmp_path / "ball.stl", "-o", tmp_path / "scene", "--units", "mm")
    assert (result.exit_code, result.stderr) == (0, "")
    assert caplog.text == ""


def test_decimal_commas_are_refused_as_such(tmp_path):
    text = stl_text({"ball": BALL}).replace(".", ",")
    assert "allowed: three numbers each with decimal points, not commas" in refusal(tmp_path / "ball.stl", text)


def test_facets_of_four_corners_are_cut_in_two(tmp_path):
    box = trimesh.creation.box((20, 20, 20))
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    facets = []
    for quad in quads:
        rows = "\n".join("vertex {} {} {}".format(*box.vertices[one]) for one in quad)
        facets.append(f"facet normal 0 0 0\nouter loop\n{rows}\nendloop\nendfacet")
    found = read(tmp_path / "box.stl", "\n".join(["solid", *facets, "endsolid"]))
    assert len(found[0].triangles) == 12
    assert abs(trimesh.Trimesh(found[0].vertices, found[0].triangles, process=False).volume) == pytest.approx(8000)


# PLY and OFF --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("real", "fd")
def test_a_ply_of_either_byte_order_and_width_is_read(tmp_path, order, real):
    assert_ball(read(tmp_path / "ball.ply", ply_bytes(BALL, order=order, real=real)))


def prism() -> tuple[trimesh.Trimesh, list[list[int]]]:
    """Of six sides: polygons of six and of four corners."""
    points = [(10 * np.cos(a), 10 * np.sin(a), z) for z in (0, 10) for a in np.arange(6) * np.pi / 3]
    sides = [[n, (n + 1) % 6, (n + 1) % 6 + 6, n + 6] for n in range(6)]
    return trimesh.Trimesh(points, [[0, 1, 2]], process=False), [[5, 4, 3, 2, 1, 0], *sides, [6, 7, 8, 9, 10, 11]]


def prism_text(mesh: trimesh.Trimesh, polygons: list[list[int]]) -> str:
    rows = [" ".join(map(str, row)) for row in mesh.vertices.tolist()]
    return "\n".join([*rows, *(" ".join(map(str, [len(row), *row])) for row in polygons), ""])


def test_polygons_of_several_sizes_become_triangles_in_every_format(tmp_path):
    mesh, polygons = prism()
    text = prism_text(mesh, polygons)
    head = "element vertex 12\nproperty float x\nproperty float y\nproperty float z\nelement face 8\n"
    ply = f"ply\nformat ascii 1.0\n{head}property list uchar int vertex_index\nend_header\n{text}"
    files = {
        "binary.ply": ply_bytes(mesh, polygons),
        "big.ply": ply_bytes(mesh, polygons, ">", "d"),
        "text.ply": ply.encode(),
        "dos.ply": ply.replace("\n", "\r\n").encode(),
        "a.off": f"OFF\n# a comment\n12 8 0\n{text}".encode(),
        "b.off": f"OFF 12 8 18\n{text}".encode(),
    }
    for name, content in files.items():
        (surface,) = read(tmp_path / name, content)
        again = trimesh.Trimesh(surface.vertices, surface.triangles, process=False)
        assert len(again.faces) == 20, name
        assert again.volume == pytest.approx(1500 * np.sqrt(3), rel=1e-5), name


def test_colours_and_normals_of_an_off_are_not_read(tmp_path):
    mesh, polygons = prism()
    lines = prism_text(mesh, polygons).splitlines()
    text = "\n".join([*(f"{line} 0 0 1 1" for line in lines[:12]), *(f"{line} 255 0 0" for line in lines[12:])])
    for word in ("COFF", "NOFF", "CNOFF", "STOFF"):
        assert len(read(tmp_path / "a.off", f"{word}\n12 8 0\n{text}")[0].triangles) == 20


def test_triangle_strips_of_a_ply_are_read(tmp_path):
    """A tetrahedron: one strip goes round three sides, another is the fourth."""
    mesh = trimesh.Trimesh(10 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), [[0, 2, 1]], process=False)
    content = ply_bytes(mesh, [[1, 0, 2, 3, 1, -1, 0, 1, 3]], element="tristrips")
    (surface,) = read(tmp_path / "strips.ply", content)
    again = trimesh.Trimesh(surface.vertices, surface.triangles, process=False)
    assert (len(again.faces), again.is_watertight) == (4, True)
    assert abs(again.volume) == pytest.approx(1000 / 6)


def test_comments_of_a_ply_and_headers_of_an_stl_state_axes_and_units(tmp_path):
    ply = read(tmp_path / "a.ply", ply_bytes(BALL, comments=("SPACE=RAS", "units: cm")))[0].stated
    assert (ply.axes, ply.unit, ply.unit_mm) == ("RAS", "cm", 10)
    for content in (stl_bytes(BALL, b"3D Slicer output. SPACE=LPS"), stl_text({"3D Slicer output. SPACE=LPS": BALL})):
        stl = read(tmp_path / "a.stl", content)[0].stated
        assert (stl.axes, stl.unit) == ("LPS", "")


@pytest.mark.parametrize("cut", [200, 1500, 3])
def test_a_ply_that_was_cut_off_is_refused(tmp_path, cut):
    for polygons in (None, [*BALL.faces, [0, 1, 2, 3]]):
        content = ply_bytes(BALL, polygons)
        assert "was it cut off?" in refusal(tmp_path / "a.ply", content[:-cut])


@pytest.mark.parametrize("count", [10**9, 10**18, -1, "x"])
def test_a_count_that_no_data_vouch_for_is_refused(tmp_path, count):
    for name, true in (("vertex", len(BALL.vertices)), ("face", len(BALL.faces))):
        content = ply_bytes(BALL).replace(f"element {name} {true}".encode(), f"element {name} {count}".encode())
        assert "cannot be read as PLY" in refusal(tmp_path / "a.ply", content)
    assert "was it cut off?" in refusal(tmp_path / "a.off", f"OFF\n{count if count != 'x' else 9} 9 0\n0 0 0\n")


# Packed -------------------------------------------------------------------------------------------------


def zipped(path, **members: bytes | str):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return path


@pytest.mark.parametrize("ending", ["stl", "obj", "ply", "glb"])
def test_a_mesh_may_be_packed_with_gzip(tmp_path, ending):
    gltf = Gltf()
    gltf.node(mesh=gltf.mesh(gltf.primitive(BALL)))
    content = {
        "stl": stl_bytes(BALL),
        "obj": obj_text({"liver": BALL}).encode(),
        "ply": ply_bytes(BALL),
        "glb": gltf.save(tmp_path / "a.glb").read_bytes(),
    }[ending]
    path = tmp_path / f"liver.v2.{ending}.gz"
    found = read(path, gzip.compress(content))
    assert_ball(found)
    assert found[0].name == "liver_v2"
    assert len(load_mesh(path)[1]) == 320


def test_the_meshes_of_a_zip_are_called_like_its_files(tmp_path):
    gltf = Gltf()
    gltf.node(mesh=gltf.mesh(gltf.primitive(STONE)), name="Stone")
    gltf.save(tmp_path / "a.gltf", tmp_path / "my stone.bin", "my%20stone.bin")
    members = {
        "case__Skin.stl": stl_bytes(BALL),
        "case__deep__a.gltf": (tmp_path / "a.gltf").read_bytes(),
        "case__deep__my stone.bin": (tmp_path / "my stone.bin").read_bytes(),
        "case__readme.txt": "nothing",
        "case__._Skin.stl": "what a desktop writes",
    }
    path = zipped(tmp_path / "case.zip", **members)
    found = surfaces(init(path, "-o", tmp_path / "scene", "--units", "mm"))
    assert {name: len(one.triangles) for name, one in found.items()} == {"Skin": 320, "a": 320}
    assert "# From case.zip, file case/Skin.stl." in (tmp_path / "scene" / "scene.toml").read_text()


def test_a_zip_writes_nothing_and_reads_nothing_outside_of_itself(tmp_path):
    (tmp_path / "secret.bin").write_bytes(b"0" * 10_000)
    gltf = Gltf()
    gltf.node(mesh=gltf.mesh(gltf.primitive(STONE)))
    gltf.save(tmp_path / "a.gltf", None, "../secret.bin")
    path = zipped(
        tmp_path / "a.zip", **{"..__evil.stl": stl_bytes(BALL), "in__a.gltf": (tmp_path / "a.gltf").read_bytes()}
    )
    with pytest.raises(UssimError, match="lies outside of its folder"):
        read_surfaces([path])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.gltf", "a.zip", "secret.bin"]


def test_what_unpacks_to_too_much_is_refused_before_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(packed.unpack_gzip, "__defaults__", (10_000,))
    monkeypatch.setattr(packed.unpack_zip, "__defaults__", (10_000,))
    words = "once unpacked; allowed: at most that"
    assert words in refusal(tmp_path / "a.stl.gz", gzip.compress(bytes(10**7)))
    assert words in refusal(tmp_path / "a.zip", zipped(tmp_path / "b.zip", **{"a.stl": bytes(10**7)}).read_bytes())
    two = {"a.stl": bytes(6000), "b.stl": bytes(6000)}
    assert words in refusal(tmp_path / "a.zip", zipped(tmp_path / "b.zip", **two).read_bytes())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.stl.gz", b"no gzip", "cannot be read as GZ"),
        ("a.stl.gz", gzip.compress(stl_bytes(BALL), mtime=0)[:-100], "cannot be read as GZ"),
        ("a.zip", b"no zip", "cannot be read as ZIP"),
        ("a.gz", gzip.compress(b"x", mtime=0), "is no mesh format known here"),
        ("a.zip.gz", gzip.compress(b"x", mtime=0), "is no mesh format known here"),
    ],
)
def test_a_damaged_archive_is_refused_in_one_line(tmp_path, name, content, words):
    assert words in refusal(tmp_path / name, content)


def test_a_zip_without_meshes_is_refused(tmp_path):
    assert "holds no mesh file; allowed: stl" in refusal(
        tmp_path / "a.zip", zipped(tmp_path / "b.zip", **{"a.txt": "x"}).read_bytes()
    )
