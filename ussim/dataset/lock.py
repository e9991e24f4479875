"""Who may write to a store: locks that the system drops when their process ends, however it ends.

A lock is a file in the store for as long as it is held. One that a killed process left is not held any more; the
next writer takes it over and removes it.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ussim.errors import UssimError

PREFIX = ".lock."


@contextmanager
def only_writer(store: Path, name: str, taken: str) -> Iterator[None]:
    """Hold a lock of a store.

    Args:
        store: The store; it exists.
        name: What is locked; part of a file's name.
        taken: What to say if another process holds it.

    Raises:
        UssimError: Another process holds it, or the file system is read-only or has no locks.
    """
    from filelock import FileLock, Timeout

    path = store / f"{PREFIX}{name}"
    lock = FileLock(path)
    try:
        with warnings.catch_warnings():
            # where there are no locks, filelock warns and makes do with files that outlive a crash
            warnings.simplefilter("error", UserWarning)
            lock.acquire(timeout=0)
    except Timeout:
        raise UssimError(f"{store}: {taken}: wait until it has ended") from None
    except (OSError, NotImplementedError, UserWarning) as error:
        reason = getattr(error, "strerror", None) or error
        raise UssimError(f"{store}: cannot be locked against other writers: {reason}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open; filelock does it there
            path.unlink()
        lock.release()


@contextmanager
def only_renderer(store: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Hold the units of a shard: every n-th from the i-th; (1, 1) is all of them.

    Shards that share no unit may be rendered at once, also those of different n.

    Raises:
        UssimError: Another process renders some of these units, or the file system is read-only or has no locks.
    """
    taken = "another process renders here"
    with only_writer(store, _units(shard), taken):
        # each holds its own before it looks at the others: of two that start at once at most one goes on
        for file in store.glob(f"{PREFIX}units-*"):
            first, every = map(int, re.findall(r"\d+", file.name))
            other = (first, every)
            if other != shard and _share_units(shard, other):
                with only_writer(store, _units(other), taken):
                    pass  # left by a process that was killed
        yield


def _units(shard: tuple[int, int]) -> str:
    return f"units-{shard[0]}-of-{shard[1]}"


def _share_units(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether some unit is both the i-th of every n and the j-th of every m (Chinese remainder theorem)."""
    return (one[0] - other[0]) % math.gcd(one[1], other[1]) == 0
