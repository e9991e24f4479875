"""How functions are compiled: one set of decorators for the CPU and CUDA.

Physics functions are decorated with :func:`device`. The CPU kernels call them as ordinary Numba
functions; numba-cuda compiles the same dispatchers again as device functions when a CUDA kernel calls them.

Numba keeps machine code on disk, but looks only at the file a function stands in, not at what that function
calls or at constants of other files, which are frozen into its code. What is compiled here is therefore kept in
a folder named after a digest of all sources that it can be made from: an edit or an upgrade starts a fresh one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba

from ussim.code_folder import usable_folder

_config: Any = numba.config  # its names are made when numba is imported

_PACKAGE = Path(__file__).parent
_decorating = Lock()


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """``numba.njit(**options)``, with its machine code kept on disk for as long as no source of it changes.

    Numba takes the place from a setting of the whole process. It is set while the function is decorated, which is
    when Numba looks at it, and put back: code of other people keeps its own place, and nothing private is used.
    Where there is no place, the function is compiled in each process that calls it.
    """

    def decorate(function: Callable) -> Any:
        with _decorating:
            before = _config.CACHE_DIR
            folder = code_folder(Path(function.__code__.co_filename), before)
            if folder is None:
                return numba.njit(**options)(function)
            _config.CACHE_DIR = str(folder)
            try:
                return numba.njit(cache=True, **options)(function)
            finally:
                _config.CACHE_DIR = before

    return decorate


def code_folder(source: Path, chosen: str = "") -> Path | None:
    """The folder for machine code of a source file's functions; None, after a warning, where there is none to use.

    Args:
        source: The file.
        chosen: The folder that the user named with ``NUMBA_CACHE_DIR``; that of ussim's cache if empty.
    """
    return usable_folder(f"numba-{_digest(compiled_from(source))}", chosen)


def compiled_from(source: Path) -> tuple[Path, ...]:
    """All files whose functions and constants may be part of a source file's machine code.

    They are those of its room, of the renderer if it belongs to ``ussim``, and this one.
    """
    package, *rooms = source.parent.relative_to(_PACKAGE.parent).parts
    folders = {_PACKAGE.parent.joinpath(package, *rooms[:1])}
    if package == _PACKAGE.name:
        folders.add(_PACKAGE / "render")
    return tuple(sorted({_PACKAGE / "jit.py", *(path for folder in folders for path in folder.rglob("*.py"))}))


@cache
def _digest(sources: tuple[Path, ...]) -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sources:
        data = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE.parent).as_posix()} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


# No product is fused into a sum, by any backend: a ray of one would then pass an edge or a cell of the lattice on the
# other side than a ray of the other. It costs a CPU 3 % of a frame.
# All is said outright: what is left out, a function takes over from its first caller.
CPU_OPTIONS = {"fastmath": False, "error_model": "numpy", "forceinline": False}


def device(function):
    """Compile a scalar function that both backends call."""
    return compiled(**CPU_OPTIONS)(function)


def inlined_device(function):
    """Like :func:`device`, for what passes a scene's tables on: as a call, each hands over a hundred numbers."""
    return compiled(**{**CPU_OPTIONS, "forceinline": True})(function)


def cpu_kernel(function):
    """Compile a CPU stage whose outer loop is a ``prange`` over all cores; other Python threads run meanwhile."""
    return compiled(parallel=True, nogil=True, **CPU_OPTIONS)(function)
