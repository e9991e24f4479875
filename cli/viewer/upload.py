"""Meshes and label volumes that somebody drops on the page: checked by a process of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from ussim.errors import UssimError
from ussim.scene.scene import Scene

MOST_BYTES = 200_000_000
MOST_SECONDS = 180
MOST_MEMORY_BYTES = 8 << 30
MESHES = (".stl", ".obj", ".ply", ".glb", ".gltf", ".off", ".zip")
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz")
_LONGEST_NAME = 80
_PAIR = re.compile(r"[^\s=]{1,64}=[A-Za-z0-9_]{1,64}")


def kind_of(name: str) -> str:
    """``init`` for meshes, ``from-labels`` for label volumes: how a file becomes a scene.

    Raises:
        UssimError: It is neither.
    """
    lower = name.lower()
    if lower.endswith(VOLUMES):
        return "from-labels"
    if lower.removesuffix(".gz").endswith(MESHES):
        return "init"
    raise UssimError(
        f"{name[:_LONGEST_NAME]}: neither a mesh ({' '.join(MESHES)}) nor a label volume ({' '.join(VOLUMES)})"
    )


def require_size(name: str, size: int) -> None:
    """Refuse what is too large to be taken.

    Raises:
        UssimError: It is.
    """
    if size > MOST_BYTES:
        raise UssimError(
            f"{name[:_LONGEST_NAME]}: {size / 1e6:.0f} MB; allowed: at most {MOST_BYTES / 1e6:.0f} MB (make the "
            "scene with ussim scene init or from-labels, and open it)"
        )
    if size == 0:
        raise UssimError(f"{name[:_LONGEST_NAME]}: the file is empty")


def tissue_pairs(text: str) -> list[str]:
    """``liver=liver 3=bone`` as pairs.

    Raises:
        UssimError: Another form.
    """
    pairs = text.split()
    for pair in pairs:
        if not _PAIR.fullmatch(pair):
            raise UssimError(f"{pair!r}: write NAME=TISSUE or LABEL=TISSUE, as in liver=liver 3=bone")
    return pairs


def make_scene(
    name: str, content: bytes, folder: Path, pairs: Sequence[str] = (), repair: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Scene:  # fmt: skip
    """Make a scene of an uploaded file, as ``ussim scene init`` and ``from-labels`` do.

    Whoever sent it is not trusted: its name becomes a plain one, and what reads it is another process with limits of
    time and memory, which may die of it.

    Args:
        name: As it was sent.
        content: Of the file.
        folder: New folder, for the file and the scene.
        pairs: As :func:`tissue_pairs` gives them.
        repair: Mend meshes that fail the check.
        say: Told each line that the check says.

    Raises:
        UssimError: The file fails the check; the message is what the check says.
    """
    how = kind_of(name)
    require_size(name, len(content))
    folder.mkdir(parents=True)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePath(name.replace("\\", "/")).name)[-_LONGEST_NAME:].lstrip(".-")
    (folder / plain).write_bytes(content)
    command = [sys.executable, "-m", "cli.ussim", "scene", how, plain, "-o", "scene"]
    command += [part for pair in pairs for part in ("--tissue", pair)]
    if repair and how == "init":
        command += ["--repair"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_here()), os.environ.get("PYTHONPATH")))),
    }
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True, preexec_fn=_limit,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise UssimError(f"{plain}: not checked within {MOST_SECONDS} s; use ussim scene {how}") from None
    lines = [line for line in said.splitlines() if line.strip()]
    if process.returncode != 0:
        errors = [line.partition("error: ")[2] for line in lines if line.startswith("error: ")]
        raise UssimError(
            errors[-1] if errors else f"{plain}: the check ended with code {process.returncode}, without a word"
        )
    for line in lines:
        say(line)
    return Scene.load(folder / "scene")


def _here() -> Path:
    return Path(__file__).parent.parent.parent


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
