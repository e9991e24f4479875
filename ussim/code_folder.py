"""The folder that machine code is kept in: whose it is, whether it can be used, and what in it is damaged.

What lies in it is run. A folder that somebody else may write to is therefore not used, nor is one that was damaged by
a power cut allowed to stop a program: code that is not there is compiled again.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import shutil
import stat
import tempfile
import warnings
from functools import cache
from pathlib import Path

from ussim.errors import UssimWarning
from ussim.files import user_cache_folder

LEAST_FREE_BYTES = 256 * 2**20
"""On a disk with less, nothing is kept: a compiler that finds it full half-way stops the program."""


@cache
def usable_folder(name: str, chosen: str = "") -> Path | None:
    """A folder for machine code, made if missing and cleared of what is damaged.

    Args:
        name: Its name.
        chosen: The folder it lies in, as the user named it with ``NUMBA_CACHE_DIR``; ussim's cache if empty.

    Returns:
        The folder; None, after a warning, where there is none that can be used.
    """
    place = Path(chosen) if chosen else user_cache_folder()
    folder = place / name
    try:
        reason = _reason_against(folder) if place.is_absolute() or chosen else "no home folder is known"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        _warn(place, reason)
        return None
    _remove_damaged(folder)
    return folder


def _reason_against(folder: Path) -> str:
    """Why a folder cannot be used, in words; empty if it can.

    Raises:
        OSError: It cannot be made or written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid"):
        status = folder.stat()
        if status.st_uid != os.getuid():
            return f"{folder.name} in it belongs to another user"
        if status.st_mode & stat.S_IWOTH:
            return f"everybody may write to {folder.name} in it"
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        return "the disk is full"
    tempfile.TemporaryFile(dir=folder).close()
    return ""


@cache
def _warn(place: Path, reason: str) -> None:
    warnings.warn(
        f"compiled code is not kept, and made anew each time: {place}: {reason}; choose a folder of your own with "
        "NUMBA_CACHE_DIR",
        UssimWarning,
        stacklevel=2,
    )


def _remove_damaged(folder: Path) -> None:
    """Remove indices that cannot be read and code that was cut off; both are pickles, which end in a full stop."""
    for file in folder.rglob("*.nb[ic]"):
        try:
            if not (_is_index(file) if file.suffix == ".nbi" else _has_end(file)):
                file.unlink()
        except OSError:  # another process was faster
            continue


def _is_index(file: Path) -> bool:
    """Whether a file is two pickles, as Numba writes its indices: its version, then the rest.

    They are looked through and not loaded: that would import modules, whose functions are kept in this very folder.
    """
    stream = io.BytesIO(file.read_bytes())
    try:
        for _ in range(2):
            for _ in pickletools.genops(stream):
                pass
    except Exception:  # a damaged pickle raises what it likes
        return False
    return not stream.read()


def _has_end(file: Path) -> bool:
    with file.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read() == pickle.STOP
