"""The folder of a built scene: whose it is, and a new scene that takes the place of an old one once it is whole."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshes.errors import OutputError
from ussim.files import flush, flush_tree, scratch_beside, write_text
from ussim.scene.file import SCENE_FILE_NAME
from ussim.toml import toml_comment

MARK, PHANTOM_MARK = "made by: ussim scene build", "made by: ussim scene phantom"
"""First comment in the scene file of every scene that was built, and may be replaced."""


@contextmanager
def new_scene(out_dir: Path) -> Iterator[Path]:
    """Write a scene aside, then put it into its folder, in place of one that was built there before.

    What else lies in the folder stays. If the block fails, so does the old scene.

    Args:
        out_dir: The folder; made if missing.

    Yields:
        An empty scratch folder with a folder ``meshes`` in it.

    Raises:
        OutputError: The folder cannot be written, or holds a scene or meshes of somebody else.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        meshes_built_into(out_dir)  # before the work, so that a bad folder shows at once
        scratch = scratch_beside(out_dir / "scene")
        try:
            (scratch / "meshes").mkdir(parents=True)
            yield scratch
            flush_tree(scratch)
            _put_in_place(scratch, out_dir)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot write the scene to {out_dir}: {error.strerror or error}") from error


def meshes_built_into(out_dir: Path) -> list[Path]:
    """The meshes of a scene that was built into this folder before.

    Raises:
        OutputError: A scene or meshes lie there that no earlier build made.
    """
    path, own = out_dir / SCENE_FILE_NAME, set()
    if path.is_file():
        text = path.read_text("utf-8", errors="replace")
        if not text.startswith((toml_comment(MARK), toml_comment(PHANTOM_MARK))):
            raise OutputError(f"{path} was not made by this command: move it away, or choose another folder")
        own = {Path(name).name for name in re.findall(r'^mesh = "meshes/([^"/]+\.ply)"$', text, re.MULTILINE)}
    found = sorted((out_dir / "meshes").glob("*.ply"))
    strangers = [mesh for mesh in found if mesh.name not in own]
    if strangers:
        raise OutputError(f"{strangers[0]} was not made by this command: move it away, or choose another folder")
    return found


def _put_in_place(scratch: Path, out_dir: Path) -> None:
    """Replace files one by one; meanwhile a list of all meshes stands for the scene file.

    It is no scene, so that no half of one loads, and says whose the meshes are, so that the next build may replace
    them if this one is killed here.
    """
    old = meshes_built_into(out_dir)
    (out_dir / "meshes").mkdir(exist_ok=True)
    files = sorted(file.relative_to(scratch) for file in scratch.rglob("*") if file.is_file())
    names = sorted({mesh.name for mesh in (*old, *files) if mesh.suffix == ".ply"})
    listed = "\n".join(f'mesh = "meshes/{name}"' for name in names)
    unfinished = toml_comment("unfinished: build it again")
    write_text(out_dir / SCENE_FILE_NAME, f"{toml_comment(MARK)}\n{unfinished}\nformat =\n{listed}\n")
    for mesh in old:
        mesh.unlink()
    for file in sorted(files, key=lambda file: file.name == SCENE_FILE_NAME):
        os.replace(scratch / file, out_dir / file)
    flush(out_dir / "meshes")
    flush(out_dir)
