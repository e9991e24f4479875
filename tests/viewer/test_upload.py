"""Files that somebody drops on the page."""

from __future__ import annotations

import pytest
from support.mesh_files import ball, stl_bytes

from cli.viewer import upload
from ussim.errors import UssimError


@pytest.mark.parametrize(
    ("name", "how"),
    [("a.stl", "init"), ("A.STL", "init"), ("b.glb", "init"), ("c.obj.gz", "init"), ("d.zip", "init"),
     ("e.nii.gz", "from-labels"), ("f.nrrd", "from-labels"), ("g.MHA", "from-labels")],
)  # fmt: skip
def test_a_file_is_told_by_its_name(name, how):
    assert upload.kind_of(name) == how


@pytest.mark.parametrize("name", ["x.exe", "x", "x.py", "stl", "x.toml", ".nii.sh"])
def test_other_files_are_refused(name):
    with pytest.raises(UssimError, match="neither a mesh"):
        upload.kind_of(name)


def test_sizes_are_limited():
    upload.require_size("a.stl", upload.MOST_BYTES)
    with pytest.raises(UssimError, match=r"a\.stl: 201 MB; allowed: at most 200 MB"):
        upload.require_size("a.stl", 201_000_000)
    with pytest.raises(UssimError, match="the file is empty"):
        upload.require_size("a.stl", 0)


@pytest.mark.parametrize("text", ["liver", "--repair", "a=b=c", "1=soft_tissue --side=+x;", "a=../x"])
def test_tissues_that_are_no_pairs_are_refused(text):
    with pytest.raises(UssimError, match="write NAME=TISSUE"):
        upload.tissue_pairs(text)


def test_a_mesh_becomes_a_scene_and_its_check_is_told(tmp_path):
    lines: list[str] = []
    name = "../../etc/my liver.stl"
    scene = upload.make_scene(name, stl_bytes(ball(60.0)), tmp_path / "up", ["my_liver=liver"], say=lines.append)
    assert [one.tissue for one in scene.surfaces] == ["liver"]
    assert any("120" in line for line in lines)  # its size, for people
    assert sorted(path.name for path in (tmp_path / "up").iterdir()) == ["my_liver.stl", "scene"]
    assert [path.name for path in tmp_path.iterdir()] == ["up"]


def test_a_bad_mesh_is_refused_in_the_words_of_the_check(tmp_path):
    with pytest.raises(UssimError, match=r"bad\.stl"):
        upload.make_scene("bad.stl", b"solid nothing\n", tmp_path / "up")
    with pytest.raises(UssimError, match="tissue"):
        upload.make_scene("b.stl", stl_bytes(ball(60.0)), tmp_path / "other", ["b=no_such_tissue"])


def test_a_check_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "MOST_SECONDS", 0.01)
    with pytest.raises(UssimError, match=r"b\.stl: not checked within"):
        upload.make_scene("b.stl", stl_bytes(ball(60.0)), tmp_path / "up")
