"""What the commands show: tables on stdout, progress on stderr, plain lines where there is no terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

SECONDS_BETWEEN_LINES = 5.0
WIDTH_WITHOUT_TERMINAL = 200


def show_json(value: Any) -> None:
    """Print plain data as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table; columns of numbers are aligned to the right."""
    from rich.table import Table

    rows = [tuple(row) for row in rows]
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _console().print(table)


def show_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values in two columns."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, _cell(value))
    _console().print(table)


def settings_text(fields: dict[str, Any]) -> str:
    """Settings on one line: ``depth_mm=150 frequency_mhz=8``."""
    return "  ".join(f"{name}={_cell(value)}" for name, value in fields.items())


def gigabytes(size: float) -> str:
    """A size in GB, or in MB where that reads better."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """A time as ``1 h 05 min``, ``3 min 20 s`` or ``4.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Reporter:
    """Shows progress on stderr while a ``with`` block runs: a bar on a terminal, lines elsewhere.

    Call it with a phase, how much of it is done and how much there is.
    """

    def __init__(self, words: dict[str, str] | None = None, unit: str = "frames"):
        self._words = words or {}
        self._unit = unit
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, float] = {}
        self._last_line = 0.0

    def __enter__(self) -> Reporter:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take note of progress."""
        words = self._words.get(phase, phase)
        now = time.monotonic()
        first = phase not in self._started
        self._started.setdefault(phase, now)
        if self._bar is not None:
            if first:
                self._tasks[phase] = self._bar.add_task(words, total=total)
            self._bar.update(self._tasks[phase], completed=done, total=total)
        elif total <= 1:
            if first:
                click.echo(words, err=True)
        elif first or done == total or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            spent = now - self._started[phase]
            speed = f", {duration(spent / done * (total - done))} left" if 0 < done < total else ""
            click.echo(f"{words}: {done} of {total} {self._unit}{speed}", err=True)


def _console() -> Any:
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(width=width, highlight=False, markup=False, emoji=False)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
