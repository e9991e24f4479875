"""Mesh files as programs other than ours write them."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import trimesh

from support.scenes import sphere_mesh

COMPONENTS = {"b": 5120, "B": 5121, "h": 5122, "H": 5123, "I": 5125, "f": 5126}


def ball(radius: float = 20.0, centre: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    """A coarse ball, so that files of it are small."""
    return sphere_mesh(radius, centre, subdivisions=2)


def join(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(meshes)


class Gltf:
    """A glTF file that is put together array by array."""

    def __init__(self) -> None:
        self.blob = b""
        self.document: dict = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": []}],
            "nodes": [],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
        }

    def view(self, data: bytes, **extra: object) -> int:
        self.blob += bytes(-len(self.blob) % 4)
        views = self.document["bufferViews"]
        views.append({"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data), **extra})
        self.blob += data
        return len(views) - 1

    def array(self, values: np.ndarray, kind: str, **extra: object) -> int:
        """An accessor; rows are padded to whole words, as the standard wants."""
        values = np.asarray(values)
        rows = values.reshape(len(values), -1).astype(f"<{kind}" if kind in "Bb" else f"<{np.dtype(kind).str[1:]}")
        width = rows.shape[1]
        used = rows.itemsize * width
        padded = used + (-used % 4 if width > 1 else 0)
        data = b"".join(row.tobytes().ljust(padded, b"\0") for row in rows) if padded != used else rows.tobytes()
        stride = {"byteStride": padded} if padded != used else {}
        shape = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width]
        accessor = {
            "bufferView": self.view(data, **stride),
            "count": len(rows),
            "type": shape,
            "componentType": COMPONENTS[kind],
        }
        self.document["accessors"].append(accessor | extra)
        return len(self.document["accessors"]) - 1

    def primitive(self, mesh: trimesh.Trimesh, **extra: object) -> dict:
        """Places as floats, corners as unsigned integers."""
        return {
            "attributes": {"POSITION": self.array(mesh.vertices, "f")},
            "indices": self.array(mesh.faces.ravel(), "I"),
            **extra,
        }

    def mesh(self, *primitives: dict, **extra: object) -> int:
        self.document["meshes"].append({"primitives": list(primitives), **extra})
        return len(self.document["meshes"]) - 1

    def node(self, root: bool = True, **extra: object) -> int:
        self.document["nodes"].append(extra)
        number = len(self.document["nodes"]) - 1
        if root:
            self.document["scenes"][0]["nodes"].append(number)
        return number

    def save(self, path: Path, buffer: Path | None = None, uri: str = "") -> Path:
        """As GLB or, by its ending, as GLTF: with its data inside, or in a file of their own."""
        entry: dict = {"byteLength": len(self.blob)}
        if path.suffix == ".glb":
            text = json.dumps(self.document | {"buffers": [entry]}).encode()
            text += b" " * (-len(text) % 4)
            blob = self.blob + bytes(-len(self.blob) % 4)
            head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(blob))
            path.write_bytes(
                head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
            )
            return path
        if buffer is not None:
            buffer.write_bytes(self.blob)
        entry["uri"] = uri or f"data:application/octet-stream;base64,{base64.b64encode(self.blob).decode()}"
        path.write_text(json.dumps(self.document | {"buffers": [entry]}))
        return path


def obj_text(
    parts: dict[str, trimesh.Trimesh], separator: str = "o", relative: bool = False, corner: str = "{0}"
) -> str:
    """Parts one after another, each with vertices of its own."""
    lines, before = [], 0
    for name, mesh in parts.items():
        lines.append(f"{separator} {name}")
        lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
        count = len(mesh.vertices)
        first = -count if relative else before + 1
        lines += ["f " + " ".join(corner.format(first + one) for one in face) for face in mesh.faces]
        before += count
    return "\n".join([*lines, ""])


def stl_bytes(mesh: trimesh.Trimesh, header: bytes = b"", count: int | None = None, tail: bytes = b"") -> bytes:
    """Binary, with a header and a count that may be wrong."""
    triangles = mesh.triangles.astype("<f4")
    records = b"".join(bytes(12) + triangle.tobytes() + bytes(2) for triangle in triangles)
    return header.ljust(80, b"\0") + struct.pack("<I", len(triangles) if count is None else count) + records + tail


def stl_text(parts: dict[str, trimesh.Trimesh]) -> str:
    """One solid after another."""
    lines = []
    for name, mesh in parts.items():
        lines.append(f"solid {name}")
        for triangle in mesh.triangles:
            lines += ["facet normal 0 0 1", "outer loop", *(f"vertex {x:.6f} {y:.6f} {z:.6f}" for x, y, z in triangle)]
            lines += ["endloop", "endfacet"]
        lines.append(f"endsolid {name}")
    return "\n".join([*lines, ""])


def ply_bytes(
    mesh: trimesh.Trimesh,
    polygons: Iterable[Iterable[int]] | None = None,
    order: str = "<",
    real: str = "f",
    comments: tuple[str, ...] = (),
    element: str = "face",
) -> bytes:
    """Binary: normals and a quality beside the places, a flag before the corners of each face."""
    rows = [list(row) for row in (mesh.faces if polygons is None else polygons)]
    kind = {"f": "float", "d": "double"}[real]
    lines = [
        "ply",
        f"format binary_{'little' if order == '<' else 'big'}_endian 1.0",
        *(f"comment {one}" for one in comments),
    ]
    lines += [
        f"element vertex {len(mesh.vertices)}",
        "property uchar quality",
        *(f"property {kind} {one}" for one in ("x", "y", "z")),
    ]
    lines += ["property float nx", f"element {element} {len(rows)}", "property uchar flags"]
    lines += [f"property list {'uchar' if element == 'face' else 'int'} int vertex_indices", "end_header", ""]
    data = "\n".join(lines).encode()
    for vertex in mesh.vertices:
        data += struct.pack(f"{order}B3{real}f", 7, *vertex, 0.5)
    for row in rows:
        data += struct.pack(f"{order}B{'B' if element == 'face' else 'i'}{len(row)}i", 1, len(row), *row)
    return data
