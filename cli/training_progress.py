"""Progress of a training on stderr: losses and time left, as a bar on a terminal, as lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from cli.show import duration

SECONDS_BETWEEN_LINES = 5.0
WORDS = {"load": ("frames decoded", "frames"), "train": ("trained", "iterations")}


class TrainingProgress:
    """Shows progress while a ``with`` block runs.

    Call it with a phase (``load`` or ``train``), how much is done, how much there is, and a note such as the losses.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._last_line = 0.0

    def __enter__(self) -> TrainingProgress:
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

    def __call__(self, phase: str, done: int, total: int, note: str) -> None:
        """Take note of progress."""
        words, unit = WORDS[phase]
        if self._bar is not None:
            if phase not in self._tasks:
                self._tasks[phase] = self._bar.add_task(words, total=total, note="")
            self._bar.update(self._tasks[phase], completed=done, total=total, note=note)
            return
        now = time.monotonic()
        is_new = phase not in self._began
        began, before = self._began.setdefault(phase, (now, done))
        if not (is_new or done == total or now - self._last_line >= SECONDS_BETWEEN_LINES):
            return
        self._last_line = now
        left = duration((now - began) / (done - before) * (total - done)) if before < done < total else ""
        parts = [f"{words}: {done} of {total} {unit}", note, f"{left} left" if left else ""]
        click.echo(", ".join(part for part in parts if part), err=True)
