"""Wavefront OBJ, in the dialects that are about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ussim.errors import UssimError
from ussim.scene.formats.limits import require_triangles
from ussim.scene.formats.part import MeshPart, as_text, fan, line_blocks, parse_numbers, parse_points
from ussim.scene.formats.stated import read_stated
from ussim.scene.topology import count_bad_edges_by_place

_MOST_COMMENT_LINES = 1000
_SEPARATORS = {b"o": 0, b"g": 1, b"usemtl": 2}
_AFTER_SLASH = re.compile(rb"/\S*")


@dataclass
class _Text:
    """What was read of an OBJ file so far."""

    points: list[np.ndarray] = field(default_factory=list)
    point_count: int = 0
    corners: list[np.ndarray] = field(default_factory=list)  # of all polygons, one after another
    counts: list[np.ndarray] = field(default_factory=list)  # of corners, of each polygon
    places: list[np.ndarray] = field(default_factory=list)  # of each polygon, in the list below
    separators: list[tuple[bytes, bytes, bytes]] = field(default_factory=lambda: [(b"", b"", b"")])
    comments: list[bytes] = field(default_factory=list)


def read_obj(data: bytes, split: bool) -> list[MeshPart]:
    """Read an OBJ file.

    Faces are told apart by ``o`` or, where that names less than two, by ``g`` or by ``usemtl``: by the first of them
    that cuts no closed surface open, so that one body of two materials stays one. Corners count from 1, or back from
    the last vertex before their face where they are negative. Polygons become fans of triangles. Nothing but
    vertices, faces and comments is read.

    Args:
        data: The file.
        split: False for all faces as one part.

    Raises:
        UssimError: Something in it is no vertex or no face.
    """
    text = _parse(data)
    if not text.counts:
        return []
    stated = read_stated(as_text(b"\n".join(text.comments)))
    vertices = np.concatenate([np.empty((0, 3)), *text.points])
    counts = np.concatenate(text.counts)
    triangles = np.concatenate(text.corners)[fan(counts)]
    place = np.repeat(np.concatenate(text.places), np.maximum(counts - 2, 0))
    if split and not ((triangles < 0) | (triangles >= len(vertices))).any():
        for kind in _SEPARATORS.values():
            groups = _groups([one[kind] for one in text.separators], place)
            if len(groups) > 1 and not _cuts(vertices, triangles, groups):
                called = [_names(text, kind, place[rows]) for rows in groups]
                return [
                    MeshPart(*_compact(vertices, triangles[rows]), names, stated, f"part {names[0]}" if names else "")
                    for names, rows in zip(called, groups, strict=True)
                ]
    return [MeshPart(vertices, triangles, (), stated)]


def _parse(data: bytes) -> _Text:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\\" in data:
        data = data.replace(b"\\\n", b" ")
    text = _Text()
    faces = 0
    for lines in line_blocks(data.replace(b"\t", b" ")):
        _parse_lines(text, lines)
        faces += len(text.counts[-1]) if text.counts else 0
        require_triangles(faces)
    return text


def _parse_lines(text: _Text, lines: Sequence[bytes]) -> None:
    """Take up some lines: the loop does no more than sort them, the numbers are read all at once."""
    points: list[bytes] = []
    faces: list[bytes] = []
    known: list[int] = []  # vertices before each face
    places: list[int] = []
    before, place = text.point_count, len(text.separators) - 1
    for line in lines:
        start = line[:2]
        if start == b"v ":
            points.append(line[2:])
        elif start == b"f ":
            faces.append(line[2:])
            known.append(before + len(points))
            places.append(place)
        elif start[:1] == b"#":
            if len(text.comments) < _MOST_COMMENT_LINES:
                text.comments.append(line)
        elif start[:1] in (b"o", b"g", b"u"):
            word, _, name = line.partition(b" ")
            if word in _SEPARATORS:
                names = list(text.separators[-1])
                names[_SEPARATORS[word]] = name.strip()
                text.separators.append((names[0], names[1], names[2]))
                place = len(text.separators) - 1
        elif line == b"v":
            points.append(b"")
    if points:
        text.points.append(parse_points(points))
        text.point_count += len(points)
    if faces:
        corners, counts = _corners(faces, np.array(known))
        text.corners.append(corners)
        text.counts.append(counts)
        text.places.append(np.array(places))


def _corners(faces: Sequence[bytes], known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of some faces from 0 on, one after another, and how many each face has."""
    counts = np.array([len(face.split()) for face in faces])
    joined = b"\n".join(faces)
    if b"/" in joined:  # of 7/3/2 only the first is a vertex
        joined = _AFTER_SLASH.sub(b"", joined)
    numbers = parse_numbers(joined)
    if len(numbers) != counts.sum():
        bad = next(face for face in faces if len(parse_numbers(_AFTER_SLASH.sub(b"", face))) != len(face.split()))
        raise UssimError(f"has a face {as_text(bad[:40])!r}; allowed: numbers of vertices")
    if not ((np.abs(numbers) < 2**53) & (np.trunc(numbers) == numbers)).all():
        raise UssimError("has a face whose vertex is no whole number")
    corners = numbers.astype(np.int64)
    if (corners == 0).any():
        raise UssimError("has a face that uses vertex 0; allowed: numbers from 1 on, or negative ones")
    return np.where(corners < 0, corners + np.repeat(known, counts), corners - 1), counts


def _groups(names: Sequence[bytes], place: np.ndarray) -> list[np.ndarray]:
    """The triangles of every name, in the order in which the names first come."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    owner = np.array([numbers[name] for name in names])[place]
    order = np.argsort(owner, kind="stable")
    ends = np.cumsum(np.bincount(owner, minlength=len(numbers)))
    return [rows for rows in np.split(order, ends[:-1]) if len(rows)]


def _names(text: _Text, kind: int, place: np.ndarray) -> tuple[str, ...]:
    """What a part is called: by the separator that made it, then by others that name all of it alike."""
    used = [text.separators[number] for number in np.unique(place)]
    kinds = [kind, *(other for other in _SEPARATORS.values() if other != kind)]
    alike = [used[0][one] for one in kinds if len({separator[one] for separator in used}) == 1]
    return tuple(as_text(name) for name in alike if name)


def _cuts(vertices: np.ndarray, triangles: np.ndarray, groups: Sequence[np.ndarray]) -> bool:
    """Whether taking groups of triangles apart opens an edge that was closed."""
    apart = sum(count_bad_edges_by_place(*_compact(vertices, triangles[rows]))[0] for rows in groups)
    return apart > 0 and apart > count_bad_edges_by_place(vertices, triangles)[0]


def _compact(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    used, renumbered = np.unique(triangles, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)
