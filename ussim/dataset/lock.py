"""Who may render which units of a store."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ussim.dataset.place import Where, place_of
from ussim.errors import UssimError
from ussim.lock import PREFIX, only_writer

_TAKEN = "another process renders here"
_PASSING_S = 1.0  # others may hold a dead one's lock in passing, to see that it is dead
_WORKER = "worker-"


@contextmanager
def only_renderer(store: Where, shard: tuple[int, int]) -> Iterator[None]:
    """Hold the units of a shard: every n-th from the i-th; (1, 1) is all of them.

    Shards that share no unit may be rendered at once, also those of different n, but none beside workers. An object
    store has no locks: there two that share units render them twice, and what they write is the same.

    Raises:
        UssimError: Another process renders some of these units, or the file system is read-only or has no locks.
    """
    folder = place_of(store).folder
    if folder is None:
        yield
        return
    with only_writer(folder, _units(shard), _TAKEN):
        # each holds its own before it looks at the others: of two that start at once at most one goes on
        for file in folder.glob(f"{PREFIX}units-*"):
            first, every = map(int, re.findall(r"\d+", file.name))
            other = (first, every)
            if other != shard and _share_units(shard, other):
                with only_writer(folder, _units(other), _TAKEN, _PASSING_S):
                    pass  # left by a process that was killed
        for file in _workers(folder):
            with only_writer(folder, file.name.removeprefix(PREFIX), _TAKEN, _PASSING_S):
                pass
        yield


@contextmanager
def only_array_writer(store: Where, name: str) -> Iterator[None]:
    """Hold an array that is put beside those of a store; not in an object store, which has no locks.

    Raises:
        UssimError: Another process writes it, or the file system is read-only or has no locks.
    """
    folder = place_of(store).folder
    if folder is None:
        yield
        return
    with only_writer(folder, f"array-{name}", f"another process writes array {name!r} here"):
        yield


@contextmanager
def one_of_many(store: Where) -> Iterator[None]:
    """Be a worker among others that have their own way of dividing the units; no shard is rendered meanwhile.

    Raises:
        UssimError: A process renders a shard, or all, or the file system is read-only or has no locks.
    """
    folder = place_of(store).folder
    with worker_of_renderer(store):
        for file in folder.glob(f"{PREFIX}units-*") if folder else ():
            name = file.name.removeprefix(PREFIX)
            with only_writer(file.parent, name, "another process renders here, alone", _PASSING_S):
                pass
        yield
    remove_dead_workers(store)


@contextmanager
def worker_of_renderer(store: Where) -> Iterator[None]:
    """Be a worker of a process that holds the units itself: while it lives, no other process may have them.

    Raises:
        UssimError: The file system is read-only or has no locks.
    """
    folder = place_of(store).folder
    if folder is None:
        yield
        return
    with only_writer(folder, f"{_WORKER}{uuid.uuid4().hex}", _TAKEN, _PASSING_S):
        yield


def remove_dead_workers(store: Where) -> None:
    """Remove the lock files that killed workers left."""
    folder = place_of(store).folder
    for file in _workers(folder):
        with suppress(UssimError), only_writer(file.parent, file.name.removeprefix(PREFIX), _TAKEN):
            pass


def has_workers(store: Where) -> bool:
    """Whether workers render here, or have died here."""
    return bool(_workers(place_of(store).folder))


def _workers(folder: Path | None) -> list[Path]:
    return list(folder.glob(f"{PREFIX}{_WORKER}*")) if folder else []


def _units(shard: tuple[int, int]) -> str:
    return f"units-{shard[0]}-of-{shard[1]}"


def _share_units(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether some unit is both the i-th of every n and the j-th of every m (Chinese remainder theorem)."""
    return (one[0] - other[0]) % math.gcd(one[1], other[1]) == 0
