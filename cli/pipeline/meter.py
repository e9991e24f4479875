"""What a step costs: its time, and the most memory the process held while it ran."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

CLEAR_PEAK = Path("/proc/self/clear_refs")
"""Linux forgets a process's peak when 5 is written there."""


class Meter:
    """Measures while a ``with`` block runs.

    Attributes:
        peak_memory_bytes: Largest resident memory, as the kernel keeps it. Linux counts it from the beginning of the
            block; a system that cannot forget an earlier peak, from the start of the process; Windows, not at all: 0.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._ended: float | None = None
        self.peak_memory_bytes = 0

    @property
    def seconds(self) -> float:
        """Time since it began, up to its end."""
        return (self._ended or time.perf_counter()) - self._began

    def __enter__(self) -> Meter:
        with suppress(OSError):
            CLEAR_PEAK.write_text("5")
        return self

    def __exit__(self, *_: object) -> None:
        self.peak_memory_bytes = peak_memory_bytes()
        self._ended = time.perf_counter()


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far; 0 where the system does not keep it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, others KiB
