"""Which shard of a store a task of an array of tasks renders, as Slurm and Kubernetes say in its environment."""

from __future__ import annotations

from collections.abc import Mapping

from ussim.dataset.plan import parse_shard
from ussim.errors import UssimError
from ussim.settings import whole_number


def read_shard(text: str, environment: Mapping[str, str]) -> tuple[int, int]:
    """A shard as it is given to ``--shard``: ``i/n``, ``auto`` or ``auto/n``.

    Args:
        text: What was given.
        environment: That of the process. A Slurm array says how many tasks it has; an indexed job of Kubernetes does
            not: there n is given, here or in ``JOB_COMPLETIONS``.

    Returns:
        (i, n), i from 1 on.

    Raises:
        UssimError: Another form, a number out of range, or an environment that does not say which task this is.
    """
    word, slash, count = text.partition("/")
    if word != "auto":
        return parse_shard(text)
    asked = whole_number(count) if slash else None
    if slash and not asked:
        raise UssimError(f"--shard {text}: write auto, or auto/n with n >= 1, as in auto/16")
    if "SLURM_ARRAY_TASK_ID" in environment:
        return _of_slurm(text, environment, asked)
    if "JOB_COMPLETION_INDEX" in environment:
        return _of_kubernetes(text, environment, asked)
    raise UssimError(
        f"--shard {text}: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set: this is no task of a Slurm "
        "array (sbatch --array=0-15) or of an indexed job of Kubernetes; give --shard i/n"
    )


def _of_slurm(text: str, environment: Mapping[str, str], asked: int | None) -> tuple[int, int]:
    task, first, last, count = (
        _number(text, environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "COUNT")
    )
    if last - first + 1 != count:
        raise UssimError(
            f"--shard {text}: the array has {count} tasks from {first} to {last}; allowed: consecutive numbers, as in "
            "--array=0-15; to render single shards again, give --shard i/n"
        )
    if asked not in (None, count):
        raise UssimError(f"--shard {text}: the array has {count} tasks")
    return _checked(text, task - first, count)


def _of_kubernetes(text: str, environment: Mapping[str, str], asked: int | None) -> tuple[int, int]:
    if asked is None and "JOB_COMPLETIONS" not in environment:
        raise UssimError(
            f"--shard {text}: Kubernetes does not tell a pod how many there are: write auto/n, with the job's "
            "completions for n, or set JOB_COMPLETIONS"
        )
    count = asked or _number(text, environment, "JOB_COMPLETIONS")
    return _checked(text, _number(text, environment, "JOB_COMPLETION_INDEX"), count)


def _number(text: str, environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    number = whole_number(value)
    if number is None or number < 0:
        raise UssimError(f"--shard {text}: {name} = {value!r}: must be a whole number from 0 on")
    return number


def _checked(text: str, index: int, count: int) -> tuple[int, int]:
    if not 0 <= index < count:
        raise UssimError(f"--shard {text}: this is task {index + 1} of {count}; allowed: 1 to {count}")
    return index + 1, count
