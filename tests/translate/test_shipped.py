"""The generator in the box: found without a run, refused where it does not fit, a start for trainings of one's own."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from support.commands import assert_one_line_error
from support.translate_store import make_store

from cli.translate import main
from translate.data.store import StoreReader
from translate.evaluation.evaluate import evaluate
from translate.model import shipped
from translate.model.checkpoint import load_network, save_weights
from translate.settings import Run, TrainSettings
from translate.training.loop import train
from translate.use.inference import Generator
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.files import file_digest

SMALL = {"ngf": 4, "depth": 4, "crop": 32, "batch": 2, "iterations": 3, "threads": 1, "precision": "float32"}


def translate(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def acoustic(**given) -> TrainSettings:
    return TrainSettings.make("fast", **{**SMALL, "segmentation": "acoustic", **given})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of three updates on a small store."""
    folder = tmp_path_factory.mktemp("made")
    train(acoustic(), make_store(folder / "store.zarr", frames=12), folder / "run", device="cpu")
    return folder


@pytest.fixture
def box(made, tmp_path, monkeypatch):
    """A package whose shipped generator is that run."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    run = Run.load(made / "run")
    run.save(folder)
    about = {"iteration": "3", "run": run.digest}
    save_weights(folder / "generator.safetensors", load_network(made / "run", run)[0], about, torch.float16)
    shutil.copy(made / "run" / "mask.png", folder)
    card = json.loads((shipped.FOLDER / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "sha256": file_digest(folder / "generator.safetensors")}))
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


# What is in the box -------------------------------------------------------------------------------------


def test_the_shipped_weights_are_those_of_the_card_small_and_half_precision():
    card, weights = shipped.load_card(), shipped.FOLDER / "generator.safetensors"
    assert file_digest(weights) == card.sha256
    assert weights.stat().st_size <= 8e6
    generator = Generator.default("cpu")
    assert (generator.inputs, generator.digest) == (card.inputs, card.sha256)
    assert generator.run.data.digest == card.stores
    assert (generator.run.train.segmentation, generator.run.train.split) == ("acoustic", "scene")
    assert card.metrics["shipped"]["PSNR [dB]"][0] > card.metrics["low quality"]["PSNR [dB]"][0]
    assert card.falls_short
    assert "diagnosis" in card.not_for


def test_models_says_what_the_card_says():
    result = translate("models")
    assert shipped.load_card().sha256 in result.stdout.replace("\n", "").replace(" ", "")
    assert json.loads(translate("models", "--json").stdout)["not_for"] == shipped.load_card().not_for


# Use ----------------------------------------------------------------------------------------------------


def test_apply_without_a_run_uses_the_shipped_generator(box, tmp_path):
    store = make_store(tmp_path / "store.zarr", frames=4, seed=5, tissues=("bone", "gel", "liver", "fat"))
    result = translate("apply", store, "--device", "cpu")
    assert "4 images written" in result.stdout
    reader, generator = StoreReader(store), Generator.default("cpu")
    expected = generator.view(reader).enhance(reader.frame(2), reader.mask)
    np.testing.assert_array_equal(Dataset.open(store).array("enhanced")[2], expected)
    np.testing.assert_array_equal(generator.network.state_dict()["down.0.0.weight"].half().float(),
                                  generator.network.state_dict()["down.0.0.weight"])  # fmt: skip


def test_a_folder_called_default_is_reached_by_its_path(box, made, tmp_path, monkeypatch):
    shutil.copytree(made / "run", tmp_path / "default")
    monkeypatch.chdir(tmp_path)
    assert Generator.load("default", "cpu").is_shipped
    assert not Generator.load("./default/", "cpu").is_shipped


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (36, 50)}, "pixels of .* mm; the shipped generator knows"),
        ({"qualities": ("hq",)}, "holds no lq"),
    ],
)
def test_stores_that_do_not_fit_are_refused_in_one_line(box, tmp_path, changes, words):
    store = make_store(tmp_path / "store.zarr", frames=4, **changes)
    result = translate("apply", store, "--device", "cpu")
    assert_one_line_error(result)
    assert re.search(words, result.stderr)


def test_damaged_shipped_weights_are_named(box):
    path = box / "generator.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UssimError, match=r"generator\.safetensors: damaged weights: they are not what was written"):
        Generator.default("cpu")


# Fine-tuning --------------------------------------------------------------------------------------------


def test_a_training_begins_as_the_shipped_generator(box, made, tmp_path):
    quiet = acoustic(iterations=1, learning_rate=1e-12, ema=0.0)
    train(quiet, made / "store.zarr", tmp_path / "run", init="default", device="cpu")
    begun, given = Generator.load(tmp_path / "run", "cpu").network, Generator.default("cpu").network
    for name, weights in given.named_parameters():
        torch.testing.assert_close(begun.state_dict()[name], weights, rtol=0, atol=1e-6)
    assert Run.load(tmp_path / "run").init == file_digest(box / "generator.safetensors")


def test_a_training_that_began_with_weights_goes_on_exactly(box, made, tmp_path):
    train(acoustic(iterations=4), made / "store.zarr", tmp_path / "whole", init="default", device="cpu")
    train(acoustic(iterations=2), made / "store.zarr", tmp_path / "parts", init="default", device="cpu")
    train(acoustic(iterations=4), made / "store.zarr", tmp_path / "parts", resume=True, device="cpu")
    one, other = ((tmp_path / name / "generator.safetensors").read_bytes() for name in ("whole", "parts"))
    assert one == other
    with pytest.raises(UssimError, match="began with other weights than those of --init"):
        train(
            acoustic(iterations=5),
            made / "store.zarr",
            tmp_path / "parts",
            resume=True,
            init=made / "run",
            device="cpu",
        )


def test_a_training_takes_the_network_of_what_it_begins_with(box, made, tmp_path):
    result = translate(
        "train", made / "store.zarr", "-o", tmp_path / "run", "--init", "default", "--iterations", 1, "--crop", 32,
        "--batch", 2, "--set", "threads=1", "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert shipped.architecture(Run.load(tmp_path / "run")) == shipped.architecture(Run.load(made / "run"))
    assert shipped.settings_to_begin_with(tmp_path / "run") == shipped.settings_to_begin_with("default")
    with pytest.raises(UssimError, match=r"--init default: its generator has ngf = 4, not 8"):
        train(acoustic(ngf=8), made / "store.zarr", tmp_path / "other", init="default", device="cpu")


def test_weights_that_know_tissues_by_number_begin_no_training_on_others(made, tmp_path):
    numbered = acoustic(segmentation="scaled")
    train(numbered, made / "store.zarr", tmp_path / "run", device="cpu")
    other = make_store(tmp_path / "other.zarr", frames=12, tissues=("bone", "gel", "muscle", "fat"))
    with pytest.raises(UssimError, match=r"knows tissues by number, and other ones than other\.zarr has"):
        train(numbered, other, tmp_path / "next", init=tmp_path / "run", device="cpu")


# Evaluation ---------------------------------------------------------------------------------------------


def test_the_shipped_generator_has_a_row_of_its_own_beside_a_run(box, made, tmp_path):
    report = evaluate(["default", made / "run"], made / "store.zarr", tmp_path / "report", crop=64, device="cpu")
    assert [row.name for row in report.evaluation.rows] == ["Low quality", "Shipped", "L2HMSA"]
    assert report.evaluation.protocol.split == "frame"
