"""OFF, the Object File Format of Geomview, as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from ussim.errors import UssimError
from ussim.scene.formats.limits import require_triangles
from ussim.scene.formats.part import MeshPart, as_text, fan, line_blocks, parse_numbers, parse_points
from ussim.scene.formats.stated import read_stated

_HEADER = re.compile(rb"(?:ST)?C?N?OFF\b", re.IGNORECASE)
_COMMENT = re.compile(rb"#[^\n]*")


def read_off(data: bytes, split: bool) -> list[MeshPart]:
    """Read an OFF file: places and faces; colours, normals and texture coordinates behind them are not read.

    Args:
        data: The file.
        split: Of no use: it holds one part.

    Raises:
        UssimError: It is no such file, a binary one, of four dimensions, or shorter than it says.
    """
    text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    stated = read_stated(as_text(b"\n".join(islice(_COMMENT.findall(text), 1000))))
    text = _COMMENT.sub(b"", text).lstrip(b"\xef\xbb\xbf \t\n")
    header = _HEADER.match(text)
    if header is None or text[header.end() :].lstrip()[:6].lower() == b"binary":
        raise UssimError("cannot be read as OFF: does not begin with OFF; allowed: text, of three dimensions")
    blocks = ([line for line in block if line] for block in line_blocks(text[header.end() :]))
    return [MeshPart(*_read_blocks(blocks), (), stated)]


def _read_blocks(blocks: Iterator[list[bytes]]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of lines that come some thousands at a time, the first of which counts them."""
    lines = next((block for block in blocks if block), [])
    sizes = parse_numbers(lines[0]) if lines else np.empty(0)
    if len(sizes) < 2 or not (sizes >= 0).all() or (sizes[:2] % 1).any():  # of a part of a line there is no end
        raise _cut_off()
    points_left, faces_left = float(sizes[0]), float(sizes[1])  # floats, as they may be of any size
    points, triangles, face_count = [np.empty((0, 3))], [np.empty((0, 3), np.int64)], 0
    lines = lines[1:]
    while points_left or faces_left:
        if not lines:
            lines = next((block for block in blocks if block), [])
            if not lines:
                raise _cut_off()
        here = int(min(points_left, len(lines)))
        if here:
            points.append(parse_points(lines[:here]))
            points_left, lines = points_left - here, lines[here:]
        here = 0 if points_left else int(min(faces_left, len(lines)))
        if here:
            triangles.append(_faces(lines[:here]))
            faces_left, lines = faces_left - here, lines[here:]
            face_count += here
            require_triangles(face_count)
    return np.concatenate(points), np.concatenate(triangles)


def _faces(lines: Sequence[bytes]) -> np.ndarray:
    """Triangles of faces, each of which begins with the number of its corners; what follows these is a colour."""
    rows = [line.split() for line in lines]
    counts = np.array([int(row[0]) for row in rows], dtype=np.int64)
    numbers = parse_numbers(b" ".join([b" ".join(row[1 : 1 + count]) for row, count in zip(rows, counts, strict=True)]))
    if (counts < 0).any() or len(numbers) != counts.sum():
        raise UssimError("cannot be read as OFF: a face has fewer vertices than it says")
    return numbers.astype(np.int64)[fan(counts)]


def _cut_off() -> UssimError:
    return UssimError("cannot be read as OFF: fewer lines than its vertices and faces; was it cut off?")
