"""What every mesh reader gives, and what several of them need."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from ussim.errors import UssimError
from ussim.scene.formats.stated import NOTHING_STATED, Stated

_BLOCK_BYTES = 2**24


@dataclass(frozen=True, eq=False)
class MeshPart:
    """One named mesh of a file.

    Attributes:
        vertices: (V, 3) float64, as the file has them, placed where the file places the part.
        triangles: (T, 3) int64, counter-clockwise seen from outside.
        names: What the file calls it, the best first; may be empty.
        stated: What the file says about its unit and its axes.
        source: Where in the file it is, for people.
    """

    vertices: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)
    names: tuple[str, ...] = ()
    stated: Stated = NOTHING_STATED
    source: str = ""


def as_text(data: bytes) -> str:
    """A name or comment from a file: UTF-8 or, where that fails, Latin-1, in which every byte is a letter."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def line_blocks(data: bytes) -> Iterator[list[bytes]]:
    """Stripped lines of a text, some megabytes at a time: as Python objects all would take ten times their size."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _BLOCK_BYTES) + 1 or len(data)
        yield [line.strip() for line in data[start:end].split(b"\n")]
        start = end


def parse_numbers(text: bytes) -> np.ndarray:
    """Numbers parted by blanks and line ends, float64; ends at the first thing that is none."""
    if not text.strip():  # for which NumPy would give one number
        return np.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # which is how NumPy before 2.3 says that text ends early
        try:
            return np.fromstring(text, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            return np.array(list(takewhile(lambda one: one is not None, map(_number, text.split()))), dtype=np.float64)


def _number(text: bytes) -> float | None:
    try:
        return None if b"_" in text else float(text)
    except ValueError:
        return None


def parse_points(rows: Sequence[bytes]) -> np.ndarray:
    """The first three numbers of every row, (n, 3) float64.

    Raises:
        UssimError: A row has fewer, or something in it is no number.
    """
    cells = [row.split(None, 3) for row in rows]
    short = next((row for row, found in zip(rows, cells, strict=True) if len(found) < 3), None)
    if short is not None:
        raise UssimError(f"has a vertex {_shown(short)}; allowed: three coordinates each")
    points = parse_numbers(b"\n".join([b" ".join(found[:3]) for found in cells]))
    if len(points) != 3 * len(rows):
        bad = next((row for row in rows if len(parse_numbers(b" ".join(row.split(None, 3)[:3]))) != 3), b"")
        comma = " with decimal points, not commas" if b"," in bad else ""
        raise UssimError(f"has a vertex {_shown(bad)}; allowed: three numbers each{comma}")
    return points.reshape(-1, 3)


def fan(counts: np.ndarray) -> np.ndarray:
    """Cut polygons, whose corners lie one after another in one array, into triangles that share their first corner.

    Args:
        counts: (n,) corners of each polygon; those with fewer than three give none.

    Returns:
        (T, 3) int64, places in that array.
    """
    counts = np.asarray(counts, dtype=np.int64)
    if (counts == 3).all():
        return np.arange(3 * len(counts)).reshape(-1, 3)
    starts = np.cumsum(counts) - counts
    pieces = np.maximum(counts - 2, 0)
    first = np.repeat(starts, pieces)
    step = np.arange(len(first)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.stack([first, first + step + 1, first + step + 2], axis=1)


def strip(length: int) -> np.ndarray:
    """Triangles of a strip of ``length`` corners, (T, 3) int64: every second one runs the other way."""
    first = np.arange(max(length - 2, 0))
    odd = first % 2
    return np.stack([first, first + 1 + odd, first + 2 - odd], axis=1)


def _shown(row: bytes) -> str:
    text = as_text(row[:40])
    return repr("".join(letter if letter.isprintable() else "?" for letter in text))
