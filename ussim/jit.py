"""How the scalar physics is compiled: one decorator for CPU, CUDA and the CUDA simulator.

Physics functions are decorated with :func:`device`. The CPU kernels call them as ordinary Numba
functions; numba-cuda compiles the same dispatchers again as device functions when a CUDA kernel calls
them; under ``NUMBA_ENABLE_CUDASIM=1`` they stay plain Python, because the simulator cannot hand its
arrays to compiled code.

Numba's on-disk cache looks only at the file a function stands in, not at what that function calls. The
cache folder therefore carries a digest of all sources that hold compiled code: an edit or an upgrade
anywhere among them starts a fresh one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numba

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
"""True when the CUDA simulator is on: device functions are then plain Python."""


def _source_digest() -> str:
    package = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(
        [
            *package.glob("*.py"),
            *package.glob("physics/*.py"),
            *package.glob("kernels/*.py"),
            *package.glob("backends/*.py"),
        ]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _use_own_cache_folder() -> None:
    if "NUMBA_CACHE_DIR" in os.environ:  # the user has chosen a place: leave it
        return
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    numba.config.CACHE_DIR = str(root / "ussim" / f"numba-{_source_digest()}")


_use_own_cache_folder()

# "contract" lets a·b + c become one instruction, as nvcc does; the other fast-math flags would let
# NaN and infinity checks disappear.
_CPU_OPTIONS = {"cache": True, "fastmath": {"contract"}, "error_model": "numpy"}


def device(function):
    """Compile a scalar function that both backends call."""
    return function if SIMULATED else numba.njit(**_CPU_OPTIONS)(function)


def exact_device(function):
    """Like :func:`device`, for code whose results must be the same bits wherever it is inlined."""
    return function if SIMULATED else numba.njit(cache=True, error_model="numpy")(function)


def cpu_kernel(function):
    """Compile a CPU stage whose outer loop is a ``prange`` over all cores; other Python threads run meanwhile."""
    return numba.njit(parallel=True, nogil=True, **_CPU_OPTIONS)(function)
