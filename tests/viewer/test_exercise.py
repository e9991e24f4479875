"""Planes to find, and their scores."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.viewer import head_scene, pose_at

from cli.viewer.exercise import Exercise, Result, as_csv, as_markdown, off, standard_planes


def turned(pose: np.ndarray, axis: int, degrees: float) -> np.ndarray:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.eye(3)[axis]).as_matrix()
    return pose @ turn


def test_the_same_pose_is_no_distance_away():
    away = off(pose_at(3), pose_at(3))
    assert (away.plane_mm, away.plane_deg, away.probe_mm, away.turn_deg) == (0, 0, 0, 0)
    assert away.is_found


def test_a_slide_within_the_plane_leaves_the_plane_where_it_is():
    away = off(pose_at(25), pose_at(0))
    assert (away.plane_mm, away.plane_deg) == (0, 0)
    assert away.probe_mm == 25


def test_a_slide_across_is_the_distance_of_the_planes():
    assert off(pose_at(0, 8), pose_at(0)).plane_mm == pytest.approx(8)


@pytest.mark.parametrize(("axis", "plane"), [(0, 15.0), (1, 0.0), (2, 15.0)])
def test_rocking_keeps_the_plane_tilting_and_rotating_turn_it(axis, plane):
    away = off(turned(pose_at(0), axis, 15.0), pose_at(0))
    assert away.turn_deg == pytest.approx(15)
    assert away.plane_deg == pytest.approx(plane, abs=1e-5)


def test_the_plane_from_the_other_side_is_the_same_plane():
    away = off(turned(pose_at(0), 2, 180.0), pose_at(0))
    assert (away.plane_mm, away.plane_deg) == pytest.approx((0, 0), abs=1e-5)
    assert away.turn_deg == pytest.approx(180)


def test_planes_to_find_are_the_sweeps_that_stand():
    assert list(standard_planes(head_scene())) == ["transthalamic", "oblique"]


def test_an_exercise_takes_one_plane_after_the_other_and_ends():
    planes = standard_planes(head_scene())
    exercise = Exercise(planes)
    assert exercise.wanted == "transthalamic"
    first = exercise.take(planes["transthalamic"])
    assert first is not None
    assert first.off.is_found
    second = exercise.take(pose_at(0, 50))
    assert second is not None
    assert not second.off.is_found
    assert exercise.wanted is None
    assert exercise.take(pose_at(0)) is None
    assert "✓ transthalamic" in as_markdown(exercise.results)
    assert "✗ oblique" in as_markdown(exercise.results)


def test_results_are_read_back_from_csv():
    rows = list(csv.DictReader(io.StringIO(as_csv([Result("a, b", 12.34, off(pose_at(0, 8), pose_at(0)))]))))
    assert rows == [
        {"plane": "a, b", "seconds": "12.3", "found": "0", "plane_mm": "8.00", "plane_deg": "0.00", "probe_mm": "8.00",
         "turn_deg": "0.00"}
    ]  # fmt: skip
