"""What a step costs: its time, and the most memory the process held while it ran."""

from __future__ import annotations

import threading
import time

SAMPLE_EVERY_S = 0.05


class Meter:
    """Measures while a ``with`` block runs.

    Attributes:
        peak_memory_bytes: Largest resident memory seen, sampled every 50 ms.
    """

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ussim-meter", daemon=True)
        self._began = time.perf_counter()
        self._ended: float | None = None
        self.peak_memory_bytes = 0

    @property
    def seconds(self) -> float:
        """Time since it began, up to its end."""
        return (self._ended or time.perf_counter()) - self._began

    def __enter__(self) -> Meter:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self._ended = time.perf_counter()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        self.peak_memory_bytes = max(self.peak_memory_bytes, self._process.memory_info().rss)
