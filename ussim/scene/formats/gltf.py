"""glTF 2.0, the meshes of its scene: ``.gltf`` and ``.glb``, as programs pack them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ussim.errors import UssimError
from ussim.scene.formats.draco import decode_draco
from ussim.scene.formats.gltf_nodes import PlacedMesh, matrices_of_joints, placed_meshes
from ussim.scene.formats.limits import require_bytes
from ussim.scene.formats.part import MeshPart, strip

Fetch = Callable[[str], bytes]
"""Gives the bytes of a file beside the mesh file, by the name that the mesh file has for it."""

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
DRACO = "KHR_draco_mesh_compression"
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_INSTANCING = "EXT_mesh_gpu_instancing"
# What a file may require and what changes no geometry, by the beginning of its name; or is read here.
_HARMLESS = (
    "KHR_materials_", "KHR_texture_", "KHR_lights_", "KHR_xmp", "KHR_animation_", "KHR_techniques_", "KHR_node_",
    "KHR_audio_", "EXT_texture_", "EXT_lights_", "EXT_materials_", "EXT_mesh_features", "EXT_structural_metadata",
    "EXT_instance_features", "MSFT_texture_", "MSFT_packing_", "MSFT_lod", "ADOBE_materials_", "KHR_mesh_quantization",
    DRACO,
)  # fmt: skip


def read_gltf(data: bytes, fetch: Fetch) -> Iterator[MeshPart]:
    """Read the meshes of the default scene, each as often as it is placed there, one at a time.

    The primitives of a mesh are one part, whatever materials they have. Integers are divided as their accessor says;
    morph targets are added by their weights, and skins are put on their joints as they stand. Animations, materials,
    points and lines are not read.

    Args:
        data: The file.
        fetch: For buffers in files of their own.

    Raises:
        UssimError: The file says what the standard forbids, or needs an extension that is not known here.
    """
    document, chunk = _split_glb(data)
    _require_known_extensions(document)
    file = _File(document, chunk, fetch)
    for placed in placed_meshes(document):
        yield from _read_mesh(file, placed)


def _split_glb(data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The JSON of a file, and the bytes that come with it in a GLB."""
    chunk = None
    text = data.removeprefix(b"\xef\xbb\xbf")
    if data[:4] == b"glTF":  # a header of 12 bytes, then chunks, each after its length and kind
        if int.from_bytes(data[4:8], "little") != 2:
            raise UssimError("is glTF 1; allowed: 2")
        end = 20 + int.from_bytes(data[12:16], "little")
        text = data[20:end]
        if data[end + 4 : end + 8] == b"BIN\0":
            chunk = data[end + 8 : end + 8 + int.from_bytes(data[end : end + 4], "little")]
    document = json.loads(text)
    if not isinstance(document, dict):
        raise UssimError("cannot be read as GLTF: its JSON is no object")
    version = str(document.get("asset", {}).get("version", "2.0"))
    if not version.startswith("2."):
        raise UssimError(f"is glTF {version[:10]!r}; allowed: 2.0")
    return document, chunk


def _require_known_extensions(document: dict[str, Any]) -> None:
    required = [str(one) for one in document.get("extensionsRequired", ())]
    for name in required:
        if name in _MESHOPT:
            raise UssimError(f"uses {name}: export without compression (gltf-transform copy, or gltfpack without -c)")
        if not name.startswith(_HARMLESS):
            raise UssimError(f"requires the extension {name[:60]!r}, which is not read here: export without it")


def _read_mesh(file: _File, placed: PlacedMesh) -> Iterator[MeshPart]:
    """The part of one placed mesh; none if it has no triangles."""
    if _INSTANCING in placed.node.get("extensions", ()):
        raise UssimError(f"uses {_INSTANCING}: export without it, every instance as a node of its own")
    vertices, triangles, count = [], [], 0
    for primitive in placed.mesh.get("primitives", ()):
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in (_TRIANGLES, _STRIP, _FAN):  # points and lines
            continue
        points, corners = _read_primitive(file, primitive, placed)
        vertices.append(points)
        triangles.append(_as_triangles(corners, mode) + count)
        count += len(points)
    if vertices:
        faces = np.concatenate(triangles)
        joined = np.concatenate(vertices)
        if "skin" not in placed.node:  # which places what it holds by its joints alone
            joined = joined @ placed.matrix[:3, :3].T + placed.matrix[:3, 3]
            if np.linalg.det(placed.matrix[:3, :3]) < 0:
                faces = faces[:, ::-1]
        yield MeshPart(joined, faces, placed.names, source=f"part {placed.names[0]}" if placed.names else "")


def _as_triangles(corners: np.ndarray, mode: int) -> np.ndarray:
    if mode == _TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if mode == _STRIP:
        return corners[strip(len(corners))]
    inner = np.arange(1, max(len(corners) - 1, 1))
    return corners[np.stack([np.zeros_like(inner), inner, inner + 1], axis=1)]


def _read_primitive(file: _File, primitive: dict[str, Any], placed: PlacedMesh) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64 in the mesh's own frame, or in that of the scene if it has a skin, and corners (n,)."""
    attributes = primitive["attributes"]
    packed = primitive.get("extensions", {}).get(DRACO)
    if packed is not None:
        points, corners = decode_draco(file.view(packed["bufferView"]), packed["attributes"])
        accessor = file.document["accessors"][attributes["POSITION"]]
        points = _divided(points, accessor)
    else:
        points = file.array(attributes["POSITION"])
        corners = np.arange(len(points))
        if "indices" in primitive:
            corners = file.array(primitive["indices"]).reshape(-1).astype(np.int64)
    points = np.array(points, dtype=np.float64)
    weights = placed.node.get("weights", placed.mesh.get("weights", ()))
    for weight, target in zip(weights, primitive.get("targets", ()), strict=False):
        if weight and "POSITION" in target:
            points += float(weight) * file.array(target["POSITION"])
    if "skin" in placed.node:
        points = _skinned(file, points, attributes, placed)
    return points, corners


def _skinned(file: _File, points: np.ndarray, attributes: dict[str, int], placed: PlacedMesh) -> np.ndarray:
    """Points on the joints of their skin as these stand in the file."""
    skin = file.document["skins"][placed.node["skin"]]
    joints = matrices_of_joints(file.document, skin)
    if "inverseBindMatrices" in skin:  # stored column by column
        joints = joints @ file.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    moved, total = np.zeros_like(points), np.zeros(len(points))
    for number in range(len(attributes)):
        if f"JOINTS_{number}" not in attributes:
            break
        which = file.array(attributes[f"JOINTS_{number}"]).astype(np.int64)
        shares = file.array(attributes[f"WEIGHTS_{number}"])
        for column in range(4):
            placed_there = np.einsum("nij,nj->ni", joints[which[:, column]][:, :3], homogeneous)
            moved += shares[:, column, None] * placed_there
            total += shares[:, column]
    return np.divide(moved, total[:, None], out=points.copy(), where=total[:, None] > 0)


@dataclass
class _File:
    """The arrays of a glTF file."""

    document: dict[str, Any]
    chunk: bytes | None
    fetch: Fetch
    _buffers: dict[int, bytes] = field(default_factory=dict)

    def array(self, number: int) -> np.ndarray:
        """An accessor: (count, width), whole numbers as they are, others as float64.

        Raises:
            UssimError: It is longer than may be, or reaches beyond its buffer.
        """
        accessor = self.document["accessors"][number]
        count, width = int(accessor["count"]), _WIDTHS[accessor["type"]]
        kind = np.dtype(_COMPONENTS[accessor["componentType"]])
        require_bytes(4 * width * count, "an array in it has")
        if "bufferView" in accessor:
            values = self._strided(accessor["bufferView"], accessor.get("byteOffset", 0), kind, count, width)
        elif "sparse" in accessor:
            require_bytes(16 * width * count, "an array in it has")  # which no data of the file vouch for
            values = np.zeros((count, width), kind)
        else:
            raise UssimError("cannot be read as GLTF: an array in it has no data")
        if "sparse" in accessor:
            values = self._with_others(values, accessor["sparse"], kind)
        return _divided(values, accessor)

    def _with_others(self, values: np.ndarray, sparse: dict[str, Any], kind: np.dtype) -> np.ndarray:
        count, indices, others = int(sparse["count"]), sparse["indices"], sparse["values"]
        index_kind = np.dtype(_COMPONENTS[indices["componentType"]])
        where = self._strided(indices["bufferView"], indices.get("byteOffset", 0), index_kind, count, 1)
        values = values.copy()
        values[where[:, 0].astype(np.int64)] = self._strided(
            others["bufferView"], others.get("byteOffset", 0), kind, count, values.shape[1]
        )
        return values

    def _strided(self, view: int, offset: int, kind: np.dtype, count: int, width: int) -> np.ndarray:
        data = self.view(view)
        stride = int(self.document["bufferViews"][view].get("byteStride", kind.itemsize * width))
        end = offset + (count - 1) * stride + kind.itemsize * width if count > 0 else offset
        if count < 0 or offset < 0 or stride < kind.itemsize * width or end > len(data):
            raise UssimError("cannot be read as GLTF: an array in it reaches beyond its buffer; was it cut off?")
        return np.ndarray((count, width), kind, data, offset, (stride, kind.itemsize))

    def view(self, number: int) -> memoryview:
        """The bytes of a buffer view.

        Raises:
            UssimError: It is longer than may be, reaches beyond its buffer, or is compressed.
        """
        view = self.document["bufferViews"][number]
        start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
        require_bytes(length, "a buffer in it has")
        data = self._buffer(int(view["buffer"]))
        if start < 0 or length < 0 or start + length > len(data):
            raise UssimError("cannot be read as GLTF: an array in it reaches beyond its buffer; was it cut off?")
        return memoryview(data)[start : start + length]

    def _buffer(self, number: int) -> bytes:
        if number not in self._buffers:
            buffer = self.document["buffers"][number]
            length = int(buffer["byteLength"])
            require_bytes(length, "a buffer in it has")
            uri = buffer.get("uri")
            for name in _MESHOPT:
                if uri is None and name in buffer.get("extensions", ()):
                    raise UssimError(f"uses {name}: export without compression")
            if uri is None:
                data = self.chunk if number == 0 else None
                if data is None:
                    raise UssimError("cannot be read as GLTF: a buffer in it has no data")
            else:
                data = _from_data_uri(uri) if uri.startswith("data:") else self.fetch(uri)
            self._buffers[number] = data
            require_bytes(sum(map(len, self._buffers.values())), "its buffers have")
        return self._buffers[number]


def _from_data_uri(uri: str) -> bytes:
    head, comma, text = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise UssimError("cannot be read as GLTF: a buffer in it is a data URI without base64")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise UssimError("cannot be read as GLTF: a buffer in it is no base64") from None


def _divided(values: np.ndarray, accessor: dict[str, Any]) -> np.ndarray:
    """Numbers as they are meant: normalised integers are fractions of the largest, signed ones not below −1."""
    kind = np.dtype(_COMPONENTS[accessor["componentType"]])
    if not accessor.get("normalized") or kind.kind == "f" or values.dtype.kind == "f":
        return values
    return np.maximum(values / float(np.iinfo(kind).max), -1.0)
