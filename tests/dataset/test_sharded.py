"""Shards: the frames of a unit in one file are read, checked and written anew as single ones are."""

from __future__ import annotations

import struct
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from support.jobs import FakeRenderer, ball_plan

from ussim.dataset import job
from ussim.dataset.layout import create_array
from ussim.dataset.local_place import LocalPlace
from ussim.dataset.schema import array_specs, frame_spec
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError

FRAMES, UNIT = 10, 4  # the last shard is half empty


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """A sharded store in a folder, where it can be damaged."""
    monkeypatch.setattr(LocalPlace, "sharded", True)
    return job.run(ball_plan(frames=FRAMES), tmp_path / "a.zarr", make_renderer=FakeRenderer).path


class Shard:
    """A file of frames, and its index of (offset, length)."""

    def __init__(self, store: Path, name: str, unit: int):
        self.file = store / name / "c" / str(unit) / "0" / "0"
        self.data = self.file.read_bytes()
        self.index = np.frombuffer(self.data[-16 * UNIT - 4 : -4], "<u8").reshape(UNIT, 2).copy()

    def write(self, index: np.ndarray, data: bytes | None = None) -> None:
        """Another index, with a sound checksum."""
        index_bytes = index.astype("<u8").tobytes()
        checksum = numcodecs.CRC32C().encode(index_bytes)[-4:]
        self.file.write_bytes((data or self.data[: -16 * UNIT - 4]) + index_bytes + bytes(checksum))


def test_a_sharded_store_holds_the_same_as_one_of_single_frames(store, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalPlace, "sharded", False)
    plain = Dataset.open(job.run(ball_plan(frames=FRAMES), tmp_path / "b.zarr", make_renderer=FakeRenderer).path)
    sharded = Dataset.open(store)
    assert (sharded.header.sharded, plain.header.sharded) == (True, False)
    assert "sharded" not in plain.attrs
    for name in array_specs(plain.header):
        np.testing.assert_array_equal(sharded.read(name), plain.read(name))
    assert sharded.digest == plain.digest, "a training knows it again"
    assert len(list((store / "hq" / "c").glob("*/0/0"))) == 3
    assert verify(store).problems == []


def test_two_sharded_stores_of_one_plan_have_the_same_bytes(store, tmp_path):
    other = job.run(ball_plan(frames=FRAMES), tmp_path / "b.zarr", make_renderer=FakeRenderer).path
    for file in (path for path in store.rglob("*") if path.is_file()):
        assert file.read_bytes() == (other / file.relative_to(store)).read_bytes(), file


@pytest.mark.parametrize("name", ["lq", "segmentation", "attenuation"])
def test_one_frame_that_is_missing_in_a_shard_is_no_black_frame(store, name):
    shard = Shard(store, name, 1)
    shard.index[2] = 2**64 - 1
    shard.write(shard.index)
    with pytest.raises(UssimError, match=f"array '{name}' has no frame 6: not rendered, or its chunk is lost"):
        Dataset.open(store).frame(6)
    assert Dataset.open(store).frame(5).index == 5
    assert verify(store).problems == [f"{name}: frame 6 is marked done but its chunk is missing"]


def test_frames_that_were_swapped_in_a_shard_are_found(store):
    shard = Shard(store, "hq", 0)
    shard.write(shard.index[[2, 1, 0, 3]])
    found = "is not what was written there: of another frame, array or store, or changed"
    assert verify(store).problems == [f"hq: frame {frame} {found}" for frame in (0, 2)]
    with pytest.raises(UssimError, match="frame 2: not what was written there"):
        Dataset.open(store).frame(2)


def test_a_frame_that_was_edited_is_found(store):
    group = zarr.open_group(store, mode="r+")
    group["hq"][3] = group["hq"][3] // 2
    assert [problem.partition(" is not")[0] for problem in verify(store).problems] == ["hq: frame 3"]


@pytest.mark.parametrize("damage", ["flip a frame", "flip the index", "cut", "empty", "lose"])
def test_a_damaged_shard_is_found_and_its_unit_is_written_anew(store, damage):
    file = store / "attenuation" / "c" / "2" / "0" / "0"
    whole = file.read_bytes()
    match damage:
        case "flip a frame":
            file.write_bytes(whole[:20] + bytes([whole[20] ^ 4]) + whole[21:])
        case "flip the index":
            file.write_bytes(whole[:-10] + bytes([whole[-10] ^ 4]) + whole[-9:])
        case "cut":
            file.write_bytes(whole[:-30])
        case "empty":
            file.write_bytes(b"")
        case "lose":
            file.unlink()
    problems = verify(store).problems
    assert any("attenuation" in problem for problem in problems), problems
    with pytest.raises(UssimError, match="attenuation"):
        Dataset.open(store).frame(8)
    (store / "done" / "c" / "2").unlink()
    assert job.run(ball_plan(frames=FRAMES), store, make_renderer=FakeRenderer, resume=True).rendered == 2
    assert file.read_bytes() == whole
    assert verify(store).problems == []


def test_a_frame_that_would_unfold_to_gigabytes_is_refused_before_it_does(store):
    bomb = bytes(numcodecs.Zstd(level=19).encode(np.zeros(64 << 20, np.uint8))) + struct.pack("<I", 0)
    shard = Shard(store, "lq", 0)
    shard.index[1] = (len(shard.data), len(bomb))
    shard.write(shard.index, shard.data + bomb)
    for read in (lambda data: data.read_frame("lq", 1), lambda data: data.read("lq", slice(0, 4))):
        with pytest.raises(UssimError, match="says that it holds 67108864 bytes, not 792"):
            read(Dataset.open(store))


def test_a_shard_that_is_much_too_large_is_not_read(store):
    with Shard(store, "lq", 0).file.open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(UssimError, match="has 1,073,741,824 bytes, which is too much"):
        Dataset.open(store).read_frame("lq", 1)


def test_an_array_of_others_has_a_file_for_each_frame(store):
    data = Dataset.open(store)
    group = zarr.open_group(store, mode="r+")
    array = create_array(group, "enhanced", frame_spec(FRAMES, data.header.image), made_by="somebody")
    array[5] = data.hq[5]
    assert verify(store).problems == []
    assert Dataset.open(store).read_frame("enhanced", 5).any()
    with pytest.raises(UssimError, match="'enhanced' has no frame 4"):
        Dataset.open(store).read_frame("enhanced", 4)


def test_a_header_that_says_otherwise_than_the_arrays_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalPlace, "sharded", False)
    plain = job.run(ball_plan(frames=FRAMES), tmp_path / "b.zarr", make_renderer=FakeRenderer).path
    (plain / "zarr.json").write_bytes((store / "zarr.json").read_bytes())
    with pytest.raises(UssimError, match="array 'lq' has shape, chunks, dtype, shards"):
        Dataset.open(plain)


def test_a_store_is_gone_on_with_as_it_was_begun(store, monkeypatch):
    monkeypatch.setattr(LocalPlace, "sharded", False)
    (store / "done" / "c" / "1").unlink()
    assert job.run(ball_plan(frames=FRAMES), store, make_renderer=FakeRenderer, resume=True).rendered == 4
    assert verify(store).problems == []
