"""The scene.toml format, and the meshes it points to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ussim.errors import UssimError
from ussim.toml import read_toml

if TYPE_CHECKING:
    import numpy as np

SCENE_FILE_NAME = "scene.toml"
MESH_FORMATS = ("stl", "obj", "ply", "glb", "gltf", "off")

_CHECKED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

Name = Annotated[str, Field(min_length=1, max_length=64)]
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


class SceneFile(BaseModel):
    """A whole scene.toml."""

    model_config = _CHECKED

    format: Literal[1]
    name: Name
    background: Name = "gel"
    tissues: list[str] = []
    surface: Annotated[list[SurfaceEntry], Field(min_length=1)]
    sweep: list[SweepEntry] = []

    @field_validator("surface", "sweep")
    @classmethod
    def _names_are_unique(cls, entries: list) -> list:
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{names.count(name)} of them are named '{name}'; allowed: every name once")
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


def load_mesh(path: Path, scale: float = 1.0, transform: list[list[float]] | None = None) -> tuple:
    """Load one mesh file as the tracer will see it. Nothing is repaired.

    Vertices that no triangle uses are dropped. If the mesh is open as the file stores it, vertices at exactly
    the same place become one: STL stores no shared vertices at all, and other formats split them along
    texture seams.

    Args:
        path: STL, OBJ, PLY, GLB, GLTF or OFF file; the parts of one file with several become one mesh.
        scale: Factor to mm, applied first.
        transform: 4×4 affine matrix, mm → mm, applied second.

    Returns:
        vertices (V, 3) float32, mm, and triangles (T, 3) int32.

    Raises:
        UssimError: The file is missing, of another format, unreadable, or holds no triangles.
    """
    import numpy as np

    vertices, triangles = _read_triangles(path)
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
    import numpy as np

    from ussim.scene.topology import count_bad_edges

    if count_bad_edges(triangles, len(vertices))[0]:
        triangles = _merged_vertex_ids(vertices)[triangles]
    used = np.flatnonzero(np.bincount(triangles.ravel(), minlength=len(vertices)))
    renumbered = np.zeros(len(vertices), dtype=np.int32)
    renumbered[used] = np.arange(len(used), dtype=np.int32)
    return np.ascontiguousarray(vertices[used]), np.ascontiguousarray(renumbered[triangles])


def _read_triangles(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) float64 and triangles (T, 3) int64 exactly as the file stores them."""
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in MESH_FORMATS:
        raise UssimError(f"'{path.suffix}' is no mesh format known here; allowed: {', '.join(MESH_FORMATS)}")
    if not path.is_file():
        raise UssimError(f"no such file: {path}")
    import numpy as np
    import trimesh

    try:
        # process=False: what the file stores, since trimesh would remove NaN and merge vertices silently.
        mesh = trimesh.load_mesh(path, file_type=suffix, process=False)
        vertices = np.asarray(mesh.vertices, dtype=np.float64)
        triangles = np.asarray(mesh.faces, dtype=np.int64)
    except Exception as error:  # trimesh's readers fail in as many ways as there are broken files
        reason = str(error).strip().split("\n")[0] or "no reason given"
        raise UssimError(f"cannot be read as {suffix.upper()}: {type(error).__name__}: {reason}") from None
    if not len(triangles):
        raise UssimError(no_triangles(path))
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise UssimError(f"has a face that uses vertex {triangles.max()}; allowed: 0 to {len(vertices) - 1}")
    return vertices, triangles


def no_triangles(path: Path) -> str:
    """What to say of a mesh file in which no triangle was found."""
    if path.suffix.lower() == ".stl":  # it can hold nothing else; readers take a file that was cut off for an empty one
        return f"cannot be read as STL: no triangle in its {path.stat().st_size} bytes; was it cut off?"
    return "holds no triangles; allowed: a triangle mesh (a point cloud or a set of lines is none)"


def _merged_vertex_ids(vertices: np.ndarray) -> np.ndarray:
    """Return for every vertex (V, 3) the number of one vertex at exactly its place, (V,)."""
    import numpy as np

    x, y, z = vertices.T
    order = np.lexsort((z, y, x))
    placed = vertices[order]
    starts = np.concatenate([[True], (placed[1:] != placed[:-1]).any(axis=1)])
    ids = np.empty(len(vertices), dtype=np.int64)
    ids[order] = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    return ids
