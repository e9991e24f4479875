"""``--shard auto``: each task of an array finds its own part, and what does not fit is refused."""

from __future__ import annotations

import pytest

from ussim.dataset.array_jobs import read_shard
from ussim.errors import UssimError


def slurm(task: int, first: int, last: int, count: int | None = None) -> dict[str, str]:
    count = last - first + 1 if count is None else count
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize("first", [0, 1, 100])
def test_the_tasks_of_a_slurm_array_of_any_base_are_the_shards_from_1_on(first):
    found = [read_shard("auto", slurm(first + task, first, first + 3)) for task in range(4)]
    assert found == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert read_shard("auto/4", slurm(first, first, first + 3)) == (1, 4)


def test_the_pods_of_an_indexed_job_are_the_shards_from_1_on():
    assert read_shard("auto/3", {"JOB_COMPLETION_INDEX": "0"}) == (1, 3)
    assert read_shard("auto", {"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "3"}) == (3, 3)


def test_a_shard_that_is_given_needs_no_environment():
    assert read_shard("2/4", {}) == (2, 4)


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("auto", {}, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"),
        ("auto", slurm(3, 1, 7, count=4), "the array has 4 tasks from 1 to 7; allowed: consecutive numbers"),
        ("auto/5", slurm(1, 1, 4), "the array has 4 tasks"),
        ("auto", slurm(5, 1, 4), "task 5 of 4; allowed: 1 to 4"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_MIN = '': must be a whole number"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "write auto/n, with the job's completions for n"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}, "task 3 of 2; allowed: 1 to 2"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX = 'x': must be a whole number"),
        ("auto/0", {}, "write auto, or auto/n"),
        ("auto/", {}, "write auto, or auto/n"),
        ("automatic", {}, "write i/n"),
    ],
)
def test_what_does_not_say_which_task_this_is_is_refused(text, environment, message):
    with pytest.raises(UssimError) as caught:
        read_shard(text, environment)
    assert message in str(caught.value)
