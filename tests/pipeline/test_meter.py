"""What a step costs."""

from __future__ import annotations

import os
import sys
import time

import pytest

from cli.pipeline.meter import CLEAR_PEAK, Meter
from cli.pipeline.records import Record

SIZE = 300 << 20


def spend(size: int) -> None:
    memory = bytearray(size)
    memory[::4096] = b"x" * len(memory[::4096])


def test_memory_that_was_given_back_before_the_end_counts():
    with Meter() as before:
        pass
    with Meter() as meter:
        spend(SIZE)
    assert meter.peak_memory_bytes >= before.peak_memory_bytes
    assert meter.peak_memory_bytes > SIZE


@pytest.mark.skipif(
    not (sys.platform == "linux" and os.access(CLEAR_PEAK, os.W_OK)), reason="this system forgets no peak"
)
def test_memory_of_an_earlier_step_does_not_count():
    with Meter() as first:
        spend(SIZE)
    with Meter() as second:
        pass
    assert second.peak_memory_bytes < first.peak_memory_bytes - SIZE // 2


def test_time_stops_at_the_end():
    with Meter() as meter:
        time.sleep(0.02)
    seconds = meter.seconds
    assert seconds >= 0.02
    time.sleep(0.01)
    assert meter.seconds == seconds


def test_memory_that_is_not_known_is_not_shown_as_none():
    assert Record(key="").peak_memory == "–"
    assert Record(key="", peak_memory_bytes=2 * 10**9).peak_memory == "2.00 GB"
