"""Progress elsewhere than on a terminal: a line at the beginning, at the end, and now and then between."""

from __future__ import annotations

import pytest

from cli import progress
from cli.progress import Reporter, training_reporter


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Seconds since the epoch of the test; change the one number."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_say_what_is_done_and_how_long_the_rest_takes(clock, capsys):
    with Reporter({"render": "rendered"}) as report:
        for done in range(11):
            report("render", done, 10)
            clock[0] += 2.0
    assert capsys.readouterr().err.splitlines() == [
        "rendered: 0 of 10 frames",
        "rendered: 3 of 10 frames, 14.0 s left",
        "rendered: 6 of 10 frames, 8.0 s left",
        "rendered: 9 of 10 frames, 2.0 s left",
        "rendered: 10 of 10 frames",
    ]


def test_a_phase_of_one_step_is_only_named(clock, capsys):
    with Reporter({"gain": "fitting the gain"}) as report:
        report("gain", 0, 1)
        report("gain", 1, 1)
    assert capsys.readouterr().err == "fitting the gain\n"


def test_a_training_counts_iterations_and_notes_losses(clock, capsys):
    with training_reporter() as report:
        report("load", 8, 8)
        report("train", 20, 100, "L1 0.1")
        clock[0] += 10
        report("train", 40, 100, "L1 0.05")
    assert capsys.readouterr().err.splitlines() == [
        "frames decoded: 8 of 8 frames",
        "trained: 20 of 100 iterations, L1 0.1",
        "trained: 40 of 100 iterations, L1 0.05, 30.0 s left",
    ]
