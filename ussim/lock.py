"""Who may write to a folder: locks that the system drops when their process ends, however it ends.

A lock is a file in the folder for as long as it is held. One that a killed process left is not held any more; the
next writer takes it over and removes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ussim.errors import UssimError
from ussim.scratch import is_partial

PREFIX = ".lock."


def is_begun(folder: Path) -> bool:
    """Whether a folder holds more than what a process leaves that was killed before its work began."""
    files = folder.iterdir() if folder.is_dir() else ()
    return any(not file.name.startswith(PREFIX) and not is_partial(file) for file in files)


@contextmanager
def only_writer(folder: Path, name: str, taken: str, patience_s: float = 0.0) -> Iterator[None]:
    """Hold a lock of a folder.

    Args:
        folder: A store, a run or another folder; it exists.
        name: What is locked; part of a file's name.
        taken: What to say if another process holds it.
        patience_s: How long to wait for one that holds it, as those do in passing that look whether its owner lives.

    Raises:
        UssimError: Another process holds it, or the file system is read-only or has no locks.
    """
    from filelock import FileLock, Timeout

    path = folder / f"{PREFIX}{name}"
    lock = FileLock(path)
    try:
        with warnings.catch_warnings():
            # where there are no locks, filelock warns and makes do with files that outlive a crash
            warnings.simplefilter("error", UserWarning)
            lock.acquire(timeout=patience_s)
    except Timeout:
        raise UssimError(f"{folder}: {taken}: wait until it has ended") from None
    except (OSError, NotImplementedError, UserWarning) as error:
        reason = getattr(error, "strerror", None) or error
        raise UssimError(f"{folder}: cannot be locked against other writers: {reason}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open; filelock does it there
            path.unlink()
        lock.release()
