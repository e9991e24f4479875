"""Files that are whole or not there: written aside, flushed to the disk, renamed; and their digests."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from ussim.errors import UssimError
from ussim.scratch import remove_orphans, scratch_beside

MOST_TEXT_BYTES = 64 * 2**20
"""Of a file that is read as a whole: settings, attributes, a log."""
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX")


def read_file(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """All of an ordinary file that is not too large: no pipe that never ends, no device.

    Raises:
        OSError: It cannot be read, is something else, or larger.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:  # a NUL, or half a sign, in its name
        raise OSError(errno.EINVAL, "no path can hold such a name", str(path)) from None
    if not stat.S_ISREG(mode := os.fstat(handle).st_mode):
        os.close(handle)
        what = "a folder, not a file" if stat.S_ISDIR(mode) else "not an ordinary file"
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, what, str(path))
    with os.fdopen(handle, "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes / 2**20:.0f} MiB", str(path))
    return data


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file that appears whole or not at all, and survives a power cut once it is there.

    Its folder is made if need be. Give writers that go by the ending of a name the format: that of the scratch
    file is ``.partial``.

    Args:
        path: Where it is to be; a file that is there stays until the new one is whole.

    Yields:
        A path beside it to write to.

    Raises:
        UssimError: It cannot be written.
    """
    scratch = scratch_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        flush(scratch)
        os.replace(scratch, path)
        flush(path.parent)
    except OSError as error:
        raise UssimError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file as :func:`whole_file` does."""
    with whole_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as :func:`whole_file` does."""
    with whole_file(path) as scratch:
        scratch.write_bytes(data)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder that appears with all its files or not at all.

    Args:
        path: Where it is to be: nothing, or an empty folder. Of several processes that try at once, one succeeds.

    Yields:
        A folder beside it, made, to write to.

    Raises:
        OSError: It cannot be written, or the path is taken by the time the folder is whole.
    """
    scratch = scratch_beside(path)
    remove_orphans(path)
    try:
        scratch.mkdir(parents=True)
        yield scratch
        flush_tree(scratch)
        os.rename(scratch, path)  # onto an empty folder it succeeds, onto any other it does not
        flush(path.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def require_place(path: Path) -> None:
    """Refuse a place where nothing can be made, before the work for it is done.

    Raises:
        UssimError: It is a link that leads nowhere, or the folder that it is to lie in cannot be written.
    """
    if path.is_symlink() and not path.exists():
        raise UssimError(f"{path} is a link that leads nowhere: remove it, or choose another path")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise UssimError(f"{path}: cannot be made: {folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UssimError(f"{path}: cannot be made: {folder} cannot be written")


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    is_folder = path.is_dir()
    if os.name == "nt" and is_folder:  # Windows opens no folder, and keeps its names by itself
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if not (is_folder and error.errno in (errno.EINVAL, errno.ENOTSUP)):  # some network drives flush files only
            raise
    finally:
        os.close(handle)


def flush_files(files: Collection[Path], root: Path) -> None:
    """Wait until files are on the disk, and the names that lead to them from a folder above them all."""
    folders = {folder for file in files for folder in file.parents[: len(file.relative_to(root).parts)]}
    with ThreadPoolExecutor(16) as pool:  # at once: one flush of the disk's cache serves many, in a tenth of the time
        list(pool.map(flush, {*files, *folders}))


def flush_tree(folder: Path) -> None:
    """Wait until everything in a folder is on the disk."""
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; empty if there is none.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_litter(path: Path) -> bool:
    """Whether a name is one that operating systems and archivers strew about: nobody's data."""
    return any(part in LITTER or part.startswith("._") for part in path.parts)


def user_cache_folder() -> Path:
    """``$XDG_CACHE_HOME/ussim``, else ``~/.cache/ussim``; on macOS and Windows where caches lie there."""
    from platformdirs import user_cache_path

    return user_cache_path("ussim", appauthor=False)
