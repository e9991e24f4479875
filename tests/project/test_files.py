"""Files and folders that are whole or not there, and what is left of them by processes that were killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support import ROOT

from ussim.files import whole_file, whole_folder, write_text
from ussim.scratch import is_partial, remove_orphans, scratch_beside

KILLED = """
import os, signal, sys
from pathlib import Path
from ussim.files import whole_folder
with whole_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_removes_what_a_killed_one_left_beside_its_place(tmp_path):
    place = tmp_path / "a[1].zarr"
    subprocess.run([sys.executable, "-c", KILLED, place], cwd=ROOT, check=False)
    (orphan,) = tmp_path.iterdir()
    assert is_partial(orphan)
    with whole_folder(place) as folder:
        (folder / "whole").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["a[1].zarr"]


def test_what_a_process_that_lives_writes_is_left_alone(tmp_path):
    place = tmp_path / "a.zarr"
    ours, theirs = scratch_beside(place), tmp_path / ".a.zarr.00000000-1-00000000.partial"
    for folder in (ours, theirs):  # the other one is of another host
        folder.mkdir()
    remove_orphans(place)
    assert ours.is_dir()
    assert theirs.is_dir()


@pytest.mark.parametrize("length", [1, 100, 255])
def test_a_name_may_be_as_long_as_the_file_system_takes_it(tmp_path, length):
    write_text(tmp_path / ("x" * length), "text")
    with whole_folder(tmp_path / ("y" * length)):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"x" * length, "y" * length}


def test_a_file_that_is_not_finished_leaves_the_old_one_and_nothing_else(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def interrupted() -> None:
        with whole_file(file) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
