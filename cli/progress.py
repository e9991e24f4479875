"""Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from cli.say import say
from cli.show import duration

SECONDS_BETWEEN_LINES = 5.0


class Reporter:
    """Shows progress while a ``with`` block runs.

    Call it with a phase, how much of it is done, how much there is, and a note such as losses. A phase of one
    step that has no note is only named.

    Args:
        words: What a phase is called, where not by its own name.
        units: What is counted in a phase, where not frames.
    """

    def __init__(self, words: Mapping[str, str] | None = None, units: Mapping[str, str] | None = None):
        self._words = words or {}
        self._units = units or {}
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._first_result: dict[str, tuple[float, int]] = {}
        self._last_line = 0.0

    def __enter__(self) -> Reporter:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Take note of progress."""
        is_new = phase not in self._tasks
        words = self._words.get(phase, phase)
        if self._bar is not None:
            if is_new:
                self._tasks[phase] = self._bar.add_task(words, total=total, note="")
            self._bar.update(self._tasks[phase], completed=done, total=total, note=note)
            return
        self._tasks[phase] = words
        if total > 1 or note:
            count = f"{done} of {total} {self._units.get(phase, 'frames')}"
            self._line(phase, f"{words}: {count}", done, total, note, is_new)
        elif is_new:
            say(words)

    def _line(self, phase: str, text: str, done: int, total: int, note: str, is_new: bool) -> None:
        now = time.monotonic()
        if done:  # the first result is left out of the pace: it may have waited for a compiler
            self._first_result.setdefault(phase, (now, done))
        if not (is_new or done == total or now - self._last_line >= SECONDS_BETWEEN_LINES):
            return
        self._last_line = now
        began, before = self._first_result.get(phase, (now, done))
        left = f"{duration((now - began) / (done - before) * (total - done))} left" if before < done < total else ""
        say(", ".join(part for part in (text, note, left) if part))


def training_reporter() -> Reporter:
    """The reporter of a training, which first decodes frames."""
    return Reporter({"load": "frames decoded", "train": "trained"}, {"train": "iterations"})
