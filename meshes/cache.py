"""Built scenes in the user's cache folder, so that one anatomy is meshed once."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import ussim.scene
from meshes.build import build_scene, check_detail
from meshes.errors import OutputError
from meshes.fetus.growth import check_weeks
from meshes.folder import is_as_built, new_scene
from meshes.variation import check_seed
from ussim.files import user_cache_folder, whole_folder

_SOURCES = (Path(__file__).parent, Path(ussim.scene.__file__).parent)
"""This package, and the one with the tissues that poses are chosen by and the writer of scenes."""
_LIBRARIES = ("numpy", "scipy", "numba", "scikit-image", "manifold3d")  # another version may mesh differently


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/ussim/scenes``, else ``~/.cache/ussim/scenes``; on macOS and Windows where caches lie there."""
    return user_cache_folder() / "scenes"


def scene_key(detail: str, seed: int, weeks: float) -> str:
    """Name of a scene in the cache: readable settings and a digest over them and all that builds the scene."""
    digest = hashlib.sha256(json.dumps([detail, seed, weeks, [version(name) for name in _LIBRARIES]]).encode())
    for folder in _SOURCES:
        for path in _files(folder):
            data = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(data)}\n".encode())
            digest.update(data)
    return f"{detail}-{weeks:g}w-seed{seed}-{digest.hexdigest()[:20]}"


def _files(folder: Path) -> list[Path]:
    """What of a package may shape an anatomy: all files but those for phantoms and for geometry that users bring."""
    found = [*folder.rglob("*.py"), *folder.rglob("*.toml")]
    return sorted(path for path in found if not {"importing", "phantoms"} & set(path.relative_to(folder).parts))


def cached_scene(detail: str, seed: int = 0, weeks: float = 22, progress: Callable[[str], None] | None = None) -> Path:
    """The scene.toml of an anatomy in the cache, built if it is not there. Do not change what it lies in.

    Several processes may ask for one scene at once: each that finds none builds it, and one of the results stays. One
    that is not as it was built, as a power cut may leave it, is built again.

    Raises:
        SettingError: an argument is out of range.
        OutputError: the cache cannot be written.
        SurfaceError: a surface could not be closed.
    """
    check_detail(detail)
    seed, weeks = check_seed(seed), check_weeks(weeks)
    folder = cache_folder()
    final = folder / scene_key(detail, seed, weeks)
    if is_as_built(final):
        return final / "scene.toml"
    try:
        if final.exists():
            shutil.rmtree(final)
        with whole_folder(final) as scratch:
            build_scene(detail, scratch, seed, weeks, progress)
    except (OSError, OutputError) as error:
        if not is_as_built(final):  # else another process was faster
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"cannot write the scene cache {folder}: {reason}; choose another folder with XDG_CACHE_HOME"
            ) from None
    return final / "scene.toml"


def place_cached_scene(
    detail: str, out_dir: Path, seed: int = 0, weeks: float = 22, progress: Callable[[str], None] | None = None
) -> Path:
    """Like :func:`meshes.build.build_scene`, but copied from the cache, where it is built first if need be."""
    with new_scene(Path(out_dir)) as folder:
        source = cached_scene(detail, seed, weeks, progress).parent
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return Path(out_dir) / "scene.toml"
