"""A store in a bucket: the same as in a folder, and what goes wrong on the way to it is one line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import numpy as np
import pytest
from support.jobs import FakeRenderer, ball_plan
from support.object_server import ALL_IS_WELL, BUCKET, DROP, HANG, SECRET

from ussim.dataset import job, remote_place
from ussim.dataset.place import place_of
from ussim.dataset.schema import array_specs
from ussim.dataset.store import Dataset, StoreExistsError
from ussim.dataset.verify import verify
from ussim.errors import UssimError

render = partial(job.run, make_renderer=FakeRenderer)


def test_a_store_in_a_bucket_holds_what_one_in_a_folder_holds(url, tmp_path):
    plan = ball_plan(frames=10)
    near, far = (Dataset.open(render(plan, place).path) for place in (tmp_path / "a.zarr", url))
    for name in array_specs(near.header):
        np.testing.assert_array_equal(far.read(name), near.read(name))
    for frame in range(near.frames):
        np.testing.assert_array_equal(far.frame(frame).hq, near.frame(frame).hq)
    assert far.digest == near.digest
    assert verify(url).problems == []
    assert str(far.path) == url
    assert far.place.name == "a.zarr"


def test_the_frames_of_a_unit_are_one_object_in_each_array(url):
    render(ball_plan(frames=22, unit_frames=4), url)
    objects = place_of(url).list()
    assert len([name for name in objects if name.startswith("lq/c/")]) == 6
    assert len(objects) == 6 * 7 + 3 + 11, "units of seven arrays; mask, pose and split; metadata"


def test_what_was_finished_before_the_connection_was_lost_stays_and_resume_goes_on(way, url):
    way.trouble = lambda method, path: DROP if method == "PUT" and "/done/c/3" in path else ALL_IS_WELL
    with pytest.raises(UssimError, match=r"no connection to the server.*--resume to go on") as caught:
        render(ball_plan(frames=14), url)
    assert str(caught.value).startswith(f"{url}/done/c/3: ")
    way.trouble = lambda method, path: ALL_IS_WELL
    done = Dataset.open(url).done
    assert done[:3].all()
    assert not done[3]
    rest = [len(Dataset.open(url).header.unit_range(int(unit))) for unit in np.flatnonzero(~done)]
    assert render(ball_plan(frames=14), url, resume=True).rendered == sum(rest)
    assert verify(url).problems == []


def test_a_way_that_is_lost_in_the_middle_ends_a_job_after_the_units_in_hand(way, url):
    """Each object may take half a minute to fail, and 28 of 30 units are still to come."""
    lost: set[str] = set()

    def trouble(method: str, path: str) -> int:
        if not lost and "/done/c/1" not in path:
            return ALL_IS_WELL
        lost.add(path)
        return DROP

    way.trouble = trouble
    with pytest.raises(UssimError, match="--resume"):
        render(ball_plan(frames=60, unit_frames=2), url)
    assert len(lost) <= 12, "objects of which each waits: of two units in hand at most"


@pytest.mark.parametrize("status", [500, 503, DROP])
def test_what_fails_now_and_then_is_asked_again(way, url, status):
    failed: set[tuple[str, str]] = set()

    def once(method: str, path: str) -> int:
        first = (method, path) not in failed and "/c/" in path
        failed.add((method, path))
        return status if first else ALL_IS_WELL

    way.trouble = once
    place = place_of(url)
    for unit in range(3):
        assert place.read(f"lq/c/{unit}") is None
    assert len(way.requests) == 6


def test_a_job_survives_a_server_that_fails_now_and_then(way, url):
    failed: set[str] = set()

    def once(method: str, path: str) -> int:
        first = path not in failed
        failed.add(path)
        return 503 if first else ALL_IS_WELL

    way.trouble = once
    assert render(ball_plan(frames=6), url).units_done == 2
    assert verify(url).problems == []


# What goes wrong --------------------------------------------------------------------------------------

WRONG = [
    (403, r"no permission \(403\) in bucket 'pairs': see to the credentials in the environment"),
    (401, r"no permission \(401\) in bucket 'pairs': see to the credentials"),
    (500, r"the server failed \(500\) for bucket 'pairs': see to network and endpoint"),
    (429, r"the server failed \(429\) for bucket 'pairs'"),
    (400, r"the server refused the request \(400\) in bucket 'pairs'"),
    (301, r"bucket 'pairs' is in another region: set AWS_REGION"),
    (DROP, r"no connection to the server, or no answer in time for bucket 'pairs'"),
    (HANG, r"no connection to the server, or no answer in time for bucket 'pairs'"),
]


@pytest.mark.parametrize(("status", "message"), WRONG)
def test_whatever_a_server_refuses_is_one_line_that_names_bucket_and_key(way, url, status, message, monkeypatch):
    render(ball_plan(frames=4), url)
    if status == HANG:  # each waits its time, once
        monkeypatch.setattr(remote_place, "_CLIENT", {"timeout": timedelta(seconds=2)})
        monkeypatch.setattr(remote_place, "_RETRY", {**remote_place._RETRY, "max_retries": 0})
    dataset = Dataset.open(url)
    way.trouble = lambda method, path: status
    uses = [
        lambda: Dataset.open(url),
        lambda: render(ball_plan(frames=4), url, resume=True),
        lambda: dataset.read("hq", 3),
        lambda: dataset.place.list(),
        lambda: dataset.place.create("claims/0", b"mine"),
    ]
    if status == HANG:
        del uses[1:3]
    for use in uses:
        with pytest.raises(UssimError, match=message) as caught:
            use()
        assert str(caught.value).startswith(url)
        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__, "what the server said is not shown"


def test_a_dead_endpoint_is_told_within_half_a_minute():
    """Measured with these times: 20 s for a server that is silent, 21 s if it falls silent while a job writes."""
    assert (remote_place._RETRY["retry_timeout"] + remote_place._CLIENT["timeout"]).total_seconds() <= 30


def test_a_bucket_that_is_not_there_is_named(way):
    for use in (Dataset.open, partial(render, ball_plan(frames=4))):
        with pytest.raises(UssimError, match=r"^s3://nowhere/a.zarr.*: no such bucket 'nowhere': make it, or correct"):
            use("s3://nowhere/a.zarr")


def test_a_store_that_is_not_there_is_named(url):
    with pytest.raises(UssimError) as caught:
        Dataset.open(url)
    key = url.removeprefix(f"s3://{BUCKET}/")
    assert str(caught.value) == f"{url}: no such store: bucket 'pairs' has no {key}/zarr.json"


def test_what_a_renderer_may_not_write_is_told_and_nothing_is_made(way, url):
    way.trouble = lambda method, path: 403 if method == "PUT" else ALL_IS_WELL
    with pytest.raises(UssimError, match=r"no permission \(403\)"):
        render(ball_plan(frames=4), url)
    assert place_of(url).is_vacant()


# Creating ---------------------------------------------------------------------------------------------


def test_of_many_who_create_one_store_exactly_one_succeeds(url):
    plan = ball_plan(frames=8)
    header = plan.header("cpu", np.zeros(64, np.float32))

    def create(_: int) -> int:
        try:
            Dataset.create(url, header, plan.poses, plan.settings.probe.mask())
        except StoreExistsError:
            return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(create, range(6))) == 1
    assert Dataset.open(url).frames == 8


def test_two_who_create_different_stores_at_one_place_leave_one_whole_store(url):
    plans = [ball_plan(frames=8), ball_plan(frames=12)]

    def create(plan) -> str:
        try:
            mask = plan.settings.probe.mask()
            Dataset.create(url, plan.header("cpu", np.zeros(64, np.float32)), plan.poses, mask)
        except StoreExistsError:
            return "taken"
        return "made"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, plans * 2)) == ["made", "taken", "taken", "taken"]
    assert not [problem for problem in verify(url).problems if not problem.startswith("done")]


def test_what_a_creator_that_was_killed_left_is_taken_over_by_the_same_plan_only(way, url, monkeypatch):
    way.trouble = lambda method, path: 403 if method == "PUT" and path.endswith("a.zarr/zarr.json") else ALL_IS_WELL
    with pytest.raises(UssimError, match="no permission"):
        render(ball_plan(frames=8), url)
    way.trouble = lambda method, path: ALL_IS_WELL
    assert place_of(url).list(), "all but the root"
    monkeypatch.setattr(remote_place, "_OTHERS_WAIT_S", 0.1)
    with pytest.raises(UssimError, match="holds no store, but objects that are of no store to be made here, as "):
        render(ball_plan(frames=12), url)
    assert render(ball_plan(frames=8), url).units_done == 2
    assert verify(url).problems == []


def test_a_store_that_is_there_is_not_written_over(url):
    render(ball_plan(frames=8), url)
    with pytest.raises(UssimError, match="exists already: give --resume"):
        render(ball_plan(frames=8), url)
    with pytest.raises(UssimError, match="was made with other settings: frames is 8 in the store and 12 here"):
        render(ball_plan(frames=12), url, resume=True)


def test_shards_fill_one_store_in_a_bucket(url):
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda i: render(ball_plan(frames=10), url, shard=(i, 2)).rendered, (1, 2)))
    assert sum(parts) == 10
    assert verify(url).problems == []
