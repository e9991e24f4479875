"""Writing: what is marked done is on the disk, and nobody else writes it at the same time."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.jobs import FakeRenderer, all_files, ball_plan

import ussim.files
from ussim.dataset import job
from ussim.dataset.lock import only_renderer
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError
from ussim.lock import only_writer


def render(path: Path, **keys) -> job.Summary:
    return job.run(ball_plan(), path, make_renderer=FakeRenderer, **keys)


def begin(path: Path) -> Path:
    """A store of six units without frames."""
    plan = ball_plan()
    renderer = FakeRenderer(plan, "cpu", None)
    tgc_db = renderer.fit_tgc(plan.scene.sweep("exam").poses(job.TGC_POSES))
    return Dataset.create(path, plan.header("cpu", tgc_db), plan.poses, plan.settings.probe.mask()).path


# Durability -------------------------------------------------------------------------------------------


@pytest.fixture
def flushed(monkeypatch) -> list[Path]:
    """Every path that is flushed to the disk, in order."""
    paths: list[Path] = []
    flush = ussim.files.flush
    monkeypatch.setattr(ussim.files, "flush", lambda path: (flush(path), paths.append(path)))
    return paths


def test_a_unit_and_all_its_names_are_on_the_disk_before_its_flag_and_the_flag_after(tmp_path, monkeypatch):
    path = begin(tmp_path / "a.zarr")
    flag = path / "done" / "c" / "1"
    without_flag: set[Path] = set()
    with_flag: set[Path] = set()
    flush = ussim.files.flush

    def record(file: Path) -> None:
        flush(file)
        (with_flag if flag.exists() else without_flag).add(file)

    monkeypatch.setattr(ussim.files, "flush", record)
    before = set(all_files(path))
    render(path, shard=(2, 6))
    written = {path / name for name in set(all_files(path)) - before} - {flag}
    assert len(written) == 4 * 4 + 2, "four arrays of four frames, and the scale and the digests of the unit"
    folders = {parent for file in written for parent in file.parents if parent.is_relative_to(path)}
    assert without_flag == written | folders
    assert with_flag == {flag, flag.parent, flag.parent.parent, path}


def test_a_new_store_is_flushed_before_it_has_its_name(tmp_path, flushed):
    path = begin(tmp_path / "a.zarr")
    inside = {file.name for file in flushed if file.name == "zarr.json"}
    assert inside == {"zarr.json"}
    assert not any(file.is_relative_to(path) for file in flushed), "under its scratch name"
    assert flushed[-1] == tmp_path, "then the new name"
    assert len(flushed) > len(all_files(path))


@pytest.mark.parametrize("broken", [b"", b"\0" * 20])
def test_a_flag_that_a_power_cut_broke_counts_as_not_done(tmp_path, broken):
    path = render(tmp_path / "a.zarr").path
    whole = all_files(path)
    (path / "done" / "c" / "2").write_bytes(broken)
    assert Dataset.open(path).done.tolist() == [True, True, False, True, True, True]
    assert render(path, resume=True).rendered == 4
    assert all_files(path) == whole


def test_a_drive_that_cannot_flush_folders_is_taken(tmp_path, monkeypatch):
    fsync = os.fsync

    def files_only(handle: int) -> None:
        if not os.path.isfile(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    assert render(tmp_path / "a.zarr").units_done == 6

    def fails(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(UssimError, match="cannot create the store: Input/output error"):
        render(tmp_path / "b.zarr")


# Locks ------------------------------------------------------------------------------------------------

WHOLE = (1, 1)


@pytest.mark.parametrize(
    ("held", "wanted", "may_run"),
    [
        ([WHOLE], WHOLE, False),
        ([(1, 2)], (1, 2), False),
        ([(1, 2)], (2, 2), True),
        ([(1, 4), (2, 4), (4, 4)], (3, 4), True),
        ([(2, 4)], WHOLE, False),
        ([WHOLE], (2, 4), False),
        ([(1, 2)], (2, 4), True),  # units 0 2 4 …, and 1 5 9 …
        ([(1, 2)], (3, 4), False),  # 2 6 10 … are of both
        ([(1, 2)], (2, 3), False),  # unit 4 is of both
        ([(2, 4)], (4, 6), False),  # unit 9 is of both
        ([(2, 4)], (3, 6), True),
    ],
)
def test_two_runs_may_go_on_together_if_and_only_if_they_share_no_unit(tmp_path, held, wanted, may_run):
    for one in held:
        units = range(one[0] - 1, 1000, one[1])
        assert may_run <= set(units).isdisjoint(range(wanted[0] - 1, 1000, wanted[1]))
    with ExitStack() as stack:
        for one in held:
            stack.enter_context(only_renderer(tmp_path, one))
        names = sorted(os.listdir(tmp_path))
        try:
            with only_renderer(tmp_path, wanted):
                refused = ""
        except UssimError as error:
            refused = str(error)
        assert sorted(os.listdir(tmp_path)) == names, "whoever is refused leaves nothing"
    assert refused == ("" if may_run else f"{tmp_path}: another process renders here: wait until it has ended")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("held", [WHOLE, (2, 3)])
@pytest.mark.parametrize("how", [{"resume": True}, {"shard": (2, 3)}])
def test_a_second_writer_is_refused_at_once_and_changes_nothing(tmp_path, held, how):
    path = begin(tmp_path / "a.zarr")
    calls: list[str] = []
    with only_renderer(path, held):
        before = all_files(path)
        with pytest.raises(UssimError, match="another process renders here"):
            render(path, **how, progress=lambda phase, *_: calls.append(phase))
        assert all_files(path) == before
        assert calls == [], "before anything is checked or loaded"
        assert verify(path).litter == (f".lock.units-{held[0]}-of-{held[1]}",)
    assert render(path, **how).rendered > 0
    assert not list(path.glob(".lock*"))


def test_other_shards_go_on_beside_one(tmp_path):
    path = begin(tmp_path / "a.zarr")
    with only_renderer(path, (1, 3)):
        assert render(path, shard=(2, 3)).rendered == 8
    assert render(path, resume=True).units_done == 6


def test_units_that_another_finished_before_the_lock_are_not_rendered_again(tmp_path, monkeypatch):
    path = begin(tmp_path / "a.zarr")

    def first_the_other(store, shard):
        monkeypatch.undo()
        render(path, resume=True)
        return only_renderer(store, shard)

    monkeypatch.setattr(job, "only_renderer", first_the_other)
    assert render(path, resume=True).rendered == 0


def test_a_killed_process_leaves_no_lock_that_holds(tmp_path):
    path = begin(tmp_path / "a.zarr")
    code = "import sys, time; from pathlib import Path; from ussim.dataset.lock import only_renderer\n"
    code += "with only_renderer(Path(sys.argv[1]), (1, 2)): print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(UssimError, match="another process renders here"):
        render(path, resume=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (path / ".lock.units-1-of-2").exists(), "the file stays, the lock does not"
    assert render(path, resume=True).units_done == 6
    assert verify(path).problems == []
    assert not list(path.glob(".lock*"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (OSError(errno.ENOLCK, "No locks available"), "No locks available"),
        (NotImplementedError("no flock here"), "no flock here"),
        (None, "flock not supported on this filesystem, falling back to SoftFileLock"),
    ],
)
def test_a_drive_that_is_read_only_or_has_no_locks_is_one_clear_line(tmp_path, monkeypatch, error, reason):
    import filelock

    def acquire(self, **_):
        if error:
            raise error
        warnings.warn(reason, stacklevel=2)

    path = begin(tmp_path / "a.zarr")
    before = all_files(path)
    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(UssimError) as caught:
        render(path, resume=True)
    assert str(caught.value) == f"{path}: cannot be locked against other writers: {reason}"
    assert all_files(path) == before


def test_a_finished_store_needs_no_lock(tmp_path, monkeypatch):
    path = render(tmp_path / "a.zarr").path
    monkeypatch.setattr(job, "only_renderer", None)
    assert render(path, resume=True).rendered == 0


def test_an_array_of_others_has_a_lock_of_its_own(tmp_path):
    with only_renderer(tmp_path, WHOLE), only_writer(tmp_path, "array-enhanced", "taken"):
        with pytest.raises(UssimError, match="taken: wait until it has ended"):
            with only_writer(tmp_path, "array-enhanced", "taken"):
                pass
        with only_writer(tmp_path, "array-other", "taken"):
            assert len(list(tmp_path.iterdir())) == 3
