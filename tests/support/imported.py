"""Scenes made of meshes in files by ``ussim scene init``."""

from __future__ import annotations

from pathlib import Path

import trimesh

from support.commands import ussim
from ussim.scene.scene import Scene
from ussim.scene.surface import Surface
from ussim.scene.topology import face_shapes


def init(*arguments: object) -> Scene:
    """Make a scene and load it."""
    result = ussim("scene", "init", *arguments)
    assert result.exit_code == 0, result.output
    folder = Path(str(arguments[arguments.index("-o") + 1]))
    assert ussim("scene", "info", folder).exit_code == 0
    return Scene.load(folder)


def save(folder: Path, **meshes: trimesh.Trimesh) -> list[Path]:
    """STL files by name."""
    paths = [folder / f"{name}.stl" for name in meshes]
    for path, mesh in zip(paths, meshes.values(), strict=True):
        mesh.export(path)
    return paths


def surfaces(scene: Scene) -> dict[str, Surface]:
    """Surfaces by name."""
    return {one.name: one for one in scene.surfaces}


def volume_mm3(one: Surface) -> float:
    """Enclosed volume."""
    return float(face_shapes(one.vertices_mm, one.triangles)[1].sum() / 6)
