"""OFF, the Object File Format of Geomview, as text."""

from __future__ import annotations

import re
from itertools import islice

import numpy as np

from ussim.errors import UssimError
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
    lines = [line for block in line_blocks(text[header.end() :]) for line in block if line]
    sizes = parse_numbers(lines[0]) if lines else np.empty(0)
    if len(sizes) < 2 or not (0 <= sizes).all() or sizes[:2].sum() > len(lines) - 1:
        raise UssimError("cannot be read as OFF: fewer lines than its vertices and faces; was it cut off?")
    vertices, faces = int(sizes[0]), int(sizes[1])
    points = parse_points(lines[1 : 1 + vertices]) if vertices else np.empty((0, 3))
    rows = [line.split() for line in lines[1 + vertices : 1 + vertices + faces]]
    counts = np.array([int(row[0]) for row in rows], dtype=np.int64)
    corners = [row[1 : 1 + count] for row, count in zip(rows, counts, strict=True)]
    numbers = parse_numbers(b" ".join(b" ".join(row) for row in corners))
    if (counts < 0).any() or len(numbers) != counts.sum():
        raise UssimError("cannot be read as OFF: a face has fewer vertices than it says")
    return [MeshPart(points, numbers.astype(np.int64)[fan(counts)], (), stated)]
