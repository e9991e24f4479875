"""Whole anatomies can be held out: in training, in evaluation and when a generator is applied."""

from __future__ import annotations

import pytest
import torch
from support.translate_store import make_store

from translate.data.split import is_held_out
from translate.data.store import StoreReader
from translate.evaluation.evaluate import evaluate
from translate.evaluation.protocol import EvaluationProtocol, frames_to_use
from translate.settings import Run, TrainSettings
from translate.training.devices import Team
from translate.training.loop import Session, train
from translate.use.apply import apply_to_folder, apply_to_store
from translate.use.inference import Generator
from ussim.dataset.store import Dataset
from ussim.errors import UssimError

SCENES = 5


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "many.zarr", frames=30, scenes=SCENES)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "single.zarr", frames=20)


@pytest.fixture(scope="module")
def runs(many, tmp_path_factory):
    """A run for each split, by its name."""
    folder = tmp_path_factory.mktemp("runs")
    for split in ("frame", "scene"):
        train(settings(split), many, folder / split, device="cpu")
    return folder


def settings(split: str) -> TrainSettings:
    return TrainSettings.make(inputs="LM", ngf=4, depth=3, crop=32, batch=2, iterations=2, threads=1, split=split)


def scenes_of(store, frames) -> set[int]:
    return set(Dataset.open(store).scene[frames].tolist())


def test_no_anatomy_is_on_both_sides(many):
    reader = StoreReader(many)
    train_frames, test_frames = reader.frames("train", by="scene"), reader.frames("test", by="scene")
    assert sorted([*train_frames, *test_frames]) == list(range(30))
    assert len(scenes_of(many, test_frames)) == 1
    assert scenes_of(many, train_frames) == set(range(SCENES)) - scenes_of(many, test_frames)
    # by frame the anatomies of the test frames are trained on: what split = scene is for
    assert scenes_of(many, reader.frames("test")) <= scenes_of(many, reader.frames("train"))


@pytest.mark.parametrize(("scenes", "expected"), [(2, 1), (9, 1), (20, 2), (30, 3)])
def test_about_a_tenth_of_the_anatomies_is_held_out(tmp_path, scenes, expected):
    store = make_store(tmp_path / "s.zarr", frames=60, size=(16, 22), scenes=scenes, units_done=0)
    assert len(scenes_of(store, is_held_out(Dataset.open(store), "scene"))) == expected


def test_held_out_anatomies_depend_on_the_split_seed_alone(tmp_path):
    def chosen(name, frames, **given):
        store = make_store(tmp_path / name, frames=frames, size=(16, 22), scenes=20, units_done=0, **given)
        return scenes_of(store, is_held_out(Dataset.open(store), "scene"))

    # the hash is fixed: a run's test anatomies must be the same for ever
    assert chosen("a.zarr", 40) == chosen("b.zarr", 60, seed=7) == {11, 16}
    assert chosen("c.zarr", 40, split_seed=1) != {11, 16}


def test_anatomies_without_frames_are_not_held_out(tmp_path):
    store = make_store(tmp_path / "s.zarr", frames=3, size=(16, 22), scenes=20, units_done=0)
    assert is_held_out(Dataset.open(store), "scene").sum() == 1


def test_training_draws_no_crop_of_a_held_out_anatomy(many, tmp_path):
    reader = StoreReader(many)
    wanted = Run(train=settings("scene"), data=reader.info("scene"))
    session = Session(wanted, [reader], tmp_path, Team(torch.device("cpu")), None)
    held = scenes_of(many, reader.frames("test", by="scene"))
    assert scenes_of(many, session.source.frames).isdisjoint(held)
    assert scenes_of(many, session.shown.frames) <= held  # previews show what it has not learnt


def test_a_run_records_its_split_and_goes_on_with_no_other(many, runs):
    run = Run.load(runs / "scene")
    assert (run.train.split, run.data.train_frames, run.data.test_frames) == ("scene", 24, 6)
    assert Run.load(runs / "frame").train.split == "frame"
    with pytest.raises(UssimError, match="was trained with split = 'scene'"):
        train(settings("frame"), many, runs / "scene", resume=True, device="cpu")


def test_an_evaluation_uses_the_split_of_its_runs_and_says_so(many, runs, tmp_path):
    for split, word in (("scene", "whole anatomies"), ("frame", "single frames")):
        report = evaluate([runs / split], many, tmp_path / split, crops=1, crop=64, device="cpu")
        frames = StoreReader(many).frames("test", by=split)
        assert set(report.evaluation.places[:, 0]) == set(frames)
        assert report.as_dict()["protocol"]["split"] == split
        assert word in (tmp_path / split / "report.md").read_text()
        assert word in " ".join(report.notes)


def test_runs_of_different_splits_are_not_compared(many, runs, tmp_path):
    with pytest.raises(UssimError, match=r"runs of different splits cannot be compared: .*by frame.*by scene"):
        evaluate([runs / "frame", runs / "scene"], many, tmp_path / "report", crop=64, device="cpu")
    assert not (tmp_path / "report").exists()


def test_apply_takes_the_split_of_the_run(many, runs, tmp_path):
    generator = Generator.load(runs / "scene", device="cpu")
    wanted = StoreReader(many).frames("test", by="scene")
    apply_to_folder(generator, many, tmp_path / "out", frames="test")
    assert [int(path.stem) for path in sorted((tmp_path / "out").glob("*.png"))] == wanted.tolist()
    assert apply_to_store(generator, many, name="held_out", frames="test") == len(wanted)
    assert apply_to_store(generator, many, name="held_out", frames="train") == 30 - len(wanted)


def test_a_store_of_one_anatomy_cannot_be_split_by_scene(single, runs, tmp_path):
    message = "single.zarr: split = scene holds out whole anatomies, .* render a store of two or more"
    with pytest.raises(UssimError, match=message):
        train(settings("scene"), single, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UssimError, match=message):
        frames_to_use(Dataset.open(single), EvaluationProtocol(crop=64, split="scene"))
    with pytest.raises(UssimError, match=message):
        apply_to_folder(Generator.load(runs / "scene", device="cpu"), single, tmp_path / "out", frames="test")


def test_an_unknown_split_is_named(many):
    with pytest.raises(UssimError, match="split = 'week': must be frame or scene"):
        frames_to_use(Dataset.open(many), EvaluationProtocol(crop=64, split="week"))
    with pytest.raises(UssimError, match="split = 'week'"):
        TrainSettings.make(split="week")
