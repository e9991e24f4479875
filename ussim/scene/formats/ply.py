"""PLY: text and binary of both byte orders, polygons and triangle strips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ussim.errors import UssimError
from ussim.scene.formats.part import MeshPart, as_text, fan, parse_numbers, strip
from ussim.scene.formats.stated import read_stated

_MOST_HEADER_BYTES = 2**20
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "int64": "i8", "uint64": "u8", "float16": "f2", "float32": "f4", "float64": "f8",
}  # fmt: skip
_CORNERS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class _Property:
    """A column of an element; a list of numbers in every row if ``length`` is the type of its length."""

    name: str
    kind: str
    length: str = ""


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property]


@dataclass(frozen=True)
class _Lists:
    """The lists of one property: their numbers one after another, and how many each row has."""

    values: np.ndarray
    counts: np.ndarray


_Columns = dict[str, "np.ndarray | _Lists"]


def read_ply(data: bytes, split: bool) -> list[MeshPart]:
    """Read a PLY file: the places of the vertices, and faces or triangle strips.

    Args:
        data: The file.
        split: Of no use: it holds one part.

    Raises:
        UssimError: The header is none, or the data are not as long as it says.
    """
    kind, elements, comments, start = _read_header(data)
    numbers = parse_numbers(data[start:]) if kind == "ascii" else np.empty(0)
    vertices, triangles, place = np.empty((0, 3)), [np.empty((0, 3), np.int64)], 0 if kind == "ascii" else start
    for element in elements:
        if kind == "ascii":
            columns, place = _read_text(element, numbers, place)
        else:
            columns, place = _read_binary(element, data, place, "<" if kind == "binary_little_endian" else ">")
        if element.name == "vertex":
            vertices = _points(columns)
        elif element.name == "face":
            triangles.append(_polygons(columns))
        elif element.name == "tristrips":
            triangles.append(_strips(columns))
    stated = read_stated(as_text(b"\n".join(comments)))
    return [MeshPart(vertices, np.concatenate(triangles), (), stated)]


def _read_header(data: bytes) -> tuple[str, list[_Element], list[bytes], int]:
    """Kind of the data, what they hold, comments, and where the data begin."""
    head = data[:_MOST_HEADER_BYTES]
    end = head.find(b"end_header")
    if not head.startswith(b"ply") or end < 0:
        raise UssimError("cannot be read as PLY: no header from 'ply' to 'end_header'")
    line_end = b"\r\n" if head[3:5] == b"\r\n" else head[3:4]
    start = end + len(b"end_header")
    while head[start : start + 1] == b" ":
        start += 1
    start += len(line_end)
    kind, elements, comments = "", list[_Element](), []
    for line in head[:end].replace(b"\r", b"\n").split(b"\n"):
        words = as_text(line).split()
        try:
            match words:
                case ["format", kind, *_]:
                    pass
                case ["comment" | "obj_info", *_]:
                    comments.append(line)
                case ["element", name, count] if not count.startswith("-"):
                    elements.append(_Element(name, int(count), []))
                case ["property", "list", length, value, name]:
                    elements[-1].properties.append(_Property(name, _TYPES[value], _TYPES[length]))
                case ["property", value, name]:
                    elements[-1].properties.append(_Property(name, _TYPES[value]))
                case ["element" | "property", *_]:
                    raise ValueError
        except (KeyError, IndexError, ValueError):
            raise UssimError(f"cannot be read as PLY: its header says {as_text(line[:60]).strip()!r}") from None
    if kind not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise UssimError(f"cannot be read as PLY: format {kind[:30]!r}; allowed: ascii, binary_little_endian or _big_")
    return kind, elements, comments, start


def _read_binary(element: _Element, data: bytes, start: int, order: str) -> tuple[_Columns, int]:
    """The columns of one element, and where the next begins: at once if all rows are as long as the first."""
    first = _row_type(element, data, start, order)
    if first is not None and start + element.count * first.itemsize <= len(data):
        rows = np.frombuffer(data, dtype=first, count=element.count, offset=start)
        lists = [one for one in element.properties if one.length]
        if all((rows[f"{one.name} length"] == rows[one.name].shape[1]).all() for one in lists):
            columns: _Columns = {one.name: rows[one.name] for one in element.properties}
            for one in lists:
                values = rows[one.name]
                columns[one.name] = _Lists(values.reshape(-1), np.full(len(values), values.shape[1]))
            return columns, start + element.count * first.itemsize
    return _read_rows_of_bytes(element, data, start, order)


def _row_type(element: _Element, data: bytes, start: int, order: str) -> np.dtype | None:
    """What the first row looks like; None if there is none."""
    fields: list[tuple] = []
    place = start
    for one in element.properties:
        if not one.length:
            fields.append((one.name, order + one.kind))
            place += np.dtype(one.kind).itemsize
            continue
        size = np.dtype(order + one.length)
        if place + size.itemsize > len(data):
            return None
        count = int(np.frombuffer(data, size, 1, place)[0])
        if not 0 <= count <= len(data):
            return None
        fields += [(f"{one.name} length", size), (one.name, order + one.kind, (count,))]
        place += size.itemsize + count * np.dtype(one.kind).itemsize
    return np.dtype(fields)


def _read_rows_of_bytes(element: _Element, data: bytes, start: int, order: str) -> tuple[_Columns, int]:
    """Row by row: lists of several lengths."""
    steps = [
        (one.name, np.dtype(order + (one.length or one.kind)), np.dtype(order + one.kind) if one.length else None)
        for one in element.properties
    ]
    least = sum(kind.itemsize for _, kind, _ in steps)
    if element.count * max(least, 1) > len(data) - start:
        raise _cut_off(element)
    counts: dict[str, list[int]] = {name: [] for name, _, values in steps if values is not None}
    pieces: dict[str, list[bytes]] = {name: [] for name, _, _ in steps}
    place = start
    for _ in range(element.count):
        for name, kind, values in steps:
            end = place + kind.itemsize
            if values is None:
                pieces[name].append(data[place:end])
            else:
                count = _whole(data[place:end], kind)
                first, end = end, end + count * values.itemsize
                if count < 0 or end > len(data):
                    raise _cut_off(element)
                counts[name].append(count)
                pieces[name].append(data[first:end])
            place = end
    if place > len(data):
        raise _cut_off(element)
    columns: _Columns = {}
    for name, kind, values in steps:
        numbers = np.frombuffer(b"".join(pieces[name]), kind if values is None else values)
        columns[name] = numbers if values is None else _Lists(numbers, np.array(counts[name], dtype=np.int64))
    return columns, place


def _whole(data: bytes, kind: np.dtype) -> int:
    if kind.kind == "f" or not data:
        return -1
    return int.from_bytes(data, "big" if kind.str[0] == ">" else "little", signed=kind.kind == "i")


def _cut_off(element: _Element) -> UssimError:
    return UssimError(f"cannot be read as PLY: fewer than its {element.count} of {element.name[:30]}; was it cut off?")


def _read_text(element: _Element, numbers: np.ndarray, start: int) -> tuple[_Columns, int]:
    """The columns of one element of a text, all of whose numbers are given, and where the next begins."""
    if element.count > len(numbers) - start:
        raise _cut_off(element)
    steps = [(one.name, bool(one.length)) for one in element.properties]
    offsets, width = [], 0  # in the first row
    for _, is_list in steps:
        offsets.append(width)
        width += 1 + (_length(element, numbers, start + width) if is_list else 0)
    end = start + element.count * width
    if end <= len(numbers):
        rows = numbers[start:end].reshape(element.count, width)
        heads = [place for place, (_, is_list) in zip(offsets, steps, strict=True) if is_list]
        if (rows[:, heads] == rows[:1, heads]).all():
            cells = np.split(rows, offsets[1:], axis=1)
            return {
                name: _Lists(cell[:, 1:].reshape(-1), np.full(element.count, cell.shape[1] - 1))
                if is_list
                else cell[:, 0]
                for (name, is_list), cell in zip(steps, cells, strict=True)
            }, end
    return _read_uneven_text(element, steps, numbers, start)


def _read_uneven_text(
    element: _Element, steps: list[tuple[str, bool]], numbers: np.ndarray, start: int
) -> tuple[_Columns, int]:
    """Row by row: lists of several lengths."""
    counts: dict[str, list[int]] = {name: [] for name, is_list in steps if is_list}
    pieces: dict[str, list[np.ndarray]] = {name: [] for name, _ in steps}
    place = start
    for _ in range(element.count):
        for name, is_list in steps:
            count = 1
            if is_list:
                count = _length(element, numbers, place)
                counts[name].append(count)
                place += 1
            pieces[name].append(numbers[place : place + count])
            place += count
    if place > len(numbers):
        raise _cut_off(element)
    joined = {name: np.concatenate([np.empty(0), *found]) for name, found in pieces.items()}
    return {
        name: _Lists(joined[name], np.array(counts[name], dtype=np.int64)) if is_list else joined[name]
        for name, is_list in steps
    }, place


def _length(element: _Element, numbers: np.ndarray, place: int) -> int:
    if place >= len(numbers) or not 0 <= numbers[place] <= len(numbers):
        raise _cut_off(element)
    return int(numbers[place])


def _points(columns: _Columns) -> np.ndarray:
    """(V, 3) float64."""
    axes = [columns.get(axis) for axis in "xyz"]
    if not all(isinstance(axis, np.ndarray) for axis in axes):
        raise UssimError("has vertices without x, y and z; allowed: three coordinates each")
    return np.stack([np.asarray(axis, dtype=np.float64) for axis in axes], axis=1)


def _corner_lists(columns: _Columns) -> _Lists | None:
    lists = {name: column for name, column in columns.items() if isinstance(column, _Lists)}
    named = next((lists[name] for name in _CORNERS if name in lists), None)
    return named or (next(iter(lists.values())) if len(lists) == 1 else None)


def _polygons(columns: _Columns) -> np.ndarray:
    lists = _corner_lists(columns)
    return np.empty((0, 3), np.int64) if lists is None else lists.values.astype(np.int64)[fan(lists.counts)]


def _strips(columns: _Columns) -> np.ndarray:
    """Strips of triangles, one after another and parted by −1."""
    lists = _corner_lists(columns)
    if lists is None or not len(lists.values):
        return np.empty((0, 3), np.int64)
    rows = np.split(lists.values.astype(np.int64), np.cumsum(lists.counts)[:-1])
    runs = [run[run >= 0] for row in rows for run in np.split(row, np.flatnonzero(row < 0))]
    triangles = np.concatenate([run[strip(len(run))] for run in runs])
    flat = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)  # they turn a corner
    return triangles[~flat]
