"""Ray: what workers enhance and measure is what one process does, and a killed one costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support.commands import assert_one_line_error
from support.jobs import all_files
from support.ray_cluster import two_core_cluster, worker_processes
from support.translate_store import make_store

from cli.translate import main
from translate.settings import TrainSettings
from translate.training.loop import StoppedError
from translate.training.spread import train_on_workers
from translate.use.apply import apply_to_store
from translate.use.inference import Generator
from translate.use.spread import Spread
from ussim.errors import UssimError

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed: pip install 'ussim[ray]'")
ON_RAY = ("--engine=ray", "--workers=2", "--device=cpu")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_core_cluster() as found:
        yield found


def translate(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_store_is_enhanced_by_workers_as_by_one_process_though_one_is_killed(runs, store, tmp_path, address):
    here, there = (shutil.copytree(store, tmp_path / name) for name in ("here.zarr", "there.zarr"))
    apply_to_store(Generator.load(runs / "LM"), here)
    killed = []

    def kill(phase: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            killed.append(worker_processes()[0])
            os.kill(killed[0], signal.SIGKILL)

    spread = Spread(partial(Generator.load, runs / "LM"), count=2)
    assert apply_to_store(Generator.load(runs / "LM"), there, progress=kill, spread=spread) == 12
    assert killed
    assert all_files(there) == all_files(here)


def test_images_are_enhanced_by_workers_into_a_folder_and_other_weights_are_refused(runs, store, tmp_path, address):
    here, there = tmp_path / "here", tmp_path / "there"
    assert translate("apply", runs / "LM", store, "-o", here, "--device=cpu").exit_code == 0
    assert translate("apply", runs / "LM", store, "-o", there, *ON_RAY).exit_code == 0
    assert all_files(there) == all_files(here)
    with pytest.raises(UssimError, match=r"worker .*: its weights are not those that the command was given"):
        apply_to_store(
            Generator.load(runs / "LM"),
            make_store(tmp_path / "a.zarr", frames=2),
            spread=Spread(partial(Generator.load, runs / "SA"), count=1),
        )


def test_workers_measure_what_one_process_measures(runs, tmp_path, address):
    store = make_store(tmp_path / "store.zarr", frames=40, seed=3)
    words = ("evaluate", runs / "LM", runs / "LMSA", store, "--crop=64", "--crops=2", "--device=cpu")
    for folder, more in (("here", ()), ("there", ON_RAY)):
        result = translate(*words, "-o", tmp_path / folder, *more)
        assert result.exit_code == 0, result.output
    here, there = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("here", "there"))
    assert {**here, "seconds": 0} == {**there, "seconds": 0}
    for file in ("table.csv", "crops.csv"):
        assert (tmp_path / "there" / file).read_bytes() == (tmp_path / "here" / file).read_bytes()


def test_without_ray_the_remedy_is_told(runs, store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = translate("apply", runs / "LM", store, "-o", tmp_path / "out", "--engine=ray")
    assert_one_line_error(result, "ray is not installed: pip install 'ussim[ray]'")


# Training ---------------------------------------------------------------------------------------------


def losses_of(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_two_workers_train_what_one_process_does(store, tmp_path, address):
    options = ("--ngf=4", "--crop=32", "--batch=4", "--iterations=3", "--set=depth=4", "--set=log_every=1")
    for run, how in (("one", ("--device=cpu",)), ("two", ON_RAY)):
        result = translate("train", store, "-o", tmp_path / run, *options, *how)
        assert result.exit_code == 0, result.output
    for one, two in zip(losses_of(tmp_path / "one"), losses_of(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-3)
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_training_that_a_killed_worker_or_ctrl_c_ends_has_a_checkpoint_to_go_on_from(store, tmp_path, address, how):
    settings = TrainSettings.make(ngf=4, crop=32, batch=4, depth=4, iterations=4000, checkpoint_every=2)
    checkpoint = tmp_path / "run" / "checkpoint_last.pt"

    ended = []

    def end(phase: str, done: int, total: int, note: str = "") -> None:
        if checkpoint.is_file() and not ended:
            ended.append(done)
            if how == "killed":
                os.kill(worker_processes()[-1], signal.SIGKILL)
            else:
                os.kill(os.getpid(), signal.SIGINT)

    train = partial(train_on_workers, stores=[store], run=tmp_path / "run", count=2, device="cpu")
    words = {"killed": r"worker \d of 2 died", "stopped": "has a checkpoint"}
    with pytest.raises(UssimError, match=words[how]) as caught:
        train(settings, progress=end)
    assert isinstance(caught.value, StoppedError) == (how == "stopped")
    before = torch.load(checkpoint)["iteration"]
    if how == "killed":
        assert train(settings.model_copy(update={"iterations": before + 2}), resume=True).iterations == before + 2
