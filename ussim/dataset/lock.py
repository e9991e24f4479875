"""Who may render which units of a store."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ussim.lock import PREFIX, only_writer


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
