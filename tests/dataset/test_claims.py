"""Claims: one holder at a time, and what a dead one held is taken over after a lease."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from ussim.dataset.claims import Claims, remove_all_claims
from ussim.dataset.local_place import LocalPlace

LEASE_S = 1e4  # by a clock that the tests set; nothing is renewed by itself meanwhile


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def two(tmp_path, clock) -> Iterator[tuple[Claims, Claims]]:
    with closing(_claims(tmp_path, clock)) as first, closing(_claims(tmp_path, clock)) as second:
        yield first, second


def _claims(root, clock) -> Claims:
    return Claims(LocalPlace(root), "a test", LEASE_S, clock)


def test_of_many_that_claim_a_unit_at_once_one_gets_it(tmp_path, clock):
    workers = [_claims(tmp_path, clock) for _ in range(8)]
    start = threading.Barrier(len(workers))

    def claim(worker: Claims) -> list[bool]:
        start.wait()
        return [worker.take(unit) for unit in range(20)]

    with ThreadPoolExecutor(len(workers)) as pool:
        found = list(pool.map(claim, workers))
    assert [sum(taken) for taken in zip(*found, strict=True)] == [1] * 20
    for worker in workers:
        worker.close()


def test_a_claim_that_is_renewed_stays_with_its_holder(two, clock):
    holder, other = two
    assert holder.take(5)
    for _ in range(4):
        assert other.look() == {5}
        clock.now += 0.6 * LEASE_S
        assert holder.renew(5)
        assert other.look() == {5}
        assert not other.take(5)


def test_a_claim_that_nobody_renews_is_taken_over_after_a_lease_and_the_first_holder_notices(two, clock):
    holder, other = two
    assert holder.take(5)
    assert other.look() == {5}
    clock.now += 0.9 * LEASE_S
    assert not other.take(5)
    clock.now += 0.2 * LEASE_S
    assert other.look() == set()
    assert other.take(5)
    assert not holder.renew(5), "it must not write what another renders"
    assert other.renew(5)


def test_of_two_that_would_take_over_one_gets_it(tmp_path, two, clock):
    holder, other = two
    with closing(_claims(tmp_path, clock)) as third:
        assert holder.take(5)
        assert other.look() == third.look() == {5}
        clock.now += LEASE_S
        assert [other.take(5), third.take(5)] == [True, False]
        clock.now += 0.9 * LEASE_S
        assert not third.take(5), "the lease of the new holder began when it was seen"


def test_what_is_given_up_is_free_at_once(two):
    holder, other = two
    assert holder.take(5)
    holder.give_up(5)
    assert other.look() == set()
    assert other.take(5)


def test_a_worker_that_ends_gives_up_what_it_holds(tmp_path, two, clock):
    _, other = two
    with closing(_claims(tmp_path, clock)) as holder:
        assert holder.take(5)
    assert other.take(5) or (other.look() == set() and other.take(5))


def test_claims_on_what_is_done_are_removed_with_their_folders(tmp_path, two):
    holder, _ = two
    for unit in (5, 6):
        assert holder.take(unit)
        assert holder.renew(unit)
        holder.finish(unit)
    assert not list(tmp_path.iterdir())
    assert holder.take(7)
    remove_all_claims(LocalPlace(tmp_path))
    assert not list(tmp_path.iterdir())


def test_claims_are_renewed_by_themselves(tmp_path):
    with closing(Claims(LocalPlace(tmp_path), "a test", lease_s=0.2)) as holder:
        assert holder.take(5)
        with closing(Claims(LocalPlace(tmp_path), "another", lease_s=1.0)) as other:
            end = threading.Event()
            threading.Timer(1.5, end.set).start()
            while not end.wait(0.05):
                assert other.look() == {5}
                assert not other.take(5)


def test_an_object_is_made_once_and_its_name_is_what_it_is_listed_by(tmp_path):
    objects = LocalPlace(tmp_path)
    assert objects.create("a/b/1", b"one")
    assert not objects.create("a/b/1", b"two")
    assert objects.read("a/b/1") == b"one"
    assert objects.read("a/b/2") is None
    assert objects.list("a/") == ["a/b/1"]
    objects.remove("a/b/1")
    objects.remove("a/b/1")
    assert objects.list("a/") == []
