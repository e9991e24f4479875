"""Who may render which units of a store."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ussim.dataset.place import Where, place_of
from ussim.lock import PREFIX, only_writer


@contextmanager
def only_renderer(store: Where, shard: tuple[int, int]) -> Iterator[None]:
    """Hold the units of a shard: every n-th from the i-th; (1, 1) is all of them.

    Shards that share no unit may be rendered at once, also those of different n. An object store has no locks: there
    two that share units render them twice, and what they write is the same.

    Raises:
        UssimError: Another process renders some of these units, or the file system is read-only or has no locks.
    """
    folder, taken = place_of(store).folder, "another process renders here"
    if folder is None:
        yield
        return
    with only_writer(folder, _units(shard), taken):
        # each holds its own before it looks at the others: of two that start at once at most one goes on
        for file in folder.glob(f"{PREFIX}units-*"):
            first, every = map(int, re.findall(r"\d+", file.name))
            other = (first, every)
            if other != shard and _share_units(shard, other):
                with only_writer(folder, _units(other), taken):
                    pass  # left by a process that was killed
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


def _units(shard: tuple[int, int]) -> str:
    return f"units-{shard[0]}-of-{shard[1]}"


def _share_units(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether some unit is both the i-th of every n and the j-th of every m (Chinese remainder theorem)."""
    return (one[0] - other[0]) % math.gcd(one[1], other[1]) == 0
