"""How much memory can be taken: what the machine has left, and what the container may still use of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be taken without swapping or being killed [bytes]; None if this system does not say.

    On Linux: what the kernel calls available, or less where a control group (of a container or a job of a cluster)
    or one that it lies in has a lower limit. Cached files count as free: they give way.

    Args:
        root: Where ``proc`` and ``sys`` are; another one in tests.
    """
    free = [_machine(root / "proc" / "meminfo"), *map(_group, _groups(root))]
    return min((value for value in free if value is not None), default=None)


def _machine(meminfo: Path) -> int | None:
    for line in _lines(meminfo):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the memory control groups this process is in, innermost first; of version 2 or 1 of the interface."""
    for line in _lines(root / "proc" / "self" / "cgroup"):
        _, controllers, inside = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys" / "fs" / "cgroup" / ("memory" if controllers else "")
        here = top / inside.lstrip("/")  # not there where a container sees its own group as the top
        yield from (folder for folder in (here, *here.parents) if folder.is_relative_to(top))


def _group(folder: Path) -> int | None:
    """What is left of a group's limit."""
    for limit_name, used_name, cached_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = (next(iter(_lines(folder / name)), "") for name in (limit_name, used_name))
        if limit.isdecimal() and used.isdecimal():
            cached = dict(line.split() for line in _lines(folder / "memory.stat")).get(cached_name, "0")
            return max(0, int(limit) - int(used) + int(cached))
    return None  # no such group, or one without a limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
