"""Built scenes in the cache, and folders that already hold something."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import pytest

from meshes import (
    MeshesError,
    OutputError,
    SettingError,
    SurfaceError,
    build_scene,
    cache_folder,
    cached_scene,
    place_cached_scene,
)
from meshes import build as build_module
from meshes import cache as cache_module
from meshes.folder import MARK, new_scene
from ussim.errors import UssimError
from ussim.scene.scene import Scene


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def quick_build(monkeypatch):
    """A build that takes no time; returns the list of what was built."""
    built = []

    def build(detail, folder, seed, weeks, progress):
        built.append((detail, seed, weeks))
        with new_scene(folder) as scratch:
            (scratch / "meshes" / "fetal_skin.ply").write_text(f"{seed}")
            (scratch / "scene.toml").write_text(f'# {MARK}\nmesh = "meshes/fetal_skin.ply"\n')
        return folder / "scene.toml"

    monkeypatch.setattr(cache_module, "build_scene", build)
    return built


def test_a_scene_is_built_once_and_then_taken_from_the_cache(quick_build):
    first = cached_scene("tiny", 3, 20)
    assert cached_scene("tiny", 3, 20.0) == first
    assert quick_build == [("tiny", 3, 20.0)]
    assert first.parent.parent == cache_folder()
    assert cached_scene("tiny", 4, 20) != first
    assert len(list(cache_folder().iterdir())) == 2, "nothing half-built is left"


def test_the_key_changes_with_the_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_SOURCES", (tmp_path,))
    (tmp_path / "a.py").write_text("one")
    before = cache_module.scene_key("tiny", 0, 22.0)
    (tmp_path / "a.py").write_text("two")
    assert cache_module.scene_key("tiny", 0, 22.0) != before


@pytest.mark.parametrize("room", ["importing", "phantoms"])
def test_the_key_does_not_change_with_sources_that_shape_no_anatomy(tmp_path, monkeypatch, room):
    monkeypatch.setattr(cache_module, "_SOURCES", (tmp_path,))
    before = cache_module.scene_key("tiny", 0, 22.0)
    (tmp_path / room).mkdir()
    (tmp_path / room / "a.py").write_text("one")
    assert cache_module.scene_key("tiny", 0, 22.0) == before


def test_the_cache_lies_where_the_standard_says(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache" / "ussim" / "scenes"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ussim" / "scenes"


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path, quick_build):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(OutputError) as caught:
        cached_scene("tiny")
    text = str(caught.value)
    assert "\n" not in text
    assert str(cache_folder()) in text
    assert "choose another folder with XDG_CACHE_HOME" in text


def test_a_bad_setting_is_found_before_the_cache_is_touched(tmp_path):
    for arguments in (("huge",), ("tiny", -1), ("tiny", 0, 99)):
        with pytest.raises(SettingError):
            cached_scene(*arguments)
    assert not (tmp_path / "cache").exists()


def test_a_build_copies_the_cached_scene_and_removes_meshes_of_the_last_one(tmp_path, quick_build):
    out = tmp_path / "scene"
    with new_scene(out) as scratch:
        (scratch / "meshes" / "old_organ.ply").write_text("stale")
        (scratch / "scene.toml").write_text(f'# {MARK}\nmesh = "meshes/old_organ.ply"\n')
    assert place_cached_scene("tiny", out, seed=7) == out / "scene.toml"
    assert [mesh.name for mesh in (out / "meshes").iterdir()] == ["fetal_skin.ply"]
    assert (out / "meshes" / "fetal_skin.ply").read_text() == "7"


@pytest.mark.parametrize("damage", ["empty", "changed", "lost", "no list"])
@pytest.mark.parametrize("file", ["scene.toml", "meshes/fetal_skin.ply"])
def test_a_cached_scene_that_is_not_as_it_was_built_is_built_again(tmp_path, quick_build, file, damage):
    folder = cached_scene("tiny", 3).parent
    match damage:
        case "empty":
            (folder / file).write_text("")
        case "changed":
            (folder / file).write_text((folder / file).read_text() + " ")
        case "lost":
            (folder / file).unlink()
        case "no list":
            (folder / "built.json").unlink()
    out = place_cached_scene("tiny", tmp_path / "scene", seed=3).parent
    assert len(quick_build) == 2
    assert (out / "meshes" / "fetal_skin.ply").read_text() == "3"


@pytest.mark.parametrize("name", ["scene.toml", "tissues.toml", "meshes/fetal_skin.ply"])
def test_a_file_that_was_edited_since_it_was_built_is_refused_and_kept(old_scene, name):
    (old_scene / name).write_text("hours of work")
    before = content(old_scene)
    with pytest.raises(OutputError, match=r"was (changed since it was built|not made by this command)"):
        place_cached_scene("tiny", old_scene, seed=8)
    assert content(old_scene) == before


def test_a_mesh_that_was_added_to_a_built_scene_is_refused_and_kept(old_scene):
    (old_scene / "meshes" / "tumour.ply").write_text("mine")
    with pytest.raises(OutputError, match=r"tumour\.ply was not made by this command"):
        place_cached_scene("tiny", old_scene, seed=8)
    assert (old_scene / "meshes" / "tumour.ply").read_text() == "mine"


@pytest.mark.parametrize("name", ["../outside.ply", "/etc/passwd", "meshes/../../outside.ply", "notes.txt"])
def test_a_list_of_what_was_built_that_names_other_files_is_refused(old_scene, name):
    outside = old_scene.parent / "outside.ply"
    outside.write_text("theirs")
    (old_scene / "built.json").write_text(json.dumps({"files": {name: ["ab"]}}))
    with pytest.raises(OutputError, match="no place of a file of a scene"):
        place_cached_scene("tiny", old_scene, seed=8)
    assert outside.read_text() == "theirs"
    assert (old_scene / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("files", [["meshes/mine.ply"], ["scene.toml"]])
def test_what_somebody_else_made_is_refused_and_kept(tmp_path, quick_build, files):
    out = tmp_path / "scene"
    (out / "meshes").mkdir(parents=True)
    for name in files:
        (out / name).write_text("years of work")
    with pytest.raises(OutputError, match="was not made by this command"):
        place_cached_scene("tiny", out)
    assert all((out / name).read_text() == "years of work" for name in files)


@pytest.fixture
def old_scene(tmp_path, quick_build):
    """A folder with a built scene and a file of the user's."""
    out = place_cached_scene("tiny", tmp_path / "scene", seed=7).parent
    (out / "notes.txt").write_text("mine")
    return out


def content(folder) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("end", [KeyboardInterrupt, SurfaceError("not closed"), OSError(28, "No space left on device")])
@pytest.mark.parametrize("cached", [True, False])
def test_a_build_that_ends_early_leaves_the_old_scene_whole(old_scene, monkeypatch, end, cached):
    before = content(old_scene)

    def stop(*arguments):
        raise end

    monkeypatch.setattr(cache_module, "build_scene", stop)
    monkeypatch.setattr(build_module, "plan_anatomy", stop)
    with pytest.raises((KeyboardInterrupt, MeshesError)):
        (place_cached_scene if cached else build_scene)("tiny", old_scene, seed=8)
    assert content(old_scene) == before


@pytest.mark.parametrize("at", range(1, 6))
def test_a_build_killed_while_it_replaces_the_old_scene_leaves_none_and_the_next_one_mends_it(
    old_scene, monkeypatch, at
):
    replace, calls = os.replace, []

    def killed(source, target):
        calls.append(target)
        if len(calls) == at:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with suppress(KeyboardInterrupt):
            place_cached_scene("tiny", old_scene, seed=7)
    if (old_scene / "scene.toml").is_file():
        assert (old_scene / "meshes" / "fetal_skin.ply").read_text() == "7"
    else:
        with pytest.raises(UssimError, match="no scene here"):
            Scene.load(old_scene)
    place_cached_scene("tiny", old_scene, seed=9)
    kept = content(old_scene)
    kept.pop("built.json")
    assert kept == {
        "meshes/fetal_skin.ply": "9", "notes.txt": "mine", "scene.toml": f'# {MARK}\nmesh = "meshes/fetal_skin.ply"\n'
    }  # fmt: skip
