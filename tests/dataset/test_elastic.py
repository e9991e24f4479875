"""Elastic workers: any number share a store, none renders what another does, and a dead one's units are taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import PATIENCE_S, ROOT
from support.jobs import FakeRenderer, all_files, ball_plan

from ussim.dataset import elastic, job
from ussim.dataset.lock import one_of_many, only_renderer
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError

LEASE_S = 2.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    job.run(ball_plan(48, 2), path, make_renderer=FakeRenderer)
    return all_files(path)


def _worker(path: Path, renderer: str = "SlowRenderer") -> subprocess.Popen:
    """An elastic worker in a process of its own; it prints how many frames it rendered."""
    code = "import sys; from support.jobs import *; from ussim.dataset import elastic\n"
    code += f"summary = elastic.run(ball_plan(48, 2), sys.argv[1], lease_s={LEASE_S}, make_renderer={renderer})\n"
    code += "print(summary.rendered, summary.units_done)"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_elastic_workers_share_a_store_that_neither_had(tmp_path, whole):
    workers = [_worker(tmp_path / "a.zarr") for _ in range(2)]
    said = [worker.communicate(timeout=PATIENCE_S)[0].split() for worker in workers]
    assert [done for _, done in said] == ["24", "24"], "each ends when all units are done, whoever rendered them"
    assert sum(int(frames) for frames, _ in said) == 48, "none is rendered twice"
    assert min(int(frames) for frames, _ in said) > 0
    assert all_files(tmp_path / "a.zarr") == whole


def test_the_claims_of_a_killed_worker_expire_and_the_others_render_its_units(tmp_path, whole):
    path = tmp_path / "a.zarr"
    doomed = _worker(path)
    end = time.monotonic() + PATIENCE_S
    while not (list(path.glob("done/c/*")) and list(path.glob("claims/*/*"))):
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    left = {claim.parent.name for claim in path.glob("claims/*/*")}
    assert left, "it died with claims"
    assert not any("claims" in problem for problem in verify(path).problems)

    start = time.monotonic()
    summary = elastic.run(ball_plan(48, 2), path, lease_s=LEASE_S, make_renderer=FakeRenderer)
    assert summary.units_done == 24
    assert time.monotonic() - start >= LEASE_S
    assert all_files(path) == whole, "nothing is left of it: no claim, no lock"


def test_a_worker_that_lost_its_claim_does_not_write(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    written = []
    write = Dataset.write_unit
    monkeypatch.setattr(Dataset, "write_unit", lambda self, unit, data: (written.append(unit), write(self, unit, data)))

    class Overtaken(FakeRenderer):
        """While it renders its first unit another worker takes that over and finishes it."""

        overtaken = False

        def maps(self, poses):
            if not Overtaken.overtaken:
                Overtaken.overtaken = True
                (claim,) = path.glob("claims/*/*")
                claim.with_name("2").write_text("another")
                unit = int(claim.parent.name)
                data = {"lq": self.lq, "hq": self.hq, **vars(super().maps(poses))}
                write(Dataset.open(path, mode="r+"), unit, data)
                Overtaken.unit = unit
            return super().maps(poses)

        def render(self, poses, quality, frames):
            self.lq, self.hq = getattr(self, "hq", None), super().render(poses, quality, frames)
            return self.hq

    elastic.run(ball_plan(48, 2), path, lease_s=60, make_renderer=Overtaken)
    assert Overtaken.unit not in written
    assert len(written) == 23


def test_ctrl_c_leaves_the_units_of_a_worker_to_the_others_at_once(tmp_path, whole):
    path = tmp_path / "a.zarr"

    class Stopped(FakeRenderer):
        def maps(self, poses):
            if len(self.rendered) > 10:
                raise KeyboardInterrupt
            return super().maps(poses)

    with pytest.raises(job.InterruptedJobError, match=r"units are finished and kept"):
        elastic.run(ball_plan(48, 2), path, lease_s=3600, make_renderer=Stopped)
    summary = elastic.run(ball_plan(48, 2), path, lease_s=3600, make_renderer=FakeRenderer)
    assert summary.units_done == 24
    assert all_files(path) == whole


def test_elastic_workers_and_one_that_renders_all_exclude_each_other(tmp_path):
    job.run(ball_plan(), tmp_path / "a.zarr", make_renderer=FakeRenderer, shard=(1, 2))
    path = tmp_path / "a.zarr"
    with one_of_many(path), one_of_many(path), pytest.raises(UssimError, match="another process renders here"):
        job.run(ball_plan(), path, make_renderer=FakeRenderer, resume=True)
    for shard in ((1, 1), (2, 3)):
        with only_renderer(path, shard), pytest.raises(UssimError, match="another process renders here, alone"):
            elastic.run(ball_plan(), path, make_renderer=FakeRenderer)


def test_one_that_renders_all_removes_what_dead_elastic_workers_left(tmp_path, whole):
    path = tmp_path / "a.zarr"
    job.run(ball_plan(48, 2), path, make_renderer=FakeRenderer, shard=(1, 2))
    (path / "claims" / "3").mkdir(parents=True)
    (path / "claims" / "3" / "7").write_text("dead")
    (path / ".lock.worker-0123").write_text("")
    job.run(ball_plan(48, 2), path, make_renderer=FakeRenderer, resume=True)
    assert all_files(path) == whole


@pytest.mark.parametrize("lease_s", [0.5, 1e6, float("nan")])
def test_a_lease_out_of_range_is_refused(tmp_path, lease_s):
    with pytest.raises(UssimError, match=r"lease = .* is not allowed: must be 1 to 86400 seconds"):
        elastic.run(ball_plan(), tmp_path / "a.zarr", lease_s=lease_s, make_renderer=FakeRenderer)
