"""The scene folder of a user's geometry: meshes, and a scene.toml whose comments say where every value is from."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meshes.shapes.mesher import Mesh, write_ply
from ussim.errors import UssimError
from ussim.scene.file import SCENE_FILE_NAME
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep

_COMMENT_COLUMN = 34


@dataclass(frozen=True, eq=False)
class Part:
    """One surface of a scene to be written.

    Attributes:
        name: Unique; fit for a file name.
        tissue: A name of the tissue library.
        priority: As in the scene file.
        source: Where the surface comes from, for people.
        why_tissue: Why this tissue.
        why_priority: Why this priority.
        notes: More that a reader should know, such as what was repaired.
        vertices_mm: (V, 3) float32.
        triangles: (T, 3) int32.
    """

    name: str
    tissue: str
    priority: int
    source: str
    why_tissue: str
    why_priority: str
    notes: tuple[str, ...] = ()
    vertices_mm: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 3), np.float32))
    triangles: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 3), np.int32))


def require_new_folder(folder: Path) -> None:
    """Refuse a folder that holds something, before any work is done.

    Raises:
        UssimError: It is not empty, or it is a file.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise UssimError(f"{folder} is not empty; allowed: a new or an empty folder")
    if folder.exists() and not folder.is_dir():
        raise UssimError(f"{folder} is a file; allowed: a new or an empty folder")


def write_scene(
    folder: Path, name: str, header: Sequence[str], background: str, parts: Sequence[Part], sweep: Sweep
) -> Scene:
    """Write a scene folder, whole or not at all, and load it as everybody else will.

    Args:
        folder: New or empty.
        name: Of the scene.
        header: Lines of the comment at the top.
        background: Tissue outside of all surfaces.
        parts: The surfaces.
        sweep: The probe's path.

    Returns:
        The scene as loaded from the folder.

    Raises:
        UssimError: The folder is not empty or cannot be written, or the scene does not pass its check.
    """
    require_new_folder(folder)
    folder = folder.absolute()
    scratch = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.partial"
    try:
        (scratch / "meshes").mkdir(parents=True)
        for part in parts:
            write_ply(Mesh(part.vertices_mm, part.triangles), scratch / "meshes" / f"{part.name}.ply")
        (scratch / SCENE_FILE_NAME).write_text(scene_text(name, header, background, parts, sweep), "utf-8")
        try:
            Scene.load(scratch)
        except UssimError as error:
            raise UssimError(str(error).replace(str(scratch), str(folder))) from None
        if folder.is_dir():
            folder.rmdir()
        os.rename(scratch, folder)
    except OSError as error:
        raise UssimError(f"cannot write the scene to {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Scene.load(folder)


def scene_text(name: str, header: Sequence[str], background: str, parts: Sequence[Part], sweep: Sweep) -> str:
    """The text of the scene.toml."""
    lines = [f"# {line}".rstrip() for line in header]
    lines += [
        "",
        "format = 1",
        f"name = {_quoted(name)}",
        _line("background", _quoted(background), "outside all surfaces"),
    ]
    lines += [
        "",
        "# Surfaces. Where two overlap, the one of higher priority fills the space. `tissue` is a name of the library;",
        "# `ussim scene info` lists the values of those in use, docs/scenes.md says how to add your own.",
    ]
    for part in sorted(parts, key=lambda part: part.priority):
        lines += ["", f"# From {_plain(part.source)}.", *(f"# {_plain(note)}" for note in part.notes), "[[surface]]"]
        lines += [f"name = {_quoted(part.name)}", f"mesh = {_quoted(f'meshes/{part.name}.ply')}"]
        lines += [_line("tissue", _quoted(part.tissue), part.why_tissue)]
        lines += [_line("priority", str(part.priority), part.why_priority)]
    lines += [
        "",
        "# The probe's path: the image is interpolated between these poses. position_mm is the middle of its face,",
        "# axial points into the body, lateral from left to right in the image.",
        "[[sweep]]",
        f"name = {_quoted(sweep.name)}",
        f"description = {_quoted(sweep.description)}",
    ]
    for key in sweep.keys:
        lines += ["", "[[sweep.key]]"]
        lines += [f"{field} = {_numbers(getattr(key, field))}" for field in ("position_mm", "axial", "lateral")]
    return "\n".join([*lines, ""])


def _line(key: str, value: str, comment: str) -> str:
    return f"{f'{key} = {value}':<{_COMMENT_COLUMN}}# {_plain(comment)}".rstrip()


def _plain(text: str) -> str:
    """Text for a comment: one line, and nothing that TOML forbids."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _numbers(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{float(value) + 0.0:.6f}".rstrip("0").rstrip(".") or "0" for value in values) + "]"
