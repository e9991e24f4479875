"""NRRD and Slicer's .seg.nrrd: headers by pynrrd, voxels bounded by what the header says."""

from __future__ import annotations

import bz2
import gzip
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from meshes.importing.volumes.masks import MaskJoiner
from meshes.importing.volumes.raw import (
    MILLIMETRES,
    NO_ORIENTATION,
    NO_UNIT,
    RawVolume,
    affine,
    one_line_errors,
    require_data_file,
    require_voxels,
    three_axes,
)
from ussim.errors import UssimError

_LONGEST_HEADER = 1 << 22
# Signs on x, y, z that turn a space into right, front, up; NRRD names a space by where its axes point to.
_SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_UNPACKERS: dict[str, Any] = {"gzip": gzip.open, "gz": gzip.open, "bzip2": bz2.open, "bz2": bz2.open}


def read_nrrd(path: Path) -> RawVolume:
    """Read .nrrd, .nhdr or .seg.nrrd; segments on several layers become one volume.

    Raises:
        UssimError: pynrrd is missing, or the file is unreadable, too large, of other axes than three (and one of
            layers), or its voxels lie outside of its folder.
    """
    try:
        import nrrd
    except ModuleNotFoundError:
        raise UssimError("pynrrd, which reads NRRD files, is not installed: pip install 'ussim[labels]'") from None
    with one_line_errors(path, "NRRD"), open(path, "rb") as file:
        header: dict[str, Any] = dict(nrrd.read_header(_header_lines(path, file)))
        sizes = [int(size) for size in header["sizes"]]
        require_voxels(path, sizes)
        data = _voxels(path, file, header, sizes, nrrd)
        to_mm, notes = _place(path, header, len(sizes))
        if _has_layers(header, sizes):
            data, names, more = _flattened(path, data, header)
            return RawVolume(data, to_mm, names=names, notes=(*notes, *more))
        names = {segment["labelvalue"]: segment["name"] for segment in _segments(header)}
        return RawVolume(three_axes(path, data), to_mm, names=names, notes=tuple(notes))


def _header_lines(path: Path, file: BinaryIO) -> list[str]:
    """The header, decoded here: pynrrd drops every letter that is not ASCII. The file is left at the voxels."""
    lines: list[str] = []
    while line := file.readline(_LONGEST_HEADER):
        if file.tell() > _LONGEST_HEADER:
            break
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text.strip():
            break
        lines.append(text)
    if not lines or not lines[0].startswith("NRRD"):
        raise UssimError(f"{path}: cannot be read as NRRD: it does not begin with NRRD")
    return lines


def _voxels(path: Path, file: BinaryIO, header: Mapping[str, Any], sizes: list[int], nrrd: Any) -> np.ndarray:
    """The numbers, first axis fastest. No more is unpacked than the header says."""
    dtype = nrrd.reader._determine_datatype(header)
    name = header.get("datafile", header.get("data file"))
    if name is not None and (name.startswith("LIST") or "%" in name):
        raise UssimError(f"{path}: its voxels are in many files; allowed: in one")
    skips = [int(header.get(key, header.get(key.replace(" ", ""), 0))) for key in ("line skip", "byte skip")]
    source = file if name is None else open(require_data_file(path, name), "rb")
    with source:
        for _ in range(min(skips[0], 1_000_000)):
            source.readline(_LONGEST_HEADER)
        count = int(np.prod(sizes, dtype=np.int64))
        encoding = str(header["encoding"]).lower()
        if encoding in ("ascii", "text", "txt"):
            data = np.fromfile(source, dtype, count, sep=" ")
        else:
            data = np.frombuffer(_bytes(source, encoding, skips[1], count * dtype.itemsize), dtype)
    if len(data) < count:
        raise UssimError(f"{path}: cannot be read as NRRD: {len(data):,} of {count:,} voxels are there; cut short?")
    return data[:count].reshape(sizes, order="F")


def _bytes(source: BinaryIO, encoding: str, skip: int, count: int) -> bytes:
    if encoding == "raw":
        source.seek(*((-count, 2) if skip == -1 else (skip, 1)))
        return source.read(count)
    if encoding not in _UNPACKERS:
        raise ValueError(f"encoding {encoding[:40]}; allowed: raw, gzip, bzip2, ascii")
    with _UNPACKERS[encoding](source) as stream:
        stream.read(max(skip, 0))
        found = stream.read(count)
    return found


def _place(path: Path, header: Mapping[str, Any], axes: int) -> tuple[np.ndarray, list[str]]:
    """Voxel index → mm, and what to say about it."""
    notes = []
    units = header.get("space units", header.get("units"))
    stated = [str(unit).strip().lower() for unit in (units if units is not None else []) if str(unit).strip()]
    lengths = [unit for unit in stated if unit not in ("none", "???")]
    if lengths and lengths[-1] in MILLIMETRES:
        scale = MILLIMETRES[lengths[-1]]
    elif lengths:
        raise UssimError(f"{path}: its unit is {lengths[-1][:40]!r}; allowed: a length, as in mm")
    else:
        scale = 1.0
    if "space directions" not in header:
        notes.append(NO_ORIENTATION)
        spacings = np.array(header.get("spacings", np.ones(axes)), dtype=np.float64)
        spacings = spacings[np.isfinite(spacings)][-3:] if axes > 3 else spacings
        return affine(np.diag(spacings) * scale, np.zeros(3)), [*notes, *([] if lengths else [NO_UNIT])]
    rows = [row for row in header["space directions"] if row is not None and np.isfinite(row).all()]
    if len(rows) != 3:
        raise UssimError(f"{path}: {len(rows)} space directions that are numbers; allowed: 3")
    origin = np.array(header.get("space origin", np.zeros(3)), dtype=np.float64)
    to_mm = affine(np.array(rows, dtype=np.float64).T * scale, origin * scale)
    space = str(header.get("space", "")).lower().replace(" ", "-")
    space = re.sub(r"-time$", "", space)
    if space in _SPACES:  # millimetres, by the patient's spaces
        to_mm[:3] *= np.array(_SPACES[space])[:, None]
    else:
        notes.append(
            f"its header states no patient's space{f' but {space[:40]}' if space else ''}: assumed x to the right, "
            "y to the front, z up"
        )
        notes += [] if lengths else [NO_UNIT]
    return to_mm, notes


def _has_layers(header: Mapping[str, Any], sizes: list[int]) -> bool:
    kinds = [str(kind).lower() for kind in header.get("kinds", [])]
    return len(sizes) == 4 and sizes[-1] != 1 and (kinds[:1] == ["list"] or any(_segments(header)))


def _segments(header: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Name, labelvalue and layer of every segment that the header tells of."""
    number = 0
    while f"Segment{number}_Name" in header or f"Segment{number}_LabelValue" in header:
        value = int(str(header.get(f"Segment{number}_LabelValue", number + 1))[:20])
        name = str(header.get(f"Segment{number}_Name", "")).strip()
        layer = int(str(header.get(f"Segment{number}_Layer", 0))[:20])
        yield {"name": name or f"segment_{value}", "labelvalue": value, "layer": layer}
        number += 1


def _flattened(
    path: Path, data: np.ndarray, header: Mapping[str, Any]
) -> tuple[np.ndarray, dict[int, str], tuple[str, ...]]:
    """Layers (L, I, J, K) of segments → (I, J, K), numbered anew, for a value may stand on every layer."""
    segments = list(_segments(header))
    if not segments:
        raise UssimError(f"{path}: {data.shape[0]} layers and no segment that is told of; allowed: Segment0_Layer …")
    joiner = MaskJoiner(data.shape[1:], len(segments))
    for segment in segments:
        if not 0 <= segment["layer"] < data.shape[0]:
            raise UssimError(f"{path}: {segment['name'][:80]} is on layer {segment['layer']}; it has {data.shape[0]}")
        joiner.add(segment["name"], data[segment["layer"]] == segment["labelvalue"])
    found = joiner.names()
    renumbered = f"its segments lie on {data.shape[0]} layers: labels are numbered 1 to {len(segments)}, in its order"
    return joiner.labels, found, (renumbered, *joiner.notes())
