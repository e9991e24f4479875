"""The scene folder of a user's geometry: meshes, and a scene.toml whose comments say where every value is from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meshes.shapes.mesher import Mesh, write_ply
from ussim.errors import UssimError
from ussim.files import whole_folder
from ussim.scene.file import SCENE_FILE_NAME, SceneFile
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep
from ussim.scene.writer import SurfaceComments, scene_text, sweep_entry
from ussim.settings import validated


@dataclass(frozen=True, eq=False)
class ImportedSurface:
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
        renamed: True if it is not called as the user called it, so that the source should stand beside the name.
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
    renamed: bool = False


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
    folder: Path, name: str, header: Sequence[str], background: str, surfaces: Sequence[ImportedSurface], sweep: Sweep
) -> Scene:
    """Write a scene folder, whole or not at all, and load it as everybody else will.

    Args:
        folder: New or empty.
        name: Of the scene.
        header: Lines of the comment at the top.
        background: Tissue outside of all surfaces.
        surfaces: What it is made of.
        sweep: The probe's path.

    Returns:
        The scene as loaded from the folder.

    Raises:
        UssimError: The folder is not empty or cannot be written, or the scene does not pass its check.
    """
    require_new_folder(folder)
    try:
        with whole_folder(folder) as scratch:
            (scratch / "meshes").mkdir()
            for surface in surfaces:
                write_ply(Mesh(surface.vertices_mm, surface.triangles), scratch / _mesh_path(surface))
            (scratch / SCENE_FILE_NAME).write_text(_scene_text(name, header, background, surfaces, sweep), "utf-8")
            try:
                Scene.load(scratch)
            except UssimError as error:
                raise UssimError(str(error).replace(str(scratch), str(folder))) from None
    except OSError as error:
        raise UssimError(f"cannot write the scene to {folder}: {error.strerror or error}") from None
    return Scene.load(folder)


def _mesh_path(surface: ImportedSurface) -> str:
    return f"meshes/{surface.name}.ply"


def _scene_text(
    name: str, header: Sequence[str], background: str, surfaces: Sequence[ImportedSurface], sweep: Sweep
) -> str:
    ordered = sorted(surfaces, key=lambda surface: surface.priority)
    entries = [
        {"name": one.name, "mesh": _mesh_path(one), "tissue": one.tissue, "priority": one.priority} for one in ordered
    ]
    comments = {
        one.name: SurfaceComments((f"From {one.source}.", *one.notes), one.why_tissue, one.why_priority)
        for one in ordered
    }
    data = {"format": 1, "name": name, "background": background, "surface": entries, "sweep": [sweep_entry(sweep)]}
    return scene_text(validated(SceneFile, data, "scene: "), header, comments)
