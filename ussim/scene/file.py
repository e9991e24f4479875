"""The scene.toml format and its reader; :mod:`ussim.scene.writer` writes it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from ussim.errors import UssimError
from ussim.scene.point import STRONGEST_DB, WEAKEST_DB
from ussim.toml import read_toml

SCENE_FILE_NAME = "scene.toml"

_CHECKED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


def _commands_no_terminal(name: str) -> str:
    """Names are shown: a control character could clear a screen, a mark of direction could turn writing round."""
    if any(unicodedata.category(letter) == "Cc" or letter in _TURNING for letter in name):
        raise ValueError("holds a control character; allowed: letters that can be seen")
    return name


_TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_commands_no_terminal)]

Vector = Annotated[list[float], Field(min_length=3, max_length=3)]

Row = Annotated[list[float], Field(min_length=4, max_length=4)]

Matrix = Annotated[list[Row], Field(min_length=4, max_length=4)]


class SurfaceEntry(BaseModel):
    """One ``[[surface]]`` table.

    Attributes:
        name: Unique in the scene.
        mesh: Mesh file, relative to the scene file.
        tissue: What fills the surface; a name of the tissue library.
        priority: Where surfaces overlap the higher one wins; equal ones must not overlap.
        group: Free word such as ``fetus`` or ``mother``.
        scale: Factor to millimetres: 1000 for a mesh in metres. Applied before ``transform``.
        transform: 4×4 affine matrix, mm → mm, rows first. If it mirrors, the winding is turned with it, so
            that an outward surface stays outward.
    """

    model_config = _CHECKED

    name: Name
    mesh: Annotated[str, Field(min_length=1)]
    tissue: Name
    priority: Annotated[int, Field(ge=0, le=1_000_000)]
    group: str = ""
    scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    transform: Matrix | None = None

    @field_validator("transform")
    @classmethod
    def _transform_is_affine(cls, rows: list[list[float]] | None) -> list[list[float]] | None:
        if rows is None:
            return None
        if rows[3] != [0.0, 0.0, 0.0, 1.0]:
            raise ValueError(f"last row is {rows[3]}; allowed: an affine matrix, whose last row is [0, 0, 0, 1]")
        import numpy as np

        if np.linalg.matrix_rank(np.array(rows)) < 4:
            raise ValueError("the matrix is singular; allowed: one that can be inverted")
        return rows


class KeyEntry(BaseModel):
    """One ``[[sweep.key]]`` table. NaN passes: :class:`~ussim.scene.sweep.SweepKey` refuses it by name."""

    model_config = _CHECKED | ConfigDict(allow_inf_nan=True)

    position_mm: Vector
    axial: Vector
    lateral: Vector


class SweepEntry(BaseModel):
    """One ``[[sweep]]`` table."""

    model_config = _CHECKED

    name: Name
    description: str = ""
    key: Annotated[list[KeyEntry], Field(min_length=1)]


class PointEntry(BaseModel):
    """One ``[[point]]`` table; fields are those of :class:`~ussim.scene.point.PointTarget`."""

    model_config = _CHECKED

    position_mm: Vector
    strength_db: Annotated[float, Field(ge=WEAKEST_DB, le=STRONGEST_DB)] = 0.0


class SceneFile(BaseModel):
    """A whole scene.toml."""

    model_config = _CHECKED

    format: Literal[1]
    name: Name
    background: Name = "gel"
    tissues: list[str] = []
    surface: Annotated[list[SurfaceEntry], Field(min_length=1)]
    point: list[PointEntry] = []
    sweep: list[SweepEntry] = []

    @field_validator("surface", "sweep")
    @classmethod
    def _names_are_unique(cls, entries: list) -> list:
        for name, count in Counter(entry.name for entry in entries).items():
            if count > 1:
                raise ValueError(f"{count} of them are named '{name}'; allowed: every name once")
        return entries


def find_scene_file(path: Path) -> Path:
    """Return the scene file that a path means: itself, or the scene.toml in a folder.

    Raises:
        UssimError: There is none.
    """
    path = Path(path)
    file = path / SCENE_FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise UssimError(f"{path}: no scene here; allowed: a scene.toml, or a folder that holds one")
    return file


def read_scene_file(path: Path) -> SceneFile:
    """Read a scene.toml without loading its meshes.

    Raises:
        UssimError: One line that names file, table, field, value and what is allowed.
    """
    return read_toml(path, SceneFile)
