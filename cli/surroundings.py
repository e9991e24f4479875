"""What surrounds a program, made the same for everybody: signals, threads, streams."""

from __future__ import annotations

import os
import sys

from ussim.cpus import usable_cpus
from ussim.stop import end_on_signals

_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def prepare() -> None:
    """Make the surroundings of a program the same for everybody."""
    end_on_signals()
    _fix_streams()
    _fix_threads()


def _fix_threads() -> None:
    """As many threads for sums as the process may use CPUs: how many there are decides the last bits of a result.

    ``torchrun`` divides the CPUs among its processes itself.
    """
    asked = os.environ.get("NUMBA_NUM_THREADS", "1")
    if not (asked.isdecimal() and 0 < int(asked[:6]) <= 4096):
        print(f"error: NUMBA_NUM_THREADS = {asked!a}: must be a whole number from 1 on", file=sys.stderr)
        sys.exit(2)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return
    count = str(usable_cpus())
    for name in _POOLS:
        os.environ[name] = count


def _fix_streams() -> None:
    """Streams that take every name of a file, and are there even where the caller closed them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
        elif mode == "w":
            stream.reconfigure(errors="backslashreplace")
