"""Threads that write finished units while the next are rendered."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np

WRITER_THREADS = 4


class WriteFailedError(Exception):
    """The disk did not take a unit; the message says why."""


class TakesUnits(Protocol):
    """What units are written to: a :class:`~ussim.dataset.store.Dataset`, or what stands before one."""

    def write_unit(self, unit: int, data: Mapping[str, np.ndarray]) -> None:
        """Write all frames of a work unit."""


class Writers:
    """A few threads that write units. An error in one of them surfaces at the next call here."""

    def __init__(self, dataset: TakesUnits, limit: int):
        self._dataset = dataset
        self._limit = limit
        self._pool = ThreadPoolExecutor(min(WRITER_THREADS, os.cpu_count() or 1), "ussim-writer")
        self._pending: deque[Future] = deque()

    def submit(self, unit: int, data: dict[str, np.ndarray]) -> None:
        """Queue a unit; waits while too many are queued, which bounds memory."""
        while len(self._pending) >= self._limit or (self._pending and self._pending[0].done()):
            self._collect()
        self._pending.append(self._pool.submit(self._dataset.write_unit, unit, data))

    def finish(self) -> None:
        """Wait for all that is queued."""
        while self._pending:
            self._collect()

    def drain(self) -> None:
        """Wait for all that is queued, whatever becomes of it: an error is being reported already."""
        for future in self._pending:
            future.exception()
        self._pending.clear()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _collect(self) -> None:
        try:
            self._pending.popleft().result()
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise WriteFailedError("the disk is full" if full else error.strerror or str(error)) from error
