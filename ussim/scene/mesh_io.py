"""Mesh files → vertices and triangles in mm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ussim.errors import UssimError
from ussim.scene.topology import count_bad_edges

if TYPE_CHECKING:
    import trimesh

MESH_FORMATS = ("stl", "obj", "ply", "glb", "gltf", "off")
MOST_MESH_BYTES = 2 * 2**30
"""Largest mesh file that is read, and largest array in one once it is unfolded."""
MOST_TRIANGLES = 50_000_000
"""Of one mesh file."""


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
    if count_bad_edges(triangles, len(vertices))[0]:
        triangles = _merged_vertex_ids(vertices)[triangles]
    used = np.flatnonzero(np.bincount(triangles.ravel(), minlength=len(vertices)))
    renumbered = np.zeros(len(vertices), dtype=np.int32)
    renumbered[used] = np.arange(len(used), dtype=np.int32)
    return np.ascontiguousarray(vertices[used]), np.ascontiguousarray(renumbered[triangles])


def no_triangles(path: Path) -> str:
    """What to say of a mesh file in which no triangle was found."""
    if path.suffix.lower() == ".stl":  # it can hold nothing else; readers take a file that was cut off for an empty one
        return f"cannot be read as STL: no triangle in its {path.stat().st_size} bytes; was it cut off?"
    return "holds no triangles; allowed: a triangle mesh (a point cloud or a set of lines is none)"


def open_mesh_file(path: Path, split_objects: bool = False) -> trimesh.Scene:
    """Read a mesh file as a tree of meshes, exactly as the file stores them; materials and textures stay unread.

    Args:
        path: STL, OBJ, PLY, GLB, GLTF or OFF file.
        split_objects: Keep the objects of an OBJ file apart.

    Raises:
        UssimError: The file is missing, of another format, unreadable or too large. The message begins with what is
            wrong, for the caller to say where.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in MESH_FORMATS:
        raise UssimError(f"'{path.suffix}' is no mesh format known here; allowed: {', '.join(MESH_FORMATS)}")
    if not path.is_file():
        raise UssimError("no such file")
    if path.name != path.name.encode(errors="replace").decode():  # trimesh makes names of it
        raise UssimError(f"the file name {path.name!a} is no UTF-8 text; rename the file")
    _require_bytes(path.stat().st_size, "the file has")
    import trimesh

    options: dict[str, Any] = {"skip_materials": True} if suffix in ("obj", "ply", "glb", "gltf") else {}
    if suffix == "obj" and split_objects:
        options |= {"split_objects": True, "group_material": False}
    try:
        if suffix in ("glb", "gltf"):
            _check_gltf_sizes(path)
        # process=False: what the file stores, since trimesh would remove NaN and merge vertices silently.
        loaded = trimesh.load_scene(path, file_type=suffix, process=False, **options)
    except UssimError:
        raise
    except Exception as error:  # trimesh's readers fail in as many ways as there are broken files
        reason = str(error).strip().split("\n")[0] or "no reason given"
        raise UssimError(f"cannot be read as {suffix.upper()}: {type(error).__name__}: {reason}") from None
    placed = [loaded.geometry[loaded.graph[node][1]] for node in loaded.graph.nodes_geometry]
    triangles = sum(_count_triangles(part) for part in placed)  # a mesh counts as often as it is placed
    if triangles > MOST_TRIANGLES:
        raise UssimError(f"holds {triangles:,} triangles; allowed: at most {MOST_TRIANGLES:,}")
    return loaded


def _require_bytes(size: int, what: str) -> None:
    if size > MOST_MESH_BYTES:
        raise UssimError(f"{what} {size / 2**30:.3g} GiB; allowed: at most {MOST_MESH_BYTES / 2**30:.3g} GiB")


def _check_gltf_sizes(path: Path) -> None:
    """Refuse a glTF file that would unfold to more than may be: its arrays may be empty but for a length, or packed."""
    with path.open("rb") as file:
        start = file.read(20)
        if start[:4] == b"glTF":  # a header of 12 bytes, then the length and kind of the JSON chunk
            header = json.loads(file.read(int.from_bytes(start[12:16], "little")))
        else:
            header = json.loads(start + file.read())
    for accessor in header.get("accessors", ()):
        numbers = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}.get(accessor.get("type"), 16)
        _require_bytes(4 * numbers * int(accessor.get("count", 0)), "an array in it has")
    for buffer in (*header.get("buffers", ()), *header.get("bufferViews", ())):
        _require_bytes(int(buffer.get("byteLength", 0)), "a buffer in it has")


def _read_triangles(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) float64 and triangles (T, 3) int64 of all parts, exactly as the file stores them."""
    mesh = open_mesh_file(path).to_mesh()
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    triangles = np.asarray(mesh.faces, dtype=np.int64)
    if not len(triangles):
        raise UssimError(no_triangles(path))
    return vertices, triangles


def _count_triangles(part: Any) -> int:
    """Triangles of one part of a mesh file.

    Raises:
        UssimError: Its vertices have not three coordinates each, or a triangle uses one that is not there.
    """
    shape = np.shape(part.vertices)
    if shape[1:] != (3,):
        raise UssimError(f"has vertices of shape {shape}; allowed: three coordinates each")
    triangles = np.asarray(getattr(part, "faces", ()))  # lines and points beside the meshes have none
    bad = triangles[(triangles < 0) | (triangles >= len(part.vertices))]
    if len(bad):
        raise UssimError(f"has a face that uses vertex {bad[0]}; allowed: 0 to {len(part.vertices) - 1}")
    return len(triangles)


def _merged_vertex_ids(vertices: np.ndarray) -> np.ndarray:
    """Return for every vertex (V, 3) the number of one vertex at exactly its place, (V,)."""
    x, y, z = vertices.T
    order = np.lexsort((z, y, x))
    placed = vertices[order]
    starts = np.concatenate([[True], (placed[1:] != placed[:-1]).any(axis=1)])
    ids = np.empty(len(vertices), dtype=np.int64)
    ids[order] = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    return ids
