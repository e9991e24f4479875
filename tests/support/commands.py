"""Calling ``ussim`` as a user does, and what every mistake must look like."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from click.testing import CliRunner, Result

from cli.ussim import main
from support import ROOT


def ussim(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def ussim_process(*arguments: object, **environment: str) -> subprocess.Popen:
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in background jobs
        args=[sys.executable, "-m", "cli.ussim", *map(str, arguments)],
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
