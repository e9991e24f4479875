"""However a dataset is cut into units, batches and shards, and wherever its jobs are stopped: the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.jobs import FakeRenderer, all_files, ball_plan

from ussim.dataset import job
from ussim.dataset.verify import verify


@dataclass(frozen=True)
class Attempt:
    """One process: which shard it is, how much it renders at once, and after how many pictures it is stopped."""

    shard: tuple[int, int] | None
    batch: int
    stopped_after: int | None


def attempts() -> st.SearchStrategy[list[Attempt]]:
    shards = st.integers(1, 4).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n)))
    one = st.builds(Attempt, st.none() | shards, st.integers(1, 9), st.none() | st.integers(0, 20))
    return st.lists(one, max_size=4)


def render(plan, path, attempt: Attempt) -> None:
    class Stopped(FakeRenderer):
        def batch_size(self, qualities):
            return attempt.batch

        def render(self, poses, quality, frames):
            assert len(frames) <= attempt.batch
            if attempt.stopped_after is not None and len(self.rendered) > attempt.stopped_after:
                raise KeyboardInterrupt
            return super().render(poses, quality, frames)

    try:
        job.run(plan, path, make_renderer=Stopped, resume=attempt.shard is None, shard=attempt.shard)
    except job.InterruptedJobError:
        assert attempt.stopped_after is not None


@settings(max_examples=20)
@given(frames=st.integers(1, 14), unit_frames=st.integers(1, 6), tries=attempts())
@example(frames=13, unit_frames=4, tries=[Attempt((2, 3), 9, None), Attempt((1, 2), 1, 3), Attempt(None, 5, 0)])
def test_any_sequence_of_shards_and_interruptions_gives_the_bytes_of_one_run(
    tmp_path_factory, frames, unit_frames, tries
):
    folder = tmp_path_factory.mktemp("job")
    plan = ball_plan(frames=frames, unit_frames=unit_frames)
    render(plan, folder / "whole.zarr", Attempt(None, 4, None))
    for attempt in [*tries, Attempt(None, 5, None)]:
        render(plan, folder / "parts.zarr", attempt)
    assert all_files(folder / "parts.zarr") == all_files(folder / "whole.zarr")
    assert verify(folder / "parts.zarr").problems == []
    shutil.rmtree(folder)
