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

import pytest
from click.testing import CliRunner
from support.commands import assert_one_line_error
from support.jobs import all_files
from support.ray_cluster import two_core_cluster, worker_processes
from support.translate_store import make_store

from cli.translate import main
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
