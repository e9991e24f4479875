"""Names of what is not whole yet, and the removal of what killed processes left of it."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import shutil
import uuid
from pathlib import Path

PARTIAL = ".partial"
"""Ending of what is not whole yet; a leftover of that name is from a process that was killed."""


def scratch_beside(path: Path) -> Path:
    """A name in the same folder that no other process uses; it says which process does."""
    process = f"{_this_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return path.absolute().with_name(f"{_scratch_stem(path)}{process}{PARTIAL}")


def _scratch_stem(path: Path) -> str:
    name = path.absolute().name
    return f".{name[:48]}."  # a file's name may be as long as a file system takes it


def _this_host() -> str:
    return hashlib.sha256(platform.node().encode(errors="replace")).hexdigest()[:8]


def remove_orphans(path: Path) -> None:
    """Remove scratch folders for a path that processes of this host left when they were killed."""
    if os.name == "nt":  # a process cannot be asked there whether it lives
        return
    for scratch in path.absolute().parent.glob(f"{glob.escape(_scratch_stem(path))}{_this_host()}-*{PARTIAL}"):
        number = scratch.name.removesuffix(PARTIAL).split("-")[-2]
        if number.isdecimal() and not _lives(int(number)):
            shutil.rmtree(scratch, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def is_partial(path: Path) -> bool:
    """Whether a name is that of a scratch file or folder, left by a process that was killed if nobody writes."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; call it only while nobody writes there."""
    for path in folder.glob(f".*{PARTIAL}"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
