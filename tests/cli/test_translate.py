"""The ``translate`` command, end to end: what it writes, says and returns, and how it meets mistakes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from click.testing import CliRunner, Result
from support import PATIENCE_S, ROOT
from support.translate_runs import one_thread
from support.translate_store import make_store

from cli.translate import main
from translate.model.checkpoint import load_state

SMALL = ("--ngf=4", "--crop=32", "--batch=4", "--iterations=4", "--set=depth=4", "--set=log_every=2", "--set=threads=1")


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def translate(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """What the command says when it refuses: one line, exit code 2."""
    result = translate(*arguments)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return make_store(tmp_path_factory.mktemp("data") / "store.zarr", frames=20, size=(120, 166))


@pytest.fixture(scope="module")
def run(store, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "LMSA"
    result = translate("train", store, "-o", path, *SMALL)
    assert result.exit_code == 0, result.output
    assert "4 iterations" in result.stdout
    assert "trained: 4 of 4 iterations, D " in result.stderr
    return path


def test_a_run_goes_on_with_its_own_settings(store, tmp_path):
    run = tmp_path / "run"
    assert translate("train", store, "-o", run, *SMALL, "--inputs=lms").exit_code == 0
    result = translate("train", store, "-o", run, "--resume", "--iterations=6")
    assert result.exit_code == 0, result.output
    assert load_state(run)["iteration"] == 6
    settings = json.loads((run / "settings.json").read_text())["train"]
    assert (settings["inputs"], settings["ngf"], settings["iterations"]) == ("LMS", 4, 6)


def test_settings_are_listed_with_the_models_defaults(store, tmp_path):
    result = translate("train", store, "-o", tmp_path / "run", "--model=fast", "--settings")
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert (rows["depth"], rows["ngf"], rows["polar"], rows["l1_weight"]) == ("6", "48", "yes", "100")
    assert not (tmp_path / "run").exists()


def test_apply_writes_an_array_into_the_store(run, tmp_path):
    store = make_store(tmp_path / "store.zarr", frames=4, size=(120, 166))
    result = translate("apply", run, store, "--name=better")
    assert result.exit_code == 0, result.output
    assert "array better: 4 images written" in result.stdout
    images = zarr.open_group(store, mode="r")["better"][...]
    assert images.shape == (4, 120, 166)
    assert not images[:, zarr.open_group(store, mode="r")["mask"][...] == 0].any()
    assert "nothing left to do" in translate("apply", run, store, "--name=better").stdout


def test_apply_writes_images(run, store, tmp_path):
    result = translate("apply", run, store, "-o", tmp_path / "out", "--split=test")
    assert result.exit_code == 0, result.output
    tests = np.flatnonzero(zarr.open_group(store, mode="r")["split"][...])
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.png")) == [f"{index:06d}" for index in tests]


def test_export_says_how_well_it_agrees(run, tmp_path):
    result = translate("export", run, "--format=safetensors", "-o", tmp_path / "g.safetensors")
    assert result.exit_code == 0, result.output
    assert "largest difference from torch 0.0e+00" in result.stdout


def test_evaluate_shows_the_papers_table(run, store, tmp_path):
    result = translate("evaluate", run, store, "-o", tmp_path / "report", "--crop=96", "--crops=2")
    assert result.exit_code == 0, result.output
    assert "Low quality" in result.stdout
    assert "L2HMSA" in result.stdout
    assert (tmp_path / "report" / "report.json").is_file()


def test_evaluate_takes_the_engine_that_is_asked_for(run, store, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    copy = shutil.copytree(run, tmp_path / "run")
    result = translate("evaluate", copy, store, "-o", tmp_path / "report", "--crop=96", "--crops=1", "--engine=onnx")
    assert result.exit_code == 0, result.output
    assert (copy / "generator.onnx").is_file()


def test_ctrl_c_leaves_a_checkpoint_and_exits_with_130(store, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "cli.translate", "train", str(store), "-o", str(run), *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--iterations=100000"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (run / "log.jsonl").exists() or not (run / "log.jsonl").read_text():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "error: interrupted: " in errors
    assert "Traceback" not in errors
    done = load_state(run)["iteration"]
    assert f"checkpoint at iteration {done} of 100000" in errors
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["iteration"] == done


# Mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["run", "lq/c/run"])
def test_nothing_is_written_into_a_store_that_does_not_belong_there(run, store, inside):
    for command in (("train", store), ("apply", run, store), ("evaluate", run, store)):
        assert f"lies in the store {store}" in refused(*command, "-o", store / inside)
    assert not (store / inside).exists()


def test_mistakes_in_train_are_named(run, store, tmp_path):
    new = tmp_path / "new"
    assert "no such store" in refused("train", tmp_path / "none.zarr", "-o", new)
    assert "exists already; go on with --resume" in refused("train", store, "-o", run, *SMALL)
    assert "was trained with ngf = 4; it cannot go on with 8" in refused(
        "train", store, "-o", run, "--resume", "--ngf=8"
    )
    assert "was trained with inputs = 'LMSA'" in refused("train", store, "-o", run, "--resume", "--inputs=LM")
    assert "no such run" in refused("train", store, "-o", new, "--resume")
    assert "crop 512 px is larger than the frames" in refused("train", store, "-o", new)
    assert not new.exists()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("learnrate=1", ("'learnrate'", "did you mean 'learning_rate'")),
        ("ema", ("--set ema: write key=value",)),
        ("a.b=3", ("--set a.b=3: write key=value",)),
        ("ngf=", ("ngf = ''", "integer", "at least 2, at most 512")),
        ("ngf=none", ("ngf = None", "integer", "at least 2, at most 512")),
        ("ngf=1.5", ("ngf = 1.5", "integer", "at least 2, at most 512")),
        ("iterations=0", ("iterations = 0", "at least 1")),
        ("seed=-1", ("seed = -1", "at least 0")),
        ("crop=40", ("crop 40 must be a multiple of 2^depth = 256",)),
        ("learning_rate=fast", ("learning_rate = 'fast'", "number", "above 0, at most 1")),
        ("learning_rate=nan", ("learning_rate = 'nan'", "finite", "above 0, at most 1")),
        ("l1_weight=inf", ("l1_weight = 'inf'", "finite", "at least 0")),
        ("l1_weight=1e999", ("l1_weight = inf", "finite", "at least 0")),
        ("norm=group", ("norm = 'group'", "'instance' or 'batch'")),
        ("split=week", ("split = 'week'", "'frame' or 'scene'")),
        ("residual=perhaps", ("residual = 'perhaps'", "boolean")),
        ("residual_threshold=3", ("residual_threshold 3 needs residual=true",)),
        ("freeze_norm=true", ("freeze_norm", "norm=batch", "norm=instance")),
        ("crop=16 depth=4 texture_weight=1", ("texture_weight", "32 px", "crop 16")),
        ("crop=16 depth=4 histogram_weight=1", ("histogram_weight", "32 px", "crop 16")),
        ("crop=16 depth=4 pkl_weight=1", ("pkl_weight", "32 px", "crop 16")),
        ("model=resnet", ("model = 'resnet'", "pix2pix, fast")),
        ("inputs=LA", ("inputs = 'LA'", "'LM', 'LMS', 'LMSA' or 'SA'")),
    ],
)
def test_a_setting_that_does_not_do_is_named_with_its_value_and_what_is_allowed(store, tmp_path, typed, words):
    message = refused("train", store, "-o", tmp_path / "new", *(f"--set={one}" for one in typed.split()))
    for word in words:
        assert word in message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("train", "ngf"), 1, ("train.ngf = 1", "at least 2, at most 512")),
        (("train", "ngff"), 4, ("train: unknown key 'ngff'", "did you mean 'ngf'")),
        (("train", "norm"), "group", ("train.norm = 'group'", "'instance' or 'batch'")),
        (("data", "tissues"), 3, ("data.tissues = 3", "tuple")),
        (("data", "image", "height"), "tall", ("data.image.height = 'tall'", "integer")),
        (("format",), 2, ("format = 2", "must be 1")),
        (("data",), None, ("data = None", "DataInfo")),
    ],
)
def test_damaged_settings_of_a_run_are_named(run, store, tmp_path, place, value, words):
    folder = shutil.copytree(run, tmp_path / "run")
    content = json.loads((folder / "settings.json").read_text())
    part = content
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    (folder / "settings.json").write_text(json.dumps(content))
    for command in (("apply", folder, store, "-o", tmp_path / "out"), ("train", store, "-o", folder, "--resume")):
        message = refused(*command)
        for word in (f"{folder / 'settings.json'}: ", *words):
            assert word in message


def test_settings_of_a_run_that_are_no_json_are_named(run, store, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    for text in ("{", "[" * 100_000):
        (folder / "settings.json").write_text(text)
        assert f"{folder / 'settings.json'}: not valid JSON: " in refused("apply", folder, store)


def test_a_store_without_training_frames_is_named(tmp_path):
    store = make_store(tmp_path / "store.zarr", frames=4)
    zarr.open_group(store, mode="r+")["split"][...] = 1
    message = refused("train", store, "-o", tmp_path / "run", *SMALL)
    assert "training split has no frames" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what happens without a GPU")
def test_a_gpu_that_is_not_there_is_named(run, store, tmp_path):
    assert "no GPU" in refused("train", store, "-o", tmp_path / "run", *SMALL, "--device=cuda")
    assert "no GPU" in refused("apply", run, store, "--device=cuda", "-o", tmp_path / "out")


def test_mistakes_in_apply_and_export_are_named(run, store, tmp_path):
    assert "not a run folder" in refused("apply", tmp_path, store)
    assert "say with -o where" in refused("apply", run, tmp_path)
    assert "no such store, folder or image" in refused("apply", run, tmp_path / "none", "-o", tmp_path / "out")
    assert "ends in .onnx" in refused("export", run, "--format=onnx", "-o", tmp_path / "g.bin")


def test_a_missing_torch_is_named(monkeypatch, store, tmp_path):
    for name in [name for name in sys.modules if name.startswith("translate.training.loop")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "torch is not installed: pip install 'ussim[translate]'" in refused(
        "train", store, "-o", tmp_path / "run", *SMALL
    )
