"""From a store to batches: crops, channels, polar coordinates."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support.translate_store import TISSUES, make_store

from translate.data import crops
from translate.data.channels import Encoder, PolarGrid
from translate.data.crops import FrameSource, draw
from translate.data.store import StoreReader
from translate.settings import DataInfo, TrainSettings
from ussim.errors import UssimError
from ussim.probe.probe import make_probe

CPU = torch.device("cpu")
SMALL = {"ngf": 4, "depth": 3, "crop": 32, "batch": 6}


def source_of(store, **given) -> FrameSource:
    settings = TrainSettings.make(**{**SMALL, **given})
    reader = StoreReader(store)
    return FrameSource(reader, reader.frames("train"), Encoder(settings, reader.info()), CPU)


def test_reader_knows_the_store(store):
    reader = StoreReader(store)
    assert (reader.n, reader.shape, reader.tissues) == (12, (72, 100), TISSUES)
    assert reader.mask.shape == reader.shape
    assert sorted([*reader.frames("train"), *reader.frames("test")]) == list(range(12))
    frame = reader.frame(3)
    assert {name: str(values.dtype) for name, values in frame.items()} == {
        "lq": "uint8", "hq": "uint8", "segmentation": "uint8", "attenuation": "float32",
    }  # fmt: skip
    assert reader.digest == StoreReader(store).digest


def test_crops_are_windows_of_the_frames(store):
    source = source_of(store)
    places = source.places(0, 5, 6, 32)
    batch = source.crops(places, 32)
    for crop, (position, row, column, _) in enumerate(places):
        frame = source.reader.frame(source.frames[position])
        window = (slice(row, row + 32), slice(column, column + 32))
        hq = ((batch.target[crop, 0] + 1) * 127.5).round().numpy()
        lq = ((batch.inputs[crop, 0] + 1) * 127.5).round().numpy()
        np.testing.assert_array_equal(hq, frame["hq"][window])
        np.testing.assert_array_equal(lq, frame["lq"][window])
        np.testing.assert_array_equal(batch.mask[crop, 0].numpy(), source.reader.mask[window])


def test_test_frames_are_never_trained_on(store):
    source = source_of(store)
    assert set(source.frames) == set(np.flatnonzero(source.reader.split == 0))


def test_draws_depend_on_seed_and_iteration_alone():
    np.testing.assert_array_equal(draw(1, 7, 5, (10, 20)), draw(1, 7, 5, (10, 20)))
    assert (draw(1, 7, 50, (1000,)) != draw(1, 8, 50, (1000,))).any()
    assert (draw(1, 7, 50, (1000,)) != draw(2, 7, 50, (1000,))).any()
    # the stream is NumPy's Philox, whose raw output is fixed: a run must sample the same crops for ever
    assert draw(0, 0, 2, (1000, 1000)).tolist() == [[259, 458], [49, 556]]


def test_draws_are_uniform():
    values = np.concatenate([draw(3, iteration, 16, (10,))[:, 0] for iteration in range(500)])
    counts = np.bincount(values, minlength=10)
    assert ((counts - 800) ** 2 / 800).sum() < 27.9  # 99.9 % of chi-square with 9 degrees of freedom


@pytest.mark.parametrize(
    ("given", "channels"),
    [
        ({"inputs": "LM"}, 2),
        ({"inputs": "LMS"}, 3),
        ({"inputs": "LMSA"}, 4),
        ({"inputs": "SA"}, 2),
        ({"inputs": "LMSA", "segmentation": "onehot"}, 3 + 5),
        ({"inputs": "LMSA", "polar": True}, 6),
    ],
)
def test_channels_are_those_of_the_variant(store, given, channels):
    source = source_of(store, **given)
    inputs = source.crops(source.places(0, 0, 6, 32), 32).inputs
    assert source.encoder.channels == inputs.shape[1] == channels
    assert float(inputs.abs().max()) <= 1.0 + 1e-6 or given.get("polar")


def test_one_hot_segmentation_marks_one_tissue_a_pixel(store):
    source = source_of(store, inputs="LMS", segmentation="onehot")
    channels = source.crops(source.places(0, 0, 6, 32), 32).inputs[:, 2:]
    assert torch.equal((channels + 1).sum(1), torch.full_like(channels[:, 0], 2.0))


def test_attenuation_in_decibels_is_linear_in_path():
    settings = TrainSettings.make(attenuation="decibel", **SMALL)
    encoder = Encoder(settings, DataInfo.model_construct(tissues=TISSUES))
    values = encoder.as_bytes("attenuation", torch.tensor([1.0, 10**-1.5, 1e-3, 0.0]))
    assert values.tolist() == [255, 128, 0, 0]


@pytest.mark.parametrize("kind", ["convex", "linear", "phased"])
def test_polar_channels_are_depth_and_line_of_the_probe(kind):
    probe = make_probe(kind, image_height=60, image_width=80)
    image = DataInfo.model_fields["image"].annotation(
        height=60, width=80, mm_per_pixel=probe.mm_per_pixel, origin_mm=probe.image_origin_mm
    )
    depth, side = PolarGrid(image, {**probe.model_dump(), "kind": kind}).patch(0, 0, 60, 80).numpy()
    line, depth_mm = probe.pixel_lines()
    half = probe.scanlines / 2
    inside = probe.mask() > 0
    np.testing.assert_allclose(depth[inside], 2 * depth_mm[inside] / probe.depth_mm - 1, atol=1e-5)
    np.testing.assert_allclose(side[inside], ((line - (probe.scanlines - 1) / 2) / half)[inside], atol=1e-5)


def test_polar_channels_of_a_crop_are_those_of_its_place(store):
    source = source_of(store, polar=True)
    places = source.places(0, 0, 6, 32)
    batch = source.crops(places, 32)
    _, row, column, _ = places[2]
    assert torch.equal(batch.inputs[2, -2:], source.polar[:, row : row + 32, column : column + 32])


def test_flipped_crops_are_mirrored_with_the_angle_negated(store):
    source = source_of(store, polar=True, flip=True)
    places = source.places(0, 0, 6, 32)
    assert 0 < places[:, 3].sum() < 6
    flipped = source.crops(places, 32)
    straight = source.crops(np.concatenate([places[:, :3], 0 * places[:, 3:]], 1), 32)
    crop = int(places[:, 3].argmax())
    assert torch.equal(flipped.target[crop], straight.target[crop].flip(-1))
    assert torch.equal(flipped.inputs[crop, -1], -straight.inputs[crop, -1].flip(-1))
    kept = int(places[:, 3].argmin())
    assert torch.equal(flipped.inputs[kept], straight.inputs[kept])


def test_whole_frames_are_padded_with_background(store):
    source = source_of(store)
    batch = source.whole(np.array([0, 3]))
    assert batch.inputs.shape == (2, 4, 72, 104)
    assert not batch.mask[..., 100:].any()
    assert (batch.inputs[..., 100:] == -1).all()


# Where the frames are ---------------------------------------------------------------------------------


def test_a_device_and_its_first_number_are_one(store):
    reader = StoreReader(store)
    encoder = Encoder(TrainSettings.make(**SMALL), reader.info())
    source = FrameSource(reader, reader.frames("train"), encoder, torch.device("cpu:0"))
    assert source.resident
    assert source.crops(source.places(0, 0, 6, 32), 32).inputs.shape == (6, 4, 32, 32)


def test_frames_that_are_not_on_the_device_are_not_page_locked(store):
    reader = StoreReader(store)
    encoder = Encoder(TrainSettings.make(**SMALL), reader.info())
    source = FrameSource(reader, reader.frames("train"), encoder, torch.device("meta"))
    assert not source.resident
    assert source.data.home.type == "cpu"
    assert not source.data[0].is_pinned()


def test_frames_that_do_not_fit_in_memory_are_decoded_again_and_give_the_same_batches(store, monkeypatch):
    whole = source_of(store)
    monkeypatch.setattr(crops, "free_memory_bytes", lambda: 8 * 72 * 100 * 5)  # half of that are five frames or fewer
    streamed = source_of(store)
    assert (whole.resident, streamed.resident) == (True, False)
    for iteration in range(6):
        places = whole.places(0, iteration, 6, 64)
        upcoming = whole.places(0, iteration + 1, 6, 64)
        for one, other in zip(
            fields(whole.crops(places, 64)), fields(streamed.crops(places, 64, upcoming)), strict=True
        ):
            assert torch.equal(one, other)
    for one, other in zip(fields(whole.whole(places[:2, 0])), fields(streamed.whole(places[:2, 0])), strict=True):
        assert torch.equal(one, other)


def fields(batch):
    return batch.inputs, batch.target, batch.mask


# Mistakes ---------------------------------------------------------------------------------------------


def test_frames_smaller_than_the_crop_are_an_error(store):
    with pytest.raises(UssimError, match=r"crop 128 px is larger than the frames .*72 × 100"):
        source_of(store).places(0, 0, 6, 128)


def test_a_store_without_high_quality_images_is_an_error(tmp_path):
    path = make_store(tmp_path / "lq.zarr", frames=4, qualities=("lq",))
    with pytest.raises(UssimError, match="holds no hq: it has lq"):
        source_of(path)


def test_an_unfinished_store_is_an_error(tmp_path):
    path = make_store(tmp_path / "half.zarr", frames=12, units_done=1)
    with pytest.raises(UssimError, match="1 of 3 units are done"):
        source_of(path)


def test_a_store_of_another_schema_is_an_error(tmp_path):
    path = make_store(tmp_path / "new.zarr", frames=4)
    content = json.loads((path / "zarr.json").read_text())
    content["attributes"]["schema_version"] = 99
    (path / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(UssimError, match="schema version 99"):
        StoreReader(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"crop": 100}, "crop 100 must be a multiple of 2.depth = 256"),
        ({"inputs": "LA"}, "inputs = 'LA'"),
        ({"iterations": 0}, "iterations = 0"),
        ({"batchsize": 4}, "did you mean 'batch'"),
        ({"model": "resnet"}, "must be one of pix2pix, fast"),
    ],
)
def test_wrong_settings_are_named(given, message):
    with pytest.raises(UssimError, match=message):
        TrainSettings.make(**given)
