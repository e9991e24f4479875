"""Several workers share a store in a bucket: the bytes are those of one, whoever dies and whatever fails on the way."""

from __future__ import annotations

import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from support.jobs import FakeRenderer, SlowRenderer, ball_plan
from support.object_server import ALL_IS_WELL, BUCKET, DROP, SECRET
from support.ray_cluster import two_core_cluster, worker_processes

from ussim.dataset import elastic, job
from ussim.dataset.place import place_of
from ussim.dataset.schema import array_specs
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError

UNITS = 24
plan = partial(ball_plan, 2 * UNITS, 2)


@pytest.fixture(scope="module")
def near(tmp_path_factory) -> Dataset:
    path = tmp_path_factory.mktemp("near") / "a.zarr"
    job.run(plan(), path, make_renderer=FakeRenderer)
    return Dataset.open(path)


def assert_same(url: str, near: Dataset) -> None:
    far = Dataset.open(url)
    assert verify(url).problems == []
    assert not place_of(url).list("claims")
    for name in array_specs(near.header):
        np.testing.assert_array_equal(far.read(name), near.read(name))


def now_and_then(trouble: int, every: int):
    """Every so many requests for chunks and claims fails."""
    count = 0

    def happens(method: str, path: str) -> int:
        nonlocal count
        if "/c/" not in path and "claims" not in path:
            return ALL_IS_WELL
        count += 1
        return trouble if count % every == 0 else ALL_IS_WELL

    return happens


def test_elastic_workers_share_a_store_in_a_bucket_and_none_renders_what_another_does(way, url, near):
    way.trouble = now_and_then(500, every=17)
    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(lambda _: elastic.run(plan(), url, make_renderer=SlowRenderer), range(2)))
    assert [one.units_done for one in summaries] == [UNITS, UNITS]
    assert sum(one.rendered for one in summaries) == 2 * UNITS
    assert_same(url, near)


def test_the_claims_of_a_dead_worker_in_a_bucket_expire(url, near):
    job.run(plan(), url, make_renderer=FakeRenderer, shard=(1, 2))
    assert place_of(url).create("claims/3/7", b"dead")
    elastic.run(plan(), url, lease_s=1.0, make_renderer=FakeRenderer)
    assert_same(url, near)


@pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed: pip install 'ussim[ray]'")
def test_workers_on_ray_fill_a_store_in_a_bucket_though_one_is_killed_and_the_server_fails_now_and_then(way, url, near):
    from ussim.dataset import ray_engine

    killed: list[int] = []

    def kill_one(phase: str, done: int, total: int, note: str = "") -> None:
        if phase == "render" and done and not killed:
            killed.append(random.choice(worker_processes()))
            os.kill(killed[0], signal.SIGKILL)

    forbidden = threading.Event()

    def trouble(method: str, path: str) -> int:
        return 403 if forbidden.is_set() and method == "PUT" else shaky(method, path)

    def forbid(phase: str, done: int, total: int, note: str = "") -> None:
        if phase == "render" and done:
            forbidden.set()

    shaky = now_and_then(DROP, every=13)
    way.trouble = trouble
    with two_core_cluster():
        with pytest.raises(UssimError, match=rf"worker .*no permission \(403\) in bucket '{BUCKET}'") as refused:
            ray_engine.run(plan(), url, count=2, make_renderer=SlowRenderer, progress=forbid)
        assert SECRET not in str(refused.value)
        before = int(Dataset.open(url).done.sum())
        forbidden.clear()
        shaky = now_and_then(500, every=13)
        summary = ray_engine.run(plan(), url, count=2, make_renderer=SlowRenderer, resume=True, progress=kill_one)
    assert 0 < before < UNITS
    assert killed
    assert summary.units_done == UNITS
    assert_same(url, near)
