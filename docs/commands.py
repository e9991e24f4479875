"""Runs the project's own command lines, those installed beside this Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def call(program: str, *arguments: object) -> None:
    """Show a command line and run it.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    command = (program, *map(str, arguments))
    print(" ".join(command), flush=True)
    subprocess.run([Path(sys.executable).with_name(program), *command[1:]], check=True)
