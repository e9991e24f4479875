"""Mesh files → vertices and triangles in mm."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from ussim.errors import UssimError
from ussim.scene.formats.gltf import Fetch, read_gltf
from ussim.scene.formats.limits import MOST_TRIANGLES, require_bytes
from ussim.scene.formats.obj import read_obj
from ussim.scene.formats.off import read_off
from ussim.scene.formats.packed import unpack_gzip, unpack_zip
from ussim.scene.formats.part import MeshPart
from ussim.scene.formats.ply import read_ply
from ussim.scene.formats.stl import read_stl
from ussim.scene.topology import count_bad_edges, merged_vertex_ids

MESH_FORMATS = ("stl", "obj", "ply", "glb", "gltf", "off")
_READERS: dict[str, Callable[[bytes, bool], Iterable[MeshPart]]] = {
    "stl": read_stl,
    "obj": read_obj,
    "ply": read_ply,
    "off": read_off,
}
_ALLOWED = f"allowed: {', '.join(MESH_FORMATS)}, also as .gz or in a .zip"


def load_mesh(path: Path, scale: float = 1.0, transform: list[list[float]] | None = None) -> tuple:
    """Load one mesh file as the tracer will see it. Nothing is repaired.

    Vertices that no triangle uses are dropped. If the mesh is open as the file stores it, vertices at exactly
    the same place become one: STL stores no shared vertices at all, and other formats split them along
    texture seams. What the file states about its unit or its axes is left to ``scale`` and ``transform``.

    Args:
        path: STL, OBJ, PLY, GLB, GLTF or OFF file, also as .gz or in a .zip; all its parts become one mesh.
        scale: Factor to mm, applied first.
        transform: 4×4 affine matrix, mm → mm, applied second.

    Returns:
        vertices (V, 3) float32, mm, and triangles (T, 3) int32.

    Raises:
        UssimError: The file is missing, of another format, unreadable, or holds no triangles.
    """
    vertices, triangles = _join(read_mesh_file(path, split=False))
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is found as such
        vertices = vertices * scale
        if transform is not None:
            matrix = np.array(transform, dtype=np.float64)
            vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
            if np.linalg.det(matrix[:3, :3]) < 0:
                triangles = triangles[:, ::-1]
        return tidy_mesh(vertices.astype(np.float32), triangles)


def tidy_mesh(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge vertices at exactly the same place if the mesh is open without that; drop those that nothing uses.

    Args:
        vertices: (V, 3) float.
        triangles: (T, 3) int.

    Returns:
        vertices (W, 3) as given, and triangles (T, 3) int32; the order of the triangles is kept.
    """
    if count_bad_edges(triangles, len(vertices))[0]:
        triangles = merged_vertex_ids(vertices)[triangles]
    used = np.flatnonzero(np.bincount(triangles.ravel(), minlength=len(vertices)))
    renumbered = np.zeros(len(vertices), dtype=np.int32)
    renumbered[used] = np.arange(len(used), dtype=np.int32)
    return np.ascontiguousarray(vertices[used]), np.ascontiguousarray(renumbered[triangles])


def read_mesh_file(path: Path, split: bool = True) -> list[MeshPart]:
    """Read a mesh file as its parts, exactly as it stores them; materials and textures stay unread.

    Args:
        path: STL, OBJ, PLY, GLB, GLTF or OFF file, one of these as .gz, or a .zip of some.
        split: False if the parts are joined anyway: objects of an OBJ and solids of an STL are then not told apart.

    Returns:
        The parts that have triangles, at least one, in the order of the file.

    Raises:
        UssimError: The file is missing, of another format, unreadable or too large, or holds no triangles. The message
            begins with what is wrong, for the caller to say where.
    """
    endings = [one.lower().lstrip(".") for one in path.suffixes[-2:]]
    kind = endings[-1] if endings else ""
    inner = endings[0] if kind == "gz" and len(endings) == 2 else kind
    if inner not in (*MESH_FORMATS, "zip") or (kind == "gz" and inner == "zip"):
        raise UssimError(f"'{''.join(path.suffixes[-2:]) if kind == 'gz' else path.suffix}' is no mesh format known "
                         f"here; {_ALLOWED}")  # fmt: skip
    data = _read_regular(path)
    if kind == "zip":
        parts = _read_zip(data, split)
    else:
        data = unpack_gzip(data) if kind == "gz" else data
        parts = _read(inner, data, _beside(path.parent), split)
    found = list(_bounded(parts))
    if not found:
        raise UssimError(_no_triangles(inner, len(data)))
    return found


def _read_regular(path: Path) -> bytes:
    """The bytes of a file that is one: no folder, pipe or device, which may have no end."""
    if path.name != path.name.encode(errors="replace").decode():  # names are made of it
        raise UssimError(f"the file name {path.name!a} is no UTF-8 text; rename the file")
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UssimError("is a folder; allowed: a mesh file")
        if not stat.S_ISREG(status.st_mode):
            raise UssimError("is a pipe or a device; allowed: a regular file")
        require_bytes(status.st_size, "the file has")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in its name
        raise UssimError("no such file") from None
    except OSError as error:
        raise UssimError(f"cannot be read: {error.strerror or error}") from None


def _read(kind: str, data: bytes, fetch: Fetch, split: bool) -> Iterator[MeshPart]:
    """The parts of a file of one of the formats; whatever its reader stumbles on is said in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from read_gltf(data, fetch) if kind in ("glb", "gltf") else _READERS[kind](data, split)
    except UssimError:
        raise
    except Exception as error:  # readers fail in as many ways as there are broken files
        reason = str(error).strip().split("\n")[0] or "no reason given"
        raise UssimError(f"cannot be read as {kind.upper()}: {type(error).__name__}: {reason}") from None


def _read_zip(data: bytes, split: bool) -> Iterator[MeshPart]:
    """The parts of all mesh files in an archive; a part of a file with but one is called like that."""
    members = unpack_zip(data, [f".{one}" for one in (*MESH_FORMATS, "bin")])
    for name, content in members.items():
        path = PurePosixPath(name)
        kind = path.suffix.lower().lstrip(".")
        if kind == "bin":
            continue
        try:
            parts = list(_read(kind, content, _in_archive(members, path.parent), split))
        except UssimError as error:
            raise UssimError(f"{name}: {error}") from None
        for part in parts:
            names = (*(part.names if len(parts) > 1 else ()), path.stem)
            source = f"file {name}" + (f", {part.source}" if len(parts) > 1 and part.source else "")
            yield replace(part, names=names, source=source)


def _beside(folder: Path) -> Fetch:
    """Gives files in a folder, and none outside of it."""

    def fetch(uri: str) -> bytes:
        for name in dict.fromkeys((uri, unquote(uri))):  # a file may also be called my%20liver.bin
            path = folder / _inner_path(name)
            if path.exists() or name == unquote(uri):
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise _outside(name)
                try:
                    return _read_regular(path)
                except UssimError as error:
                    raise UssimError(f"cannot be read as GLTF: its buffer {name[:200]!r}: {error}") from None
        raise AssertionError("the last name returns or raises")

    return fetch


def _in_archive(members: dict[str, bytes], folder: PurePosixPath) -> Fetch:
    """Gives files in a folder of an archive."""

    def fetch(uri: str) -> bytes:
        for name in (uri, unquote(uri)):
            path = str(folder / _inner_path(name))
            if path in members:
                return members[path]
        raise UssimError(f"cannot be read as GLTF: its buffer {uri[:200]!r}: no such file in the archive")

    return fetch


def _inner_path(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name or "\\" in name:
        raise _outside(name)
    return path


def _outside(name: str) -> UssimError:
    return UssimError(
        f"cannot be read as GLTF: its buffer {name[:200]!r} lies outside of its folder; allowed: a file in it"
    )


def _bounded(parts: Iterable[MeshPart]) -> Iterator[MeshPart]:
    """The parts that have triangles, as long as these are not too many.

    Raises:
        UssimError: They are, or a vertex has not three coordinates, or a triangle uses one that is not there.
    """
    total = 0
    for part in parts:
        total += len(part.triangles)
        if total > MOST_TRIANGLES:
            raise UssimError(f"holds {total:,} triangles; allowed: at most {MOST_TRIANGLES:,}")
        shape = np.shape(part.vertices)
        if shape[1:] != (3,):
            raise UssimError(f"has vertices of shape {shape}; allowed: three coordinates each")
        if len(part.triangles):
            low, high = int(part.triangles.min()), int(part.triangles.max())
            if low < 0 or high >= len(part.vertices):
                bad = low if low < 0 else high
                raise UssimError(f"has a face that uses vertex {bad}; allowed: 0 to {len(part.vertices) - 1}")
            yield part


def _join(parts: list[MeshPart]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64 and triangles (T, 3) int64 of all parts together."""
    if len(parts) == 1:
        return parts[0].vertices, parts[0].triangles
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    shifted = [part.triangles + offset for part, offset in zip(parts, offsets, strict=False)]
    return np.concatenate([part.vertices for part in parts]), np.concatenate(shifted)


def _no_triangles(kind: str, size: int) -> str:
    """What to say of a mesh file in which no triangle was found."""
    if kind == "stl":  # it can hold nothing else
        return f"cannot be read as STL: no triangle in its {size} bytes; was it cut off?"
    if kind == "zip":
        return f"holds no mesh file; {_ALLOWED}"
    return "holds no triangles; allowed: a triangle mesh (a point cloud or a set of lines is none)"
