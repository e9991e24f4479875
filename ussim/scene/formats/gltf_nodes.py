"""Where a glTF file places its meshes: the tree of its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ussim.errors import UssimError

_LARGEST_ENTRY = 1e12


@dataclass(frozen=True, eq=False)
class PlacedMesh:
    """A mesh at a node.

    Attributes:
        names: Of the node, of the mesh, then of the nodes above; may be empty.
        node: As in the file.
        mesh: As in the file.
        matrix: (4, 4), from the mesh's frame to the scene's.
    """

    names: tuple[str, ...]
    node: dict[str, Any]
    mesh: dict[str, Any]
    matrix: np.ndarray = field(repr=False)


def placed_meshes(document: dict[str, Any]) -> Iterator[PlacedMesh]:
    """The meshes of the default scene in the order of its nodes; of all nodes where there is no scene.

    Raises:
        UssimError: The nodes are no tree, or a transform is not finite.
    """
    nodes = document.get("nodes", ())
    for number, matrix, names in _walk(document):
        node = nodes[number]
        if "mesh" in node:
            mesh = document["meshes"][node["mesh"]]
            called = (node.get("name"), mesh.get("name"), *names)
            yield PlacedMesh(tuple(str(name) for name in called if name), node, mesh, matrix)


def matrices_of_joints(document: dict[str, Any], skin: dict[str, Any]) -> np.ndarray:
    """(n, 4, 4) from the frame of each joint of a skin to the scene's."""
    placed = {number: matrix for number, matrix, _ in _walk(document)}
    missing = [joint for joint in skin["joints"] if joint not in placed]
    if missing:
        raise UssimError(f"cannot be read as GLTF: joint {missing[0]} of a skin is not in the scene")
    return np.stack([placed[joint] for joint in skin["joints"]])


def _walk(document: dict[str, Any]) -> Iterator[tuple[int, np.ndarray, tuple[str, ...]]]:
    """Number, matrix and names of the nodes above, of every node in the scene."""
    nodes = document.get("nodes", ())
    seen: set[int] = set()
    waiting: list[tuple[int, np.ndarray, tuple[str, ...]]]
    waiting = [(number, np.eye(4), ()) for number in reversed(_roots(document))]
    while waiting:
        number, above, names = waiting.pop()
        if number in seen:
            raise UssimError(f"cannot be read as GLTF: node {number} is placed twice; allowed: a tree of nodes")
        seen.add(number)
        node = nodes[number]
        matrix = above @ _matrix(node, number)
        yield number, matrix, names
        inner = (str(node["name"]), *names[:3]) if node.get("name") else names
        waiting += [(child, matrix, inner) for child in reversed(node.get("children", ()))]


def _roots(document: dict[str, Any]) -> Sequence[int]:
    nodes, scenes = document.get("nodes", ()), document.get("scenes", ())
    if scenes:
        return list(scenes[document.get("scene", 0)].get("nodes", ()))
    children = {child for node in nodes for child in node.get("children", ())}
    return [number for number in range(len(nodes)) if number not in children]


def _matrix(node: dict[str, Any], number: int) -> np.ndarray:
    """(4, 4) of one node: as given, column by column, or scale, then rotation, then translation."""
    if "matrix" in node:
        matrix = np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    else:
        matrix = np.eye(4)
        x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), dtype=np.float64)
        length = x * x + y * y + z * z + w * w
        s = 2 / length if length > 0 else 0.0
        rotation = np.array(
            [
                [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
                [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
                [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
            ]
        )
        matrix[:3, :3] = rotation * np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)
        matrix[:3, 3] = node.get("translation", (0, 0, 0))
    if not (np.abs(matrix) <= _LARGEST_ENTRY).all():
        raise UssimError(f"node {number} has a transform of {np.abs(matrix).max():.3g}; allowed: below 1e12")
    return matrix
