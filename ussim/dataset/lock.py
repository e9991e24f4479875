"""Who may render which units of a store."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ussim.errors import UssimError
from ussim.lock import PREFIX, only_writer

_TAKEN = "another process renders here"
_WORKER = "worker-"


@contextmanager
def only_renderer(store: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Hold the units of a shard: every n-th from the i-th; (1, 1) is all of them.

    Shards that share no unit may be rendered at once, also those of different n, but none beside workers.

    Raises:
        UssimError: Another process renders some of these units, or the file system is read-only or has no locks.
    """
    with only_writer(store, _units(shard), _TAKEN):
        # each holds its own before it looks at the others: of two that start at once at most one goes on
        for file in store.glob(f"{PREFIX}units-*"):
            first, every = map(int, re.findall(r"\d+", file.name))
            other = (first, every)
            if other != shard and _share_units(shard, other):
                with only_writer(store, _units(other), _TAKEN):
                    pass  # left by a process that was killed
        for file in _workers(store):
            with only_writer(store, file.name.removeprefix(PREFIX), _TAKEN):
                pass
        yield


@contextmanager
def one_of_many(store: Path) -> Iterator[None]:
    """Be a worker among others that have their own way of dividing the units; no shard is rendered meanwhile.

    Raises:
        UssimError: A process renders a shard, or all, or the file system is read-only or has no locks.
    """
    with worker_of_renderer(store):
        for file in store.glob(f"{PREFIX}units-*"):
            with only_writer(store, file.name.removeprefix(PREFIX), "another process renders here, alone"):
                pass
        yield
    remove_dead_workers(store)


@contextmanager
def worker_of_renderer(store: Path) -> Iterator[None]:
    """Be a worker of a process that holds the units itself: while it lives, no other process may have them.

    Raises:
        UssimError: The file system is read-only or has no locks.
    """
    with only_writer(store, f"{_WORKER}{uuid.uuid4().hex}", _TAKEN):
        yield


def remove_dead_workers(store: Path) -> None:
    """Remove the lock files that killed workers left."""
    for file in _workers(store):
        with suppress(UssimError), only_writer(store, file.name.removeprefix(PREFIX), _TAKEN):
            pass


def has_workers(store: Path) -> bool:
    """Whether workers render here, or have died here."""
    return bool(_workers(store))


def _workers(store: Path) -> list[Path]:
    return list(store.glob(f"{PREFIX}{_WORKER}*"))


def _units(shard: tuple[int, int]) -> str:
    return f"units-{shard[0]}-of-{shard[1]}"


def _share_units(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether some unit is both the i-th of every n and the j-th of every m (Chinese remainder theorem)."""
    return (one[0] - other[0]) % math.gcd(one[1], other[1]) == 0
