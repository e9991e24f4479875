"""The folder of a built scene: whose it is, and a new scene that takes the place of an old one once it is whole.

Beside a scene lies ``built.json``, which says what was written and its digests. What is still so may be replaced; what
somebody has changed or added since may not.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from meshes.errors import OutputError
from ussim.errors import UssimError
from ussim.files import file_digest, flush, flush_tree, write_text
from ussim.lock import only_writer
from ussim.scene.file import SCENE_FILE_NAME
from ussim.scratch import remove_partial, scratch_beside
from ussim.settings import read_json

MARK, PHANTOM_MARK = "made by: ussim scene build", "made by: ussim scene phantom"
"""First comment in the scene file of every scene that is built."""
BUILT = "built.json"


class _Built(BaseModel):
    """What was written, by its place in the folder.

    Attributes:
        files: SHA-256 of each file; two while one is being replaced by another.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    files: dict[str, list[str]]


@contextmanager
def new_scene(out_dir: Path) -> Iterator[Path]:
    """Write a scene aside, then put it into its folder, in place of one that was built there before.

    What else lies in the folder stays. If the block fails, so does the old scene.

    Args:
        out_dir: The folder; made if missing.

    Yields:
        An empty scratch folder with a folder ``meshes`` in it.

    Raises:
        OutputError: The folder cannot be written, holds a scene or meshes of somebody else, or what was built there was
            changed since; or another build is at work in it.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with only_writer(out_dir, "scene", "another build is at work here"):
            remove_partial(out_dir)
            _require_own(out_dir)  # before the work, so that a bad folder shows at once
            scratch = scratch_beside(out_dir / "scene")
            try:
                (scratch / "meshes").mkdir(parents=True)
                yield scratch
                _put_in_place(scratch, out_dir)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot write the scene to {out_dir}: {error.strerror or error}") from error


def is_as_built(folder: Path) -> bool:
    """Whether a folder holds a built scene, all of it, as it was written."""
    try:
        files = _written(folder)
        return SCENE_FILE_NAME in files and all([file_digest(folder / name)] == known for name, known in files.items())
    except (UssimError, OSError):
        return False


def _written(folder: Path) -> dict[str, list[str]]:
    """Digests of what earlier builds wrote into a folder, by place.

    Raises:
        UssimError: What says so is damaged.
    """
    if not (folder / BUILT).is_file():
        return {}
    files = read_json(_Built, folder / BUILT).files
    for name in files:
        if not _is_place(Path(name)):
            raise UssimError(f"{folder / BUILT}: {name} is no place of a file of a scene")
    return files


def _is_place(path: Path) -> bool:
    """Whether a path is that of a file of a built scene: nothing outside of its folder."""
    return path.suffix in (".toml", ".ply") and path.parent in (Path(), Path("meshes"))


def _require_own(out_dir: Path) -> dict[str, list[str]]:
    """What earlier builds wrote into a folder.

    Raises:
        OutputError: Something there is not by a build, or was changed since.
    """
    try:
        written = _written(out_dir)
    except UssimError as error:
        raise OutputError(f"{error}; move it away, or choose another folder") from None
    found = [*out_dir.glob("*.toml"), *(out_dir / "meshes").glob("*.ply")]
    for path in sorted(found):
        name = path.relative_to(out_dir).as_posix()
        if name not in written:
            if path.suffix == ".toml" and path.name not in (SCENE_FILE_NAME, "tissues.toml"):
                continue  # no build writes it
            raise OutputError(f"{path} was not made by this command: move it away, or choose another folder")
        if file_digest(path) not in written[name]:
            raise OutputError(f"{path} was changed since it was built: move it away, or choose another folder")
    return written


def _put_in_place(scratch: Path, out_dir: Path) -> None:
    """Replace files one by one; meanwhile there is no scene file, so that no half of a scene loads."""
    new = {
        file.relative_to(scratch).as_posix(): [file_digest(file)]
        for file in sorted(scratch.rglob("*"))
        if file.is_file() and file.name != BUILT
    }
    flush_tree(scratch)
    old = _require_own(out_dir)  # it may have changed in the meantime
    _note(out_dir, {name: [*old.get(name, []), *new.get(name, [])] for name in {*old, *new}})
    (out_dir / "meshes").mkdir(exist_ok=True)
    for name in sorted(old, key=lambda name: name != SCENE_FILE_NAME):
        (out_dir / name).unlink(missing_ok=True)
    for name in sorted(new, key=lambda name: name == SCENE_FILE_NAME):
        os.replace(scratch / name, out_dir / name)
    flush(out_dir / "meshes")
    _note(out_dir, new)


def _note(folder: Path, files: Mapping[str, list[str]]) -> None:
    text = json.dumps(_Built(files=dict(files)).model_dump(), indent=1, sort_keys=True)
    write_text(folder / BUILT, text + "\n")
