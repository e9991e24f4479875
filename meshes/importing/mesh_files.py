"""Mesh files → named surfaces, exactly as the files store them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ussim.errors import UssimError
from ussim.names import clean_name, unique_names
from ussim.scene.formats.part import MeshPart
from ussim.scene.formats.stated import NOTHING_STATED, Stated
from ussim.scene.mesh_io import read_mesh_file, tidy_mesh

# Names that exporters and readers give where a user gave none.
_NAMELESS = re.compile(
    r"(ascii|default|geometry|group|grp|material|mesh|node|object|part|scene|shape|solid|world)?[ _.-]*\d*"
)


@dataclass(frozen=True, eq=False)
class FileSurface:
    """One surface of a user.

    Attributes:
        name: Unique; letters and digits of any alphabet, ``_`` and ``-``.
        source: Where it comes from, for people.
        vertices: (V, 3) float64; the length unit is the caller's business.
        triangles: (T, 3) int32.
        stated: What its file says about its unit and its axes.
        given_name: What it was called before the name was cleaned and made unique.
    """

    name: str
    source: str
    vertices: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)
    stated: Stated = NOTHING_STATED
    given_name: str = ""

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3): lowest and highest corner."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])


def read_surfaces(paths: Sequence[Path]) -> list[FileSurface]:
    """Read mesh files; a file with several named parts gives several surfaces, with their transforms applied.

    Nothing is repaired. Vertices at exactly the same place become one if the surface is open without that.

    Args:
        paths: STL, OBJ, PLY, GLB, GLTF or OFF files, also as .gz or in a .zip.

    Returns:
        The surfaces in the order of the files; parts of one file by name.

    Raises:
        UssimError: A file is missing, of another format, unreadable, or holds no triangles.
    """
    found = [surface for path in paths for surface in _read_file(Path(path))]
    names = unique_names([surface.name for surface in found])
    return [
        FileSurface(name, one.source, one.vertices, one.triangles, one.stated, one.given_name)
        for name, one in zip(names, found, strict=True)
    ]


def _read_file(path: Path) -> list[FileSurface]:
    """Every part of one file."""
    try:
        parts = read_mesh_file(path)
    except UssimError as error:
        raise UssimError(f"{path}: {error}") from None
    several = len(parts) > 1
    surfaces = []
    for part in sorted(parts, key=lambda part: part.names[:1]):
        given = _given_name(part, path)
        name = clean_name(given) or ("part" if several else "surface")
        source = f"{path.name}, {part.source}" if part.source and (several or path.suffix == ".zip") else path.name
        surfaces.append(FileSurface(name, source, *tidy_mesh(part.vertices, part.triangles), part.stated, given))
    return surfaces


def _given_name(part: MeshPart, path: Path) -> str:
    """The first name that a person may have given; the file's where there is none."""
    for candidate in part.names:
        if not _NAMELESS.fullmatch(candidate.lower()) and clean_name(candidate):
            return candidate
    stem = path.name.removesuffix(path.suffix) if path.suffix else path.name
    return Path(stem).stem if path.suffix.lower() == ".gz" else stem
