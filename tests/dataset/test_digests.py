"""What a store holds is what was written there: swapped, copied, relabelled and edited data are found."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from support.fuzz import only_mistakes_are_refused
from support.jobs import FakeRenderer, all_files, ball_plan

from ussim.dataset import job
from ussim.dataset.packing import unpacked_bytes
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError

FRAMES = 6


def chunk_file(store: Path, name: str, frame: int) -> Path:
    return store / name / "c" / str(frame) / "0" / "0"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digests")
    job.run(ball_plan(frames=FRAMES, seed=1), folder / "other.zarr", make_renderer=FakeRenderer)
    return job.run(ball_plan(frames=FRAMES), folder / "a.zarr", make_renderer=FakeRenderer).path


@pytest.fixture
def store(rendered, tmp_path) -> Path:
    """A store that may be changed."""
    return Path(shutil.copytree(rendered, tmp_path / "a.zarr"))


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def faults(store: Path) -> set[str]:
    """Array and frame of each fault that verify finds."""
    return {problem.partition(" is not what was written")[0] for problem in verify(store).problems}


@pytest.mark.parametrize("name", ["lq", "hq", "segmentation", "attenuation"])
def test_frames_that_were_swapped_are_found(store, name):
    if name == "segmentation":  # those of a ball are all alike: an honest swap of equals is none
        Dataset.open(store, mode="r+").segmentation[4] = Dataset.open(store).mask * np.uint8(2)
        assert faults(store) == {"segmentation: frame 4"}
        return
    swap(chunk_file(store, name, 1), chunk_file(store, name, 3))
    assert faults(store) == {f"{name}: frame 1", f"{name}: frame 3"}


def test_images_of_one_frame_that_were_swapped_are_found(store):
    swap(chunk_file(store, "lq", 2), chunk_file(store, "hq", 2))
    assert faults(store) == {"lq: frame 2", "hq: frame 2"}


def test_whole_units_that_were_swapped_with_their_digests_are_found(store):
    for name in ("lq", "hq", "segmentation", "attenuation"):
        for frame in (0, 1):
            swap(chunk_file(store, name, frame), chunk_file(store, name, frame + 4))
    for name in ("digest/c/{}/0/0", "attenuation_scale/c/{}"):
        swap(store / name.format(0), store / name.format(1))
    assert {f"lq: frame {frame}" for frame in range(FRAMES)} <= faults(store)


def test_a_unit_of_another_store_of_the_same_scene_is_found(store, rendered):
    other = rendered.with_name("other.zarr")
    for name in ("lq/c/5/0/0", "digest/c/1/0/0"):
        shutil.copyfile(other / name, store / name)
    assert "lq: frame 5" in faults(store)
    assert "hq: frame 4" in faults(store), "the digests themselves are of another store"


def test_poses_and_scales_that_were_edited_are_found(store):
    group = zarr.open_group(store, mode="r+")
    poses = group["pose"][...]
    poses[3, 0, 3] += 50
    group["pose"][...] = poses
    group["attenuation_scale"][1] = 0.5
    assert faults(store) == {"pose: frame 3", "attenuation_scale: frame 1"}


def test_what_is_read_is_compared_with_its_digest(store):
    shutil.copyfile(chunk_file(store, "hq", 0), chunk_file(store, "hq", 5))
    dataset = Dataset.open(store)
    assert dataset.frame(4).index == 4
    for read in (dataset.frame, lambda frame: dataset.read_frame("hq", frame)):
        with pytest.raises(UssimError, match="array 'hq', frame 5: not what was written there"):
            read(5)


SETTINGS = [
    ("seed", 3), ("scene", {"name": "ball", "digest": "ab" * 32}), ("ussim_version", "9"), ("backend", "cuda"),
    ("split_seed", 5), ("sweep", "other"), ("tgc_db", [0.0] * 64),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), SETTINGS, ids=[key for key, _ in SETTINGS])
def test_an_attribute_that_was_edited_is_found_by_whoever_opens_the_store(store, key, value):
    group = json.loads((store / "zarr.json").read_text())
    group["attributes"][key] = value
    (store / "zarr.json").write_text(json.dumps(group))
    for use in (Dataset.open, verify):
        with pytest.raises(UssimError, match="damaged attributes: not those that were written"):
            use(store)


def test_every_number_and_word_of_the_attributes_is_covered_by_their_digest(store):
    whole = (store / "zarr.json").read_text()
    attributes = json.loads(whole)["attributes"]

    def places(value: object, path: tuple = ()):
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in inner:
            yield from places(one, (*path, key))
        if not isinstance(value, dict | list):
            yield path

    paths = list(places(attributes))
    assert len(paths) > 100
    for path in paths:
        group = json.loads(whole)
        place = group["attributes"]
        for key in path[:-1]:
            place = place[key]
        old = place[path[-1]]
        place[path[-1]] = old + 1 if isinstance(old, int | float) else f"{old}x"
        (store / "zarr.json").write_text(json.dumps(group))
        with pytest.raises(UssimError):
            Dataset.open(store)


@pytest.mark.parametrize(
    ("key", "value"), [("fill_value", 7), ("dimension_names", ["a", "b", "c"]), ("attributes", {"by": "me"})]
)
def test_metadata_of_an_array_that_were_edited_are_found(store, key, value):
    file = store / "lq" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    assert any(problem.startswith(f"lq: {key} is ") for problem in verify(store).problems)


def test_a_store_that_was_begun_is_not_gone_on_with_once_its_poses_have_changed(store):
    (store / "done" / "c" / "1").unlink()
    group = zarr.open_group(store, mode="r+")
    poses = group["pose"][...]
    group["pose"][...] = poses[::-1]
    with pytest.raises(UssimError, match="its poses are not those of sweep 'exam'"):
        job.run(ball_plan(frames=FRAMES), store, resume=True, make_renderer=FakeRenderer)


# What is no chunk -------------------------------------------------------------------------------------


def test_a_chunk_that_would_unfold_to_gigabytes_is_refused_before_it_does(store):
    bomb = numcodecs.Zstd(level=19).encode(np.zeros(64 << 20, np.uint8))
    file = chunk_file(store, "lq", 0)
    file.write_bytes(bomb + struct.pack("<I", 0))
    with pytest.raises(UssimError, match="says that it holds 67108864 bytes, not 792"):
        Dataset.open(store).read_frame("lq", 0)
    assert any("frame 0" in problem for problem in verify(store).problems)


@pytest.mark.parametrize("name", ["zarr.json", "lq/zarr.json", "pose/c/0/0/0", "lq/c/1/0/0", "done/c/0"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "endless"])
def test_what_is_no_ordinary_file_neither_hangs_nor_fills_the_memory(store, name, kind):
    (store / name).unlink()
    if kind == "pipe":
        os.mkfifo(store / name)
    elif kind == "folder":
        (store / name).mkdir()
    else:
        (store / name).symlink_to("/dev/zero")
    start = time.monotonic()
    with only_mistakes_are_refused():
        assert verify(store).problems
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_791, 65_792, 1 << 20])
def test_the_size_that_a_packed_chunk_says_it_has_is_read(size):
    assert unpacked_bytes(numcodecs.Zstd().encode(bytes(size))[:18]) == size


def test_something_else_than_a_packed_chunk_says_no_size():
    assert unpacked_bytes(b"") is None
    assert unpacked_bytes(b"\x28\xb5\x2f\xfd") is None
    assert unpacked_bytes(bytes(18)) is None


def test_a_header_that_promises_many_frames_costs_little(rendered, tmp_path):
    plan = ball_plan(frames=200_000)
    Dataset.create(tmp_path / "a.zarr", plan.header(), plan.poses, plan.settings.probe.mask())
    shutil.rmtree(tmp_path / "a.zarr" / "pose" / "c")
    before = all_files(tmp_path / "a.zarr")
    assert not Dataset.open(tmp_path / "a.zarr").done.any()
    assert any("25000 of 25000" in problem or "units are not rendered" in problem
               for problem in verify(tmp_path / "a.zarr").problems)  # fmt: skip
    assert all_files(tmp_path / "a.zarr") == before
