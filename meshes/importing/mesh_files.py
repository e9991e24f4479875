"""Mesh files → named surfaces, exactly as the files store them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ussim.errors import UssimError
from ussim.scene.mesh_io import no_triangles, open_mesh_file, tidy_mesh

# Names that exporters and readers give where a user gave none.
_NAMELESS = re.compile(r"(geometry|mesh|object|node|world|scene|shape|solid)?[ _.-]*\d*")
_LONGEST_NAME = 48


@dataclass(frozen=True, eq=False)
class FileSurface:
    """One surface of a user.

    Attributes:
        name: Unique; letters, digits, ``_`` and ``-``.
        source: Where it comes from, for people.
        vertices: (V, 3) float64; the length unit is the caller's business.
        triangles: (T, 3) int32.
    """

    name: str
    source: str
    vertices: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3): lowest and highest corner."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])


def read_surfaces(paths: Sequence[Path]) -> list[FileSurface]:
    """Read mesh files; a file with several named parts gives several surfaces, with their transforms applied.

    Nothing is repaired. Vertices at exactly the same place become one if the surface is open without that.

    Args:
        paths: STL, OBJ, PLY, GLB, GLTF or OFF files.

    Returns:
        The surfaces in the order of the files; parts of one file by name.

    Raises:
        UssimError: A file is missing, of another format, unreadable, or holds no triangles.
    """
    found: list[tuple[str, str, np.ndarray, np.ndarray]] = []
    for path in paths:
        found += _read_file(Path(path))
    names = _unique_names([name for name, *_ in found])
    return [
        FileSurface(name, source, vertices, triangles)
        for name, (_, source, vertices, triangles) in zip(names, found, strict=True)
    ]


def clean_name(text: str) -> str:
    """A name that can stand in a scene file, in a file name and on a command line; may come out empty."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:_LONGEST_NAME]


def _read_file(path: Path) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Name, source, vertices and triangles of every part of one file."""
    try:
        loaded = open_mesh_file(path, split_objects=True)
    except UssimError as error:
        raise UssimError(f"{path}: {error}") from None
    parts = []
    for node in sorted(loaded.graph.nodes_geometry):
        matrix, key = loaded.graph[node]
        part = loaded.geometry[key]
        faces = np.asarray(getattr(part, "faces", ()), dtype=np.int64).reshape(-1, 3)
        if not len(faces):  # lines and points beside the meshes
            continue
        vertices = np.asarray(part.vertices, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        if np.linalg.det(matrix[:3, :3]) < 0:
            faces = faces[:, ::-1]
        parts.append((node, str(key), *tidy_mesh(vertices, faces)))
    if not parts:
        raise UssimError(f"{path}: {no_triangles(path)}")
    several = len(parts) > 1
    return [
        (
            _part_name((node, key), path, several),
            f"{path.name}, part {node}" if several else path.name,
            vertices,
            triangles,
        )
        for node, key, vertices, triangles in parts
    ]


def _part_name(candidates: Iterable[str], path: Path, several: bool) -> str:
    """The first name that a person may have given; the file's where there is but one part."""
    for candidate in candidates:
        if candidate != path.name and not _NAMELESS.fullmatch(candidate.lower()) and clean_name(candidate):
            return clean_name(candidate)
    return clean_name(path.stem) or ("part" if several else "surface")


def _unique_names(names: Sequence[str]) -> list[str]:
    """The same names, the second of one kind as ``name_2``."""
    taken: set[str] = set()
    unique = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        unique.append(candidate)
    return unique
