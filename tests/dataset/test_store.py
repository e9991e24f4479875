"""The store: what goes in comes out, the same settings give the same bytes, damage is found and named."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from support.tables import tissue_rows

from ussim.dataset.digests import attributes_digest
from ussim.dataset.schema import Header, array_specs, make_split
from ussim.dataset.store import Dataset, StoreExistsError
from ussim.dataset.verify import verify
from ussim.errors import UssimError
from ussim.probe.probe import ConvexProbe

HEIGHT, WIDTH = 16, 20
PROBE = ConvexProbe(image_height=HEIGHT, image_width=WIDTH)
MASK = PROBE.mask()


def make_header(frames: int = 10, unit_frames: int = 4, qualities: tuple[str, ...] = ("lq", "hq")) -> Header:
    return Header(
        ussim_version="1.2.3",
        scene={"name": "ball", "digest": "ab" * 32},
        sweep="exam",
        frames=frames,
        unit_frames=unit_frames,
        seed=7,
        split_seed=7,
        backend="cpu",
        image={"height": HEIGHT, "width": WIDTH, "mm_per_pixel": 0.1572, "origin_mm": (-1.25, 0.1)},
        probe=PROBE.model_dump(mode="json"),
        imaging={"dynamic_range_db": 60.0},
        qualities={name: {"rays": 1, "layers": 1} for name in qualities},
        tissues=tissue_rows(tissue_1={}, tissue_2={}, tissue_3={}),
        tgc_db=[0.0, 0.1, 0.2],
    )


def make_poses(frames: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = np.arange(frames) / 3
    return poses


def unit_data(header: Header, unit: int) -> dict[str, np.ndarray]:
    """Made-up but valid data of a unit, the same at every call."""
    n = len(header.unit_range(unit))
    random = np.random.default_rng([header.seed, unit])
    names = sorted(header.qualities)
    data = {name: random.integers(0, 256, (n, HEIGHT, WIDTH), np.uint8) * MASK for name in names}
    data["segmentation"] = random.integers(1, 4, (n, HEIGHT, WIDTH), np.uint8) * MASK
    data["attenuation"] = random.random((n, HEIGHT, WIDTH), np.float32) * MASK
    data["attenuation_scale"] = random.uniform(0.5, 0.9, n).astype(np.float32)
    return data


def make_store(path: Path, header: Header | None = None, units: range | None = None) -> Dataset:
    header = header or make_header()
    dataset = Dataset.create(path, header, make_poses(header.frames), MASK)
    for unit in units if units is not None else range(header.units):
        dataset.write_unit(unit, unit_data(header, unit))
    return dataset


def all_files(path: Path) -> dict[str, bytes]:
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


# Round trip -------------------------------------------------------------------------------------------


def test_a_frame_comes_back_as_it_was_written(tmp_path):
    header = make_store(tmp_path / "a.zarr").header
    dataset = Dataset.open(tmp_path / "a.zarr")
    written, frame = unit_data(header, 2), dataset.frame(9)  # unit 2 is the short last one: frames 8 and 9
    np.testing.assert_array_equal(frame.lq, written["lq"][1])
    np.testing.assert_array_equal(frame.hq, written["hq"][1])
    np.testing.assert_array_equal(frame.segmentation, written["segmentation"][1])
    np.testing.assert_array_equal(frame.attenuation, written["attenuation"][1].astype(np.float16))
    assert frame.attenuation_scale == written["attenuation_scale"][1]
    np.testing.assert_array_equal(frame.pose, make_poses(10)[9])
    np.testing.assert_array_equal(frame.mask, MASK)
    assert frame.is_test == bool(make_split(10, 7)[9])
    assert dataset.frame(-1).index == 9
    assert dataset.header == header


def test_a_store_has_the_arrays_of_schema_2(tmp_path):
    make_store(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    found = {
        name: (array.shape, array.chunks, str(array.dtype), array.metadata.dimension_names)
        for name, array in group.arrays()
    }
    frame = ((10, 16, 20), (1, 16, 20))
    yx = ("frame", "y", "x")
    assert found == {
        "lq": (*frame, "uint8", yx),
        "hq": (*frame, "uint8", yx),
        "segmentation": (*frame, "uint8", yx),
        "attenuation": (*frame, "float16", yx),
        "attenuation_scale": ((10,), (4,), "float32", ("frame",)),
        "mask": ((16, 20), (16, 20), "uint8", ("y", "x")),
        "pose": ((10, 4, 4), (10, 4, 4), "float64", ("frame", "row", "column")),
        "split": ((10,), (10,), "uint8", ("frame",)),
        "digest": ((10, 6, 16), (4, 6, 16), "uint8", ("frame", "array", "byte")),
        "done": ((3,), (1,), "uint8", ("unit",)),
    }
    for name in found:
        codecs = json.loads((tmp_path / "a.zarr" / name / "zarr.json").read_text())["codecs"]
        assert [codec["name"] for codec in codecs] == ["bytes", "zstd", "crc32c"]
        assert codecs[1]["configuration"]["level"] == 1
    assert group.attrs["schema_version"] == 2


def test_the_same_data_give_the_same_files_in_any_order_of_writing(tmp_path):
    make_store(tmp_path / "a.zarr", units=range(3))
    make_store(tmp_path / "b.zarr", units=range(2, -1, -1))
    assert all_files(tmp_path / "a.zarr") == all_files(tmp_path / "b.zarr")


def test_a_black_frame_still_has_its_chunk(tmp_path):
    header = make_header(frames=2)
    dataset = make_store(tmp_path / "a.zarr", header, units=range(0))
    data = unit_data(header, 0)
    data["lq"] = np.zeros_like(data["lq"])
    dataset.write_unit(0, data)
    assert not Dataset.open(tmp_path / "a.zarr").frame(1).lq.any()
    assert verify(tmp_path / "a.zarr").ok


def test_a_store_of_one_quality_holds_only_that(tmp_path):
    dataset = make_store(tmp_path / "a.zarr", make_header(qualities=("hq",)))
    assert dataset.qualities == ("hq",)
    assert not (tmp_path / "a.zarr" / "lq").exists()
    assert dataset.frame(0).hq.any()
    with pytest.raises(UssimError, match="holds no 'lq'"):
        _ = dataset.lq
    with pytest.raises(UssimError, match="frame 0 has no lq image"):
        _ = dataset.frame(0).lq
    assert verify(tmp_path / "a.zarr").ok


def test_the_description_counts_units(tmp_path):
    dataset = make_store(tmp_path / "a.zarr", units=range(2))
    assert "10 frames of 16 × 20, lq + hq, 2 of 3 units done" in repr(dataset)
    assert len(dataset) == dataset.frames == 10
    assert dataset.done.tolist() == [True, True, False]
    assert not dataset.complete


# Split ------------------------------------------------------------------------------------------------


def test_the_split_is_the_papers_share_and_depends_on_seed_and_frames_alone():
    assert make_split(6669, 0).sum() == 669
    assert make_split(10, 3).sum() == 1
    np.testing.assert_array_equal(make_split(500, 1), make_split(500, 1))
    assert (make_split(500, 1) != make_split(500, 2)).any()
    # a value once given stays: another permutation would mix test frames into training
    assert np.flatnonzero(make_split(40, 0)).tolist() == [3, 7, 13, 15]


# Creating and opening ---------------------------------------------------------------------------------


def test_of_many_who_create_one_store_exactly_one_succeeds(tmp_path):
    def create(_):
        try:
            make_store(tmp_path / "a.zarr", units=range(0))
        except StoreExistsError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]
    assert Dataset.open(tmp_path / "a.zarr").frames == 10


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_create_touches_nothing_that_exists(tmp_path, taken):
    path = tmp_path / "a.zarr"
    if taken == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "mine").write_text("mine")
    before = all_files(tmp_path)
    with pytest.raises(UssimError, match="exists already"):
        make_store(path)
    assert all_files(tmp_path) == before


def _make_a_group_of(array: Path) -> None:
    shutil.rmtree(array)
    zarr.create_group(array, zarr_format=3)


def _set_attribute(path: Path, **attributes) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"] |= attributes
    metadata["attributes"]["sha256"] = attributes_digest(metadata["attributes"])
    (path / "zarr.json").write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: shutil.rmtree(path), "no such store"),
        (lambda path: (path / "zarr.json").unlink(), "not a Zarr v3 store"),
        (lambda path: (path / "zarr.json").write_text("{"), "not a ussim store"),
        (lambda path: [(path / "zarr.json").unlink(), (path / "zarr.json").mkdir()], "cannot read zarr.json"),
        (lambda path: (path / "zarr.json").write_text('{"attributes": {}}'), "not a ussim store"),
        (lambda path: _set_attribute(path, schema_version=3), "schema version 3; this ussim reads versions 1 to 2"),
        (lambda path: _set_attribute(path, frames="many"), "damaged attributes: frames"),
        (lambda path: _set_attribute(path, frames=11), "array 'lq' has shape"),
        (lambda path: shutil.rmtree(path / "hq"), "damaged store.*hq"),
        (lambda path: _make_a_group_of(path / "hq"), "damaged store.*hq is no array but a group"),
    ],
)
def test_what_is_no_store_of_this_schema_is_refused_by_name(tmp_path, damage, message):
    make_store(tmp_path / "a.zarr", units=range(0))
    damage(tmp_path / "a.zarr")
    with pytest.raises(UssimError, match=message) as caught:
        Dataset.open(tmp_path / "a.zarr")
    assert str(tmp_path / "a.zarr") in str(caught.value)
    assert "\n" not in str(caught.value)


# Writing ----------------------------------------------------------------------------------------------


def test_a_unit_that_does_not_fit_is_not_written(tmp_path):
    header = make_header()
    dataset = make_store(tmp_path / "a.zarr", header, units=range(0))
    before = all_files(tmp_path)
    short = {name: values[:2] for name, values in unit_data(header, 0).items()}
    without_hq = {name: values for name, values in unit_data(header, 0).items() if name != "hq"}
    for data, message in ((short, "shape"), (without_hq, "needs")):
        with pytest.raises(ValueError, match=message):
            dataset.write_unit(0, data)
    assert all_files(tmp_path) == before


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5, -7e4])
def test_a_value_that_is_not_finite_as_it_is_stored_is_not_written(tmp_path, value):
    header = make_header()
    dataset = make_store(tmp_path / "a.zarr", header, units=range(0))
    before = all_files(tmp_path)
    data = unit_data(header, 1)
    data["attenuation"][2, 3, 3] = value  # float32: the larger ones become infinite as float16 only
    with pytest.raises(UssimError) as caught:
        dataset.write_unit(1, data)
    assert str(caught.value) == (
        f"{dataset.path}: unit 1: attenuation holds {value:g}; allowed: what is finite as float16"
    )
    assert all_files(tmp_path) == before


def test_half_written_files_of_a_killed_process_are_removed_when_the_unit_is_written_again(tmp_path):
    header = make_header()
    dataset = make_store(tmp_path / "a.zarr", header)
    whole = all_files(tmp_path)
    for name in ("lq/c/5/0/0.0a1b.partial", "attenuation_scale/c/1.77.partial", "done/c/1.12.partial"):
        (tmp_path / "a.zarr" / name).write_bytes(b"half")
    assert sum("half-written" in problem for problem in verify(tmp_path / "a.zarr").problems) == 3
    dataset.write_unit(1, unit_data(header, 1))
    assert all_files(tmp_path) == whole


# Damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(array_specs(make_header())))
def test_one_flipped_bit_in_any_array_is_found(tmp_path, name):
    dataset = make_store(tmp_path / "a.zarr")
    assert verify(tmp_path / "a.zarr").problems == []
    chunk = dataset.path / name / array_specs(dataset.header)[name].chunk_keys[-1]
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    problems = verify(tmp_path / "a.zarr").problems
    assert any("corrupt chunk" in problem and f"'{name}'" in problem for problem in problems), problems


@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_reading_a_damaged_frame_names_array_and_frame(tmp_path, damage):
    dataset = make_store(tmp_path / "a.zarr")
    chunk = dataset.path / "attenuation" / "c" / "6" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    if damage == "flip":
        data[9] ^= 1
        chunk.write_bytes(data)
    elif damage == "cut":
        chunk.write_bytes(data[:5])
    else:
        chunk.unlink()
    with pytest.raises(UssimError, match=r"'attenuation'.*frame 6"):
        dataset.frame(6)
    assert dataset.frame(5).attenuation.any()
    assert any("attenuation" in problem and "6" in problem for problem in verify(dataset.path).problems)


def test_a_frame_that_is_not_rendered_yet_is_no_black_frame(tmp_path):
    dataset = make_store(tmp_path / "a.zarr", units=range(1))
    with pytest.raises(UssimError, match="no frame 4: not rendered"):
        dataset.frame(4)
    with pytest.raises(IndexError):
        dataset.frame(10)


def _spoil(**changes):
    def change(data: dict[str, np.ndarray]) -> None:
        for name, (index, value) in changes.items():
            data[name][index] = value

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_spoil(hq=((0, 0, 0), 9)), "hq: frame 4 is not 0 outside the sector"),
        (
            _spoil(segmentation=((1, 5, 5), 200)),
            "segmentation: frame 5 holds id 200; the tissue table ends at 3",
        ),
        (_spoil(segmentation=((2, 5, 5), 0)), "segmentation: frame 6 has pixels without a tissue"),
        (_spoil(attenuation=((3, 5, 5), 7.0)), "attenuation: frame 7 spans"),
        (_spoil(attenuation_scale=(1, 0.0)), "attenuation_scale: frame 5 holds 0"),
    ],
)
def test_verify_finds_values_that_cannot_be(tmp_path, spoil, message):
    header = make_header()
    dataset = make_store(tmp_path / "a.zarr", header)
    data = unit_data(header, 1)
    spoil(data)
    dataset.write_unit(1, data)
    verdict = verify(tmp_path / "a.zarr")
    assert any(message in problem for problem in verdict.problems), verdict.problems


def test_verify_finds_units_that_are_not_done(tmp_path):
    make_store(tmp_path / "a.zarr", units=range(1))
    verdict = verify(tmp_path / "a.zarr")
    assert verdict.problems == [
        "done: 2 of 3 units are not rendered, the first with frames 4 to 7: finish it with --resume"
    ]
    assert (verdict.frames, verdict.frames_done) == (10, 4)


def test_verify_finds_a_split_a_pose_and_a_file_that_do_not_belong(tmp_path):
    dataset = make_store(tmp_path / "a.zarr")
    dataset.array("split")[...] = 1 - dataset.split
    poses = dataset.poses
    poses[3, 0, 0] = 2
    dataset.array("pose")[...] = poses
    (dataset.path / "notes.txt").write_text("hello")
    problems = verify(dataset.path).problems
    assert problems == [
        "notes.txt: unknown file",
        "pose: frame 3 is not a rotation and a shift",
        "split: is not the one of its split_seed",
        "pose: frame 3 is not what was written there: of another frame, array or store, or changed",
    ]
