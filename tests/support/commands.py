"""Calling ``ussim`` as a user does, and what every mistake must look like."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from click.testing import CliRunner, Result

from cli.ussim import main
from support import PATIENCE_S, ROOT


def ussim(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def ussim_process(*arguments: object, first: str = "", **environment: str) -> subprocess.Popen:
    """``ussim`` in a process of its own, after some lines of Python."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        args=[sys.executable, "-c", f"{first}\nfrom cli.ussim import main; main()", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_one_line_error(result: Result, *words: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: "), result.stderr
    assert "Traceback" not in result.output
    assert sum(text.startswith("error") for text in result.stderr.splitlines()) == 1
    for word in words:
        assert word in line


def refused(*arguments: object) -> str:
    """The one line with which ``ussim`` refuses arguments."""
    result = ussim(*arguments)
    assert_one_line_error(result)
    return result.stderr.strip().splitlines()[-1]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a process has made a file."""
    end = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, f"it ended by itself with {process.returncode}"
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.005)
