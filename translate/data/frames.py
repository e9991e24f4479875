"""Frames of a store as bytes: all of them, if they fit in memory, else those that were used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

READERS = 8


class Frames:
    """A sequence of uint8 tensors of shape (C, H, W).

    Args:
        read: Reads one, by its position.
        count: How many there are.
        shape: Of each.
        room: How many are kept; if it is all, they are read at once, else when they are asked for.
        home: Where they are kept.
        progress: Told how many are read, and of how many.

    Attributes:
        all_kept: Whether there is room for all.
        home: Where they are kept.
    """

    def __init__(
        self,
        read: Callable[[int], Tensor],
        count: int,
        shape: tuple[int, int, int],
        room: int,
        home: torch.device,
        progress: Callable[[int, int], None] | None = None,
    ):
        self._read, self._count, self.home = read, count, home
        self.all_kept = room >= count
        self._data = torch.empty((min(room, count), *shape), dtype=torch.uint8, device=home)
        self._slots: OrderedDict[int, int] = OrderedDict()  # of each position that is kept; used last comes last
        self._lock = threading.Lock()
        if self.all_kept:
            with ThreadPoolExecutor(READERS) as pool:
                for done, _ in enumerate(pool.map(self._fill, range(count)), start=1):
                    if progress:
                        progress(done, count)

    def __len__(self) -> int:
        return self._count

    def _fill(self, position: int) -> None:
        self._data[position] = self._read(position)

    def __getitem__(self, position: int) -> Tensor:
        """The frame."""
        if self.all_kept:
            return self._data[position]
        with self._lock:
            slot = self._slots.pop(position, None)
            if slot is None:
                slot = len(self._slots)
                if slot == len(self._data):
                    _, slot = self._slots.popitem(last=False)
                self._data[slot] = self._read(position)
            self._slots[position] = slot
            return self._data[slot].clone()
