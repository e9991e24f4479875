"""Training on several stores, on what tissues are instead of their numbers, and the learning curve."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.translate_store import make_store

from translate.data import crops
from translate.data.acoustics import acoustics_of, acoustics_table
from translate.data.channels import Encoder
from translate.data.crops import FrameSource, open_frames
from translate.data.metrics import pkl, psnr, ssim
from translate.data.store import StoreReader, joint_info
from translate.settings import Run, TrainSettings
from translate.training.log import read_log
from translate.training.loop import train
from translate.training.validation import CURVE, Validation
from ussim.errors import UssimError
from ussim.scene.tissue import TissueLibrary

CPU = torch.device("cpu")
SMALL = {"ngf": 4, "depth": 4, "crop": 32, "batch": 4, "iterations": 4, "threads": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two stores whose tissues are the same but stand in another order."""
    folder = tmp_path_factory.mktemp("several")
    return [
        make_store(folder / "first.zarr", frames=12, scenes=3),
        make_store(folder / "second.zarr", frames=8, scenes=3, seed=1, tissues=("bone", "gel", "muscle", "fat")),
    ]


def acoustic(**given) -> TrainSettings:
    return TrainSettings.make("fast", **{**SMALL, "segmentation": "acoustic", "split": "scene", **given})


def encoder_of(readers, settings) -> Encoder:
    return Encoder(settings, joint_info(readers, settings))


# Inputs -------------------------------------------------------------------------------------------------


def test_acoustic_channels_of_all_packaged_tissues_lie_within_the_range_and_tell_tissues_apart():
    rows = {name: acoustics_of(dataclasses.asdict(tissue)) for name, tissue in dict(TissueLibrary.load()).items()}
    assert np.abs(list(rows.values())).max() <= 1
    assert rows["air"][0] == -1
    assert rows["bone"][0] == rows["fetal_bone"][0] == 1
    assert rows["amniotic_fluid"][1] == rows["urine"][1] == -1
    assert rows["liver"] == pytest.approx(((1.664 - 1.6) / 0.4, (-12.4 + 20) / 20, 0.5 - 1), abs=0.01)


def test_the_same_tissue_enters_alike_whatever_its_number_in_the_store(stores):
    first, second = map(StoreReader, stores)
    for name in ("gel", "muscle"):
        rows = [acoustics_table(r.acoustics)[r.tissues.index(name) + 1] for r in (first, second)]
        np.testing.assert_array_equal(*rows)
    ids = torch.tensor([[[0, first.tissues.index("muscle") + 1]]], dtype=torch.uint8)
    settings = acoustic(inputs="LMSA", polar=False)
    blank = {"lq": ids * 0, "segmentation": ids, "attenuation": ids * 0}
    channels = encoder_of([first], settings).encode(
        blank, ids * 0 + 1, acoustics=torch.from_numpy(acoustics_table(first.acoustics))
    )
    assert channels.shape == (1, 6, 1, 2)
    np.testing.assert_array_equal(channels[0, 2:5, 0, 0], [-1, -1, -1])
    np.testing.assert_allclose(channels[0, 2:5, 0, 1], first.acoustics[first.tissues.index("muscle")], rtol=1e-6)


# Several stores -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["all", "few"])
def test_crops_of_several_stores_are_those_of_each(stores, room, monkeypatch):
    if room == "few":
        monkeypatch.setattr(crops, "free_memory_bytes", lambda: 8 * 72 * 100 * 5)
    readers, settings = list(map(StoreReader, stores)), acoustic()
    frames = [reader.frames("train", "scene") for reader in readers]
    joint = open_frames(readers, frames, encoder_of(readers, settings), CPU)
    assert len(joint) == sum(map(len, frames))
    assert joint.resident == (room == "all")
    places = joint.places(3, 7, 16, 32)
    found = joint.crops(places, 32, joint.places(3, 8, 16, 32))
    order = np.concatenate(
        [np.flatnonzero(places[:, 0] < len(frames[0])), np.flatnonzero(places[:, 0] >= len(frames[0]))]
    )
    for row, number in enumerate(order):
        position, *rest = places[number]
        store = int(position >= len(frames[0]))
        alone = FrameSource(readers[store], frames[store], encoder_of([readers[store]], settings), CPU)
        one = alone.crops(np.array([[position - store * len(frames[0]), *rest]]), 32)
        assert torch.equal(one.inputs[0], found.inputs[row])
        assert torch.equal(one.target[0], found.target[row])
    whole = joint.whole(np.array([0, len(frames[0])]))
    assert whole.inputs.shape[0] == 2


def test_crops_of_stores_of_several_image_sizes_lie_anywhere_in_the_images_of_their_store(stores, tmp_path):
    small = make_store(tmp_path / "small.zarr", frames=8, size=(40, 64))
    settings = acoustic(split="frame")
    readers = [StoreReader(stores[0]), StoreReader(small)]
    frames = [reader.frames() for reader in readers]
    joint = open_frames(readers, frames, encoder_of(readers, settings), CPU)
    places = np.concatenate([joint.places(0, iteration, 64, 32) for iteration in range(40)])
    in_small = places[:, 0] >= len(frames[0])
    assert 0.2 < in_small.mean() < 0.6
    for chosen, reader in ((~in_small, readers[0]), (in_small, readers[1])):
        height, width = reader.shape
        assert (places[chosen, 1].max(), places[chosen, 2].max()) == (height - 32, width - 32)
    one = places[np.flatnonzero(in_small)[:1]]
    found = joint.crops(one, 32)
    position, row, column, flip = one[0]
    target = readers[1].read("hq", int(position - len(frames[0])))[row : row + 32, column : column + 32]
    wanted = torch.from_numpy(target[:, ::-1].copy() if flip else target)
    assert torch.equal(((found.target[0, 0] + 1) * 127.5).round().to(torch.uint8), wanted)
    train(settings, [stores[0], small], tmp_path / "run", device="cpu")


def test_a_run_on_several_stores_remembers_both_and_goes_on_exactly(stores, tmp_path):
    train(acoustic(), stores, tmp_path / "whole", device="cpu")
    train(acoustic(iterations=2), stores, tmp_path / "parts", device="cpu")
    train(acoustic(), stores, tmp_path / "parts", resume=True, device="cpu")
    weights = [(tmp_path / name / "generator.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
    data = Run.load(tmp_path / "whole").data
    assert data.store == "first.zarr, second.zarr"
    assert data.train_frames + data.test_frames == 20
    with pytest.raises(UssimError, match=r"was trained on first\.zarr, second\.zarr, another store than first\.zarr"):
        train(acoustic(), stores[0], tmp_path / "parts", resume=True, device="cpu")


def test_stores_that_do_not_go_together_are_refused(stores, tmp_path):
    other = make_store(tmp_path / "other.zarr", frames=8, size=(64, 100))
    with pytest.raises(UssimError, match=r"other\.zarr: its images are not of the size of those of .*72 × 100 and 64"):
        train(acoustic(full_frames=0.5, split="frame"), [stores[0], other], tmp_path / "run", device="cpu")
    tiny = make_store(tmp_path / "tiny.zarr", frames=8, size=(40, 100))
    with pytest.raises(UssimError, match=r"crop 64 px is larger than the frames of .*tiny\.zarr: 40 × 100 px"):
        train(acoustic(crop=64, split="frame", validate_every=1), [stores[0], tiny], tmp_path / "run", device="cpu")
    with pytest.raises(UssimError, match=r"second\.zarr: has other tissues than .*--set segmentation=acoustic"):
        train(acoustic(segmentation="scaled"), stores, tmp_path / "run", device="cpu")


# The learning curve -------------------------------------------------------------------------------------


def test_the_curve_is_measured_on_held_out_frames_and_not_repeated_after_resume(stores, tmp_path):
    train(acoustic(validate_every=2), stores, tmp_path / "whole", device="cpu")
    train(acoustic(iterations=2, validate_every=2), stores, tmp_path / "parts", device="cpu")
    train(acoustic(validate_every=2), stores, tmp_path / "parts", resume=True, device="cpu")
    whole, parts = (
        [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(tmp_path / name, CURVE)]
        for name in ("whole", "parts")
    )
    assert [line["iteration"] for line in whole] == [0, 2, 4]
    assert whole == parts


def test_the_curve_begins_with_the_low_quality_images(stores):
    reader, settings = StoreReader(stores[0]), acoustic(validate_every=1)
    held_out = reader.frames("test", "scene")
    validation = Validation([reader], [held_out], encoder_of([reader], settings), settings, CPU)
    found = validation.low_quality()

    class Low(torch.nn.Module):
        def forward(self, x):
            return x[:, :1]

    assert validation.measure(Low()) == pytest.approx(found)
    frames = [reader.frame(int(k)) for k in held_out]
    whole = [(psnr(f["lq"], f["hq"]), 100 * ssim(f["lq"], f["hq"]), pkl(f["lq"], f["hq"])) for f in frames]
    assert found["psnr_db"] == pytest.approx(np.mean(whole, axis=0)[0], abs=2)


def test_a_curve_without_held_out_frames_is_refused(tmp_path):
    store = make_store(tmp_path / "store.zarr", frames=2)
    with pytest.raises(UssimError, match=r"validate_every = 1: .*store\.zarr has no held-out frames"):
        train(TrainSettings.make(**SMALL, validate_every=1), store, tmp_path / "run", device="cpu")
