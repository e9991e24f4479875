"""The gallery of a scene, and a dataset over several anatomies, through the command line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from support.commands import assert_one_line_error, ussim

from ussim.dataset.store import Dataset

SMALL = ("--set=probe.scanlines=24", "--set=probe.axial_samples=256", "--set=hq.rays=4")


def test_a_gallery_draws_the_standing_sweeps_beside_what_they_cut(ball_scene, tmp_path):
    text = (ball_scene / "scene.toml").read_text()
    before, _, after = text.partition('[[sweep]]\nname = "away"')
    standing = after.replace("axial = [0.0, 0.0, -1.0]", "axial = [0.0, 0.0, 1.0]")
    scene = shutil.copytree(ball_scene, tmp_path / "scene")
    (scene / "standing.toml").write_text(f'{before}[[sweep]]\nname = "middle"{standing}')
    result = ussim("gallery", scene / "standing.toml", "-o", tmp_path / "g", "--width", 200, "--backend", "cpu", *SMALL)
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "g").iterdir()] == ["middle.jpg"]
    with Image.open(tmp_path / "g" / "middle.jpg") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    colourful = np.ptp(pixels, axis=2) > 60
    assert not colourful[50:150, :200].any(), "the image on the left is grey"
    assert colourful[50:150, 250:].mean() > 0.1, "the segmentation on the right is not"


@pytest.mark.parametrize("name", ["../escaped", "/tmp/absolute", "..", "a/b", "con", ".hidden"])
def test_a_sweep_of_any_name_is_drawn_into_the_folder_and_nowhere_else(ball_scene, tmp_path, name):
    scene = shutil.copytree(ball_scene, tmp_path / "scene")
    file = scene / "scene.toml"
    file.write_text(file.read_text().replace('name = "exam"', f'name = "{name}"'))
    before = set(tmp_path.rglob("*"))
    where = ("-o", tmp_path / "g", "--sweep", name)
    result = ussim("gallery", scene, *where, "--width", 100, "--backend", "cpu", *SMALL)
    assert result.exit_code == 0, result.output
    (new,) = set(tmp_path.rglob("*")) - before - {tmp_path / "g"}
    assert (new.parent, new.suffix) == (tmp_path / "g", ".jpg")
    assert not new.name.startswith(".")


def test_mistakes_of_a_gallery_are_one_line(ball_scene, tmp_path):
    assert_one_line_error(ussim("gallery", ball_scene, "-o", tmp_path / "g", "--sweep", "away"), "points away")
    assert_one_line_error(ussim("gallery", ball_scene, "-o", tmp_path / "g", "--sweep", "exma"), "exma", "exam")
    (tmp_path / "file").write_text("")
    result = ussim("gallery", ball_scene, "-o", tmp_path / "file" / "g", "--sweep", "exam")
    assert_one_line_error(result, "cannot make the folder")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


def test_a_dataset_over_two_anatomies_is_rendered_from_the_cache(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    small = ("--size=60x83", "--backend=cpu", *SMALL)
    order = ("render", "--scenes", 2, "--detail", "tiny", "--weeks", "18-20", "-n", 5, "--unit", 2, *small)
    result = ussim(*order, "-o", tmp_path / "a.zarr")
    assert result.exit_code == 0, result.output
    assert ussim("verify", tmp_path / "a.zarr").exit_code == 0
    data = Dataset.open(tmp_path / "a.zarr")
    assert data.scene.tolist() == [0, 0, 0, 1, 1]
    rows = data.header.scenes
    assert [(row.seed, row.detail) for row in rows] == [(0, "tiny"), (1, "tiny")]
    assert [row.weeks for row in rows] == [19.0, 18.2]
    assert rows[0].digest != rows[1].digest
    assert "seeds 0 to 1" in ussim("info", tmp_path / "a.zarr").stdout
    plan = json.loads(ussim(*order, "-o", tmp_path / "b.zarr", "--dry-run", "--json").stdout)
    assert [row["digest"] for row in plan["scenes"]] == [row.digest for row in rows]
    assert ussim(*order, "-o", tmp_path / "a.zarr", "--resume").exit_code == 0
    refused = ussim(*order, "-o", tmp_path / "a.zarr", "--resume", "--seed", 3)
    assert_one_line_error(refused, "seed is 0 in the store and 3 here")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["either a SCENE or --scenes N"]),
        (["--scenes", "0"], ["scenes = 0"]),
        (["--scenes", "3", "--detail", "huge"], ["huge", "tiny"]),
        (["--scenes", "3", "--weeks", "12-20"], ["weeks", "12", "16"]),
        (["--scenes", "3", "--weeks", "old"], ["--weeks old", "18-30"]),
        (["--scenes", "9"], ["frames = 4", "9 scenes"]),
        (["--scenes", "2", "--anatomy-seed", "-1"], ["seed", "-1"]),
    ],
)
def test_mistakes_with_several_anatomies_are_one_line(tmp_path, arguments, words):
    assert_one_line_error(ussim("render", *arguments, "-o", tmp_path / "a.zarr", "-n", 4), *words)
    assert not list(tmp_path.iterdir())


def test_a_scene_and_several_anatomies_exclude_each_other(ball_scene, tmp_path):
    assert_one_line_error(ussim("render", ball_scene, "--scenes", 2, "-o", tmp_path / "a", "-n", 4), "either")
    assert_one_line_error(ussim("render", ball_scene, "--weeks", 20, "-o", tmp_path / "a", "-n", 4), "go with --scenes")
