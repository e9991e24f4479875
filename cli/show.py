"""What the commands show: tables, sizes and times on stdout; plain text where there is no terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from ussim.errors import printable

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
    _print(table)


def show_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values in two columns."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, _cell(value))
    _print(table)


def settings_text(fields: dict[str, Any]) -> str:
    """Settings on one line: ``depth_mm=150 frequency_mhz=8``."""
    return "  ".join(f"{name}={_cell(value)}" for name, value in fields.items())


def gigabytes(size: float) -> str:
    """A size in GB, or in MB where that reads better."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """A time as ``1 h 05 min``, ``3 min 20 s``, ``4.2 s`` or ``35 ms``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _print(table: Any) -> None:
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(table)
        return
    console = Console(width=WIDTH_WITHOUT_TERMINAL, highlight=False, markup=False, emoji=False, no_color=True)
    with console.capture() as text:
        console.print(table)
    for line in text.get().splitlines():  # rich fills lines with blanks, which no script wants
        click.echo(line.rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else printable(str(value))
