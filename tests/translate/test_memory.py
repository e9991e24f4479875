"""How much memory can be taken: of the machine, and of the control groups of containers and cluster jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from translate.data.memory import free_memory_bytes

GIB = 1 << 30


@pytest.fixture
def root(tmp_path) -> Path:
    """A machine with 16 GiB available."""
    write(tmp_path, "proc/meminfo", f"MemTotal: {32 << 20} kB\nMemAvailable: {16 << 20} kB\n")
    return tmp_path


def write(root: Path, name: str, text: object) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(f"{text}\n")


def limit(root: Path, folder: str, limit: object, used: int, cached: int = 0) -> None:
    """A group of version 2."""
    write(root, f"{folder}/memory.max", limit)
    write(root, f"{folder}/memory.current", used)
    write(root, f"{folder}/memory.stat", f"anon 5\ninactive_file {cached}")


def test_without_groups_it_is_what_the_machine_has(root):
    assert free_memory_bytes(root) == 16 * GIB


def test_a_container_may_use_what_its_limit_leaves_and_its_cache_gives_way(root):
    write(root, "proc/self/cgroup", "0::/")
    limit(root, "sys/fs/cgroup", 8 * GIB, 5 * GIB, cached=GIB)
    assert free_memory_bytes(root) == 4 * GIB


def test_the_tightest_of_nested_groups_counts(root):
    write(root, "proc/self/cgroup", "0::/jobs/7/step")
    limit(root, "sys/fs/cgroup/jobs/7/step", "max", 2 * GIB)
    limit(root, "sys/fs/cgroup/jobs/7", 6 * GIB, 3 * GIB)
    limit(root, "sys/fs/cgroup/jobs", 40 * GIB, 10 * GIB)
    assert free_memory_bytes(root) == 3 * GIB


def test_the_older_interface_is_read_too(root):
    write(root, "proc/self/cgroup", "3:cpu,cpuacct:/job\n4:memory:/job\n0::/")
    folder = "sys/fs/cgroup/memory/job"
    write(root, f"{folder}/memory.limit_in_bytes", 4 * GIB)
    write(root, f"{folder}/memory.usage_in_bytes", 3 * GIB)
    write(root, f"{folder}/memory.stat", f"inactive_file 1\ntotal_inactive_file {GIB // 2}")
    assert free_memory_bytes(root) == 1.5 * GIB


def test_a_group_that_is_full_leaves_nothing(root):
    write(root, "proc/self/cgroup", "0::/")
    limit(root, "sys/fs/cgroup", 2 * GIB, 3 * GIB)
    assert free_memory_bytes(root) == 0


def test_a_system_that_does_not_say_is_not_guessed(tmp_path):
    assert free_memory_bytes(tmp_path) is None
