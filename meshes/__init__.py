"""Procedural anatomy: a pregnant abdomen and its fetus as closed triangle surfaces with a scene.toml.

from meshes import build_scene
scene_toml = build_scene("demo", Path("scene"), seed=0, weeks=22)
"""

from __future__ import annotations

from meshes.build import build_scene
from meshes.cache import cache_folder, cached_scene, place_cached_scene
from meshes.errors import MeshesError, OutputError, SettingError, SurfaceError

__all__ = [
    "MeshesError",
    "OutputError",
    "SettingError",
    "SurfaceError",
    "build_scene",
    "cache_folder",
    "cached_scene",
    "place_cached_scene",
]
