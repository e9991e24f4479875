"""STL, binary and text, as programs write it and not only as it was meant."""

from __future__ import annotations

import re

import numpy as np

from ussim.errors import UssimError
from ussim.scene.formats.limits import require_triangles
from ussim.scene.formats.part import MeshPart, as_text, fan, parse_numbers
from ussim.scene.formats.stated import read_stated
from ussim.scene.topology import count_bad_edges_by_place

_HEADER_BYTES = 84
_BLOCK_BYTES = 2**24
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_SOLID = re.compile(rb"^[ \t]*solid\b[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_END_SOLID = re.compile(rb"^[ \t]*endsolid\b[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_VERTEX = re.compile(rb"\bvertex\s+([^\s]+\s+[^\s]+\s+[^\s]+)", re.IGNORECASE)
_END_LOOP = re.compile(rb"\bendloop\b", re.IGNORECASE)


def read_stl(data: bytes, split: bool) -> list[MeshPart]:
    """Read an STL file; normals and colours are not read, vertices are as often there as faces use them.

    A file is text if it begins with ``solid`` and facets follow, which no length of a binary file can tell: programs
    write ``solid`` into binary headers, and bytes behind the last triangle. Of text every ``solid`` is a part.

    Args:
        data: The file.
        split: False for all solids as one part.

    Raises:
        UssimError: The triangles are not those that the header counts, or something in it is no vertex.
    """
    if _is_text(data):
        return _read_text(data, split)
    return _read_binary(data)


def _is_text(data: bytes) -> bool:
    if len(data) >= _HEADER_BYTES and len(data) == _HEADER_BYTES + _RECORD.itemsize * _count(data):
        return False
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith(b"solid") and b"\0" not in start and (b"facet" in start or b"endsolid" in start)


def _count(data: bytes) -> int:
    return int.from_bytes(data[80:84], "little")


def _read_binary(data: bytes) -> list[MeshPart]:
    there = max(len(data) - _HEADER_BYTES, 0) // _RECORD.itemsize
    if not there:
        return []
    records = np.frombuffer(data, dtype=_RECORD, count=there, offset=_HEADER_BYTES)
    counted = _count(data)
    if counted != there:
        records = _counted(records, counted)
    vertices = records["corners"].reshape(-1, 3).astype(np.float64)
    stated = read_stated(as_text(data[:80].rstrip(b"\0 ")))
    return [MeshPart(vertices, np.arange(len(vertices)).reshape(-1, 3), (), stated)]


def _counted(records: np.ndarray, counted: int) -> np.ndarray:
    """The triangles of a file whose header counts others than it holds: those that close.

    Raises:
        UssimError: None do.
    """
    for count in (counted, len(records)):
        vertices = records["corners"][:count].reshape(-1, 3)
        if count <= len(records) and len(vertices):
            triangles = np.arange(len(vertices)).reshape(-1, 3)
            if np.isfinite(vertices).all() and not any(count_bad_edges_by_place(vertices, triangles)):
                return records[:count]
    raise UssimError(
        f"cannot be read as STL: its header counts {counted:,} triangles, it has room for {len(records):,}, and "
        "neither are a closed surface; was it cut off?"
    )


def _read_text(data: bytes, split: bool) -> list[MeshPart]:
    starts = list(_SOLID.finditer(data))
    if not starts:
        raise UssimError("cannot be read as STL: no solid begins on a line of its own")
    ends = [one.start() for one in starts[1:]] + [len(data)]
    found = [
        (as_text(one.group(1).strip()), _text_vertices(_END_SOLID.sub(b"", data[one.end() : end])))
        for one, end in zip(starts, ends, strict=True)
    ]
    stated = read_stated("\n".join(name for name, _ in found))
    found = [(name, vertices) for name, vertices in found if len(vertices)]
    if not split and found:
        found = [("", np.concatenate([vertices for _, vertices in found]))]
    several = len(found) > 1  # the name of one alone is that of the program which wrote it more often than not
    return [
        MeshPart(
            vertices,
            np.arange(len(vertices)).reshape(-1, 3),
            (name,) if several and name and not read_stated(name).axes else (),
            stated,
            f"solid {name}" if several else "",
        )
        for name, vertices in found
    ]


def _text_vertices(body: bytes) -> np.ndarray:
    """Corners of the facets, (3 T, 3); facets of more than three corners are cut into a fan.

    Some megabytes are taken at a time: as Python objects all would take ten times their size.
    """
    found, start = [np.empty((0, 3))], 0
    while start < len(body):
        loop = _END_LOOP.search(body, min(start + _BLOCK_BYTES, len(body)))
        end = loop.end() if loop else len(body)
        found.append(_block_vertices(body[start:end]))
        require_triangles(sum(map(len, found)) // 3)
        start = end
    return np.concatenate(found)


def _block_vertices(body: bytes) -> np.ndarray:
    rows = _VERTEX.findall(body)
    facets = len(_END_LOOP.findall(body)) or len(rows) // 3
    points = parse_numbers(b"\n".join(rows))
    if len(points) != 3 * len(rows):
        bad = as_text(next(row for row in rows if len(parse_numbers(row)) != 3)[:40])
        comma = " with decimal points, not commas" if "," in bad else ""
        raise UssimError(f"has a vertex {bad!r}; allowed: three numbers each{comma}")
    points = points.reshape(-1, 3)
    if len(rows) == 3 * facets:
        return points
    if len(rows) % max(facets, 1):
        raise UssimError(f"has {len(rows)} vertices in {facets} facets; allowed: three each")
    return points[fan(np.full(facets, len(rows) // facets))].reshape(-1, 3)
