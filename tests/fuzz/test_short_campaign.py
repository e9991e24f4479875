"""A short campaign at each change; the long one is run by hand, see ``campaign.py``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE_S, ROOT

CASES = 15
SEED = 11
FAULTS = ("traceback", "hang", "memory", "long line", "noise", "exit code", "outside")
TOGETHER = (("pipeline", "set", "labels", "nifti"), ("run", "store", "scene", "tissues", "mesh"))
"""Kinds of either process; both take about as long."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches processes as Linux has them")


def begin(kinds: tuple[str, ...], failures: Path) -> subprocess.Popen:
    """A campaign, in a process of its own: it forks, which no thread survives."""
    asked = ["--kind", *kinds, "--cases", CASES, "--seed", SEED, "-o", failures]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.campaign", *map(str, asked)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, dict[str, str]]:
    """The tables that the campaigns print, by kind."""
    failures = tmp_path_factory.mktemp("failures")
    processes = [begin(kinds, failures) for kinds in TOGETHER]
    text = "".join(process.communicate(timeout=PATIENCE_S)[0] for process in processes)
    table = [re.split(r"\s*\|\s*", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]
    found = {row[0]: dict(zip(table[0], row, strict=True)) for row in table}
    said = [path.read_text() for path in sorted(failures.glob("*/verdict.txt"))]
    return found | {"": {"said": "\n".join([text, *said])}}


@pytest.mark.parametrize("kind", ["scene", "tissues", "set", "nifti", "labels", "store", "mesh", "run", "pipeline"])
def test_whatever_comes_is_answered_by_one_line_and_an_exit_code(rows, kind):
    assert kind in rows, rows[""]["said"]
    row = rows[kind]
    assert int(row["cases"]) == CASES
    assert int(row["refused"]) > 0
    assert all(row[fault] == "0" for fault in FAULTS), rows[""]["said"]
