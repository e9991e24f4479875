"""A Ray cluster of two cores on the loopback, for the tests of a file, and the processes of its workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import ROOT


@contextmanager
def two_core_cluster() -> Iterator[str]:
    """Start it; its address."""
    import ray

    from ussim import ray_actors

    with pytest.MonkeyPatch.context() as patch:
        paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setattr(ray_actors, "usable_cpus", lambda: 2)
        with ray_actors.cluster_at(None):
            yield ray.get_runtime_context().gcs_address


def worker_processes() -> list[int]:
    """Numbers of the processes of actors, of the cluster that this process started."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and b"ray::_Actor" in (folder / "cmdline").read_bytes():
                raylet = _parent(int(folder.name))
                if _parent(raylet) == os.getpid():
                    found.append(int(folder.name))
        except OSError:  # ended meanwhile
            continue
    return found


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
