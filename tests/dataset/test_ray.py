"""Ray: the same bytes whoever is killed, and one line that names the worker where something is wrong."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from support import PATIENCE_S, ROOT, jobs
from support.commands import assert_one_line_error, refused, ussim, ussim_process, wait_for
from support.jobs import FakeRenderer, FullDiskRenderer, Memory, SceneRenderer, SlowRenderer, all_files, ball_plan
from support.ray_cluster import two_core_cluster, worker_processes

from ussim import ray_actors
from ussim.dataset import job, ray_engine
from ussim.dataset.plan import make_plan
from ussim.dataset.series import read_series
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.probe.settings import build_settings

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed: pip install 'ussim[ray]'")
UNITS = 24


def plan():
    return ball_plan(2 * UNITS, 2)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_core_cluster() as found:
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    job.run(plan(), path, make_renderer=FakeRenderer)
    return all_files(path)


def test_three_actors_killed_at_random_moments_and_the_bytes_are_those_of_a_serial_run(tmp_path, address, whole):
    killed: list[int] = []
    started, ended = threading.Event(), threading.Event()

    def kill() -> None:
        started.wait()
        while len(killed) < 3 and not ended.wait(random.uniform(0.05, 0.4)):
            if processes := worker_processes():
                killed.append(random.choice(processes))
                os.kill(killed[-1], signal.SIGKILL)

    def progress(phase: str, done: int, total: int, note: str = "") -> None:
        if phase == "render" and done:
            started.set()

    killer = threading.Thread(target=kill)
    killer.start()
    path = tmp_path / "a.zarr"
    try:
        summary = ray_engine.run(plan(), path, count=2, make_renderer=SlowRenderer, progress=progress)
    finally:
        started.set()
        ended.set()
        killer.join()
    assert len(killed) == 3, "all while it rendered"
    assert (summary.rendered, summary.units_done) == (2 * UNITS, UNITS)
    assert all_files(path) == whole, "nothing is missing, and nothing is left of the dead"


def test_a_driver_that_is_killed_is_gone_on_with_by_resume(tmp_path, address, whole):
    path = tmp_path / "a.zarr"
    code = "import sys; from support.jobs import *; from ussim.dataset import ray_engine\n"
    code += "from ussim.ray_actors import cluster_at\n"
    code += f"with cluster_at({address!r}):\n"
    code += f"    ray_engine.run(ball_plan({2 * UNITS}, 2), sys.argv[1], count=2, make_renderer=SlowRenderer)"
    driver = subprocess.Popen([sys.executable, "-c", code, str(path)], env=_environment())
    wait_for(path / "done" / "c" / "4", driver)
    driver.kill()
    driver.wait()
    before = Dataset.open(path).done.sum()
    summary = ray_engine.run(plan(), path, count=2, make_renderer=FakeRenderer, resume=True)
    assert 0 < before < UNITS
    assert (summary.units_done, summary.rendered > 0) == (UNITS, True)
    assert all_files(path) == whole


def test_a_finished_store_needs_no_worker(tmp_path, address, whole):
    path = tmp_path / "a.zarr"
    job.run(plan(), path, make_renderer=FakeRenderer)
    told = []
    summary = ray_engine.run(plan(), path, resume=True, progress=lambda *call: told.append(call[0]))
    assert (summary.rendered, "workers" in told) == (0, False)
    assert all_files(path) == whole


def test_several_scenes_are_read_and_rendered_by_workers_and_the_bytes_are_those_of_a_serial_run(tmp_path, address):
    def of(read_all):
        first, series = read_series(jobs.ball_sources(3), 22, read_all=read_all)
        return make_plan(first, 22, build_settings(jobs.SMALL), unit_frames=2, series=series)

    job.run(of(map), tmp_path / "a.zarr", make_renderer=SceneRenderer)
    with ray_actors.workers(count=2) as team:
        spread = of(team.map)
    ray_engine.run(spread, tmp_path / "b.zarr", count=2, make_renderer=SceneRenderer)
    assert all_files(tmp_path / "b.zarr") == all_files(tmp_path / "a.zarr")


def test_a_worker_keeps_its_scene_and_then_helps_with_the_longest(address):
    with ray_actors.workers(Memory, count=2) as team:
        groups = [[("a", n) for n in range(6)], [("b", n) for n in range(40)]]
        results = list(team.each(Memory.note, groups))
    assert sorted(result.item for result in results) == sorted(groups[0] + groups[1])
    firsts = {result.worker: result.item[0] for result in reversed(results) if result.value == 1}
    assert sorted(firsts.values()) == ["a", "b"]
    assert max(result.value for result in results) < 40, "the other one helped"


# Errors -----------------------------------------------------------------------------------------------


def test_a_full_disk_of_a_worker_is_told_with_its_name_and_what_is_finished_stays(tmp_path, address, whole):
    path = tmp_path / "a.zarr"
    with pytest.raises(UssimError) as caught:
        ray_engine.run(plan(), path, count=2, make_renderer=FullDiskRenderer)
    said = str(caught.value)
    assert said.startswith(f"worker {socket.gethostname()} (process ")
    assert f"{path}/lq: No space left on device: make room: " in said
    assert said.endswith(f" of {UNITS} units are finished and kept; run the same command with --resume to go on")
    job.run(plan(), path, make_renderer=FakeRenderer, resume=True)
    assert all_files(path) == whole


def test_a_worker_of_other_versions_is_refused_by_name(tmp_path, address, monkeypatch):
    monkeypatch.setattr(ray_actors, "_versions", lambda: {"ussim": "9.9", "numba": "0.1"})
    with pytest.raises(UssimError, match=r"worker .* has ussim .* \(here 9\.9\), numba .*: install the same versions"):
        ray_engine.run(plan(), tmp_path / "a.zarr", count=2, make_renderer=FakeRenderer)
    assert not (tmp_path / "a.zarr").exists()


def test_more_workers_than_the_cluster_has_cores_are_refused(tmp_path, address):
    with pytest.raises(UssimError, match="--workers 3: the cluster has 2 cores; allowed: 1 to 2"):
        ray_engine.run(plan(), tmp_path / "a.zarr", count=3, make_renderer=FakeRenderer)


@pytest.mark.parametrize(
    ("nodes", "count", "on_gpus", "wanted"),
    [
        ([{"CPU": 2}], None, False, (1, 2, 0)),
        ([{"CPU": 16}, {"CPU": 8}], None, False, (6, 4, 0)),
        ([{"CPU": 16}, {"CPU": 8}], 3, False, (3, 8, 0)),
        ([{"CPU": 16}, {"CPU": 8}], 24, False, (24, 1, 0)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 8, "GPU": 1}, {"CPU": 64}], None, True, (5, 4, 1)),
        ([{"CPU": 16, "GPU": 4}], None, False, (4, 4, 0)),
        ([{"CPU": 16}], None, True, (4, 4, 0)),
    ],
)
def test_cores_and_gpus_are_shared_so_that_all_workers_find_room(nodes, count, on_gpus, wanted):
    assert ray_actors._share(nodes, count, on_gpus) == wanted


def test_an_address_where_nobody_or_somebody_else_answers_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(ray_actors, "_ANSWER_S", 1.5)  # 14 else
    with pytest.raises(UssimError, match="--address here: write auto, or HOST:PORT"):
        ray_actors._require_answer("here")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(UssimError, match=rf"--address {place}: no Ray cluster answers \(Connection refused\)"):
            ray_actors._require_answer(place)
        listening.listen()
        start = time.monotonic()
        with pytest.raises(UssimError, match=rf"--address {place}: no Ray cluster answers"):
            ray_actors._require_answer(place)
        assert time.monotonic() - start < 12


def test_without_ray_the_remedy_is_told(ball_scene, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refused("render", ball_scene, "-o", tmp_path / "a.zarr", "-n", 8, "--engine=ray")
    assert said == "error: ray is not installed: pip install 'ussim[ray]'"


# The command ------------------------------------------------------------------------------------------


def test_the_command_renders_the_same_with_ray(ball_scene, tmp_path, address, monkeypatch):
    monkeypatch.setattr(job, "default_renderer", FakeRenderer)
    words = ["render", ball_scene, "-n", 8, "--unit", 2, *(f"--set={setting}" for setting in jobs.SMALL)]
    assert ussim(*words, "-o", tmp_path / "a.zarr").exit_code == 0
    result = ussim(*words, "-o", tmp_path / "b.zarr", "--engine", "ray", "--workers", 2)
    assert result.exit_code == 0, result.output
    assert "8 frames in" in result.stdout
    assert "on 2 workers, each nothing" in result.stdout
    assert all_files(tmp_path / "b.zarr") == all_files(tmp_path / "a.zarr")
    again = ussim(*words, "-o", tmp_path / "b.zarr", "--engine", "ray")
    assert_one_line_error(again, "exists already: give --resume")


def test_ctrl_c_ends_the_command_with_one_line_and_keeps_what_is_finished(ball_scene, tmp_path, address):
    path = tmp_path / "a.zarr"
    first = "from support.jobs import SlowRenderer; from ussim.dataset import job; job.default_renderer = SlowRenderer"
    words = ["render", ball_scene, "-n", 48, "--unit", 2, "-o", path, *(f"--set={setting}" for setting in jobs.SMALL)]
    process = ussim_process(*words, "--engine=ray", f"--address={address}", "--workers=2", first=first)
    wait_for(path / "done" / "c" / "2", process)
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, complained
    assert said == ""
    lines = [line for line in complained.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, complained
    assert "interrupted: " in lines[0]
    assert "units are finished and kept; run the same command with --resume" in lines[0]
    assert "Traceback" not in complained


@pytest.mark.parametrize("words", [["--workers=2"], ["--address=auto"], ["--engine=ray", "--shard=1/2"]])
def test_options_that_need_an_engine_or_no_engine_are_refused_without_it(ball_scene, tmp_path, words):
    assert "--engine ray" in refused("render", ball_scene, "-o", tmp_path / "a.zarr", "-n", 8, *words)


def _environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
