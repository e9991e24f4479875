"""Sweeps: regular, orthonormal, right-handed poses; bad keys are refused in words."""

from __future__ import annotations

import numpy as np
import pytest

from ussim.errors import UssimError
from ussim.scene.sweep import Sweep, SweepKey

DOWN, ACROSS = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)


def turned(degrees: float, position_mm=(0.0, 0.0, 0.0)) -> SweepKey:
    """A key that looks along z, turned about its lateral axis."""
    angle = np.radians(degrees)
    return SweepKey(position_mm, (0.0, -float(np.sin(angle)), float(np.cos(angle))), ACROSS)


def at(*position_mm: float) -> SweepKey:
    return SweepKey(position_mm, DOWN, ACROSS)


def skewed() -> Sweep:
    """A path of unequal stretches whose axes are neither of unit length nor orthogonal."""
    return Sweep(
        "exam",
        (
            SweepKey((0, 0, 0), (0.3, -2.0, 5.0), (4.0, 0.5, 1.0)),
            SweepKey((10, 0, 0), (-1.0, 0.2, 1.0), (0.1, 7.0, 0.1)),
            SweepKey((10, 30, 5), (0.0, 0.0, 1e-3), (1e-3, 0.0, 5e-3)),
        ),
    )


def test_poses_are_orthonormal_and_right_handed_to_1e_12():
    poses = skewed().poses(101)
    rotations = poses[:, :3, :3]
    assert poses.dtype == np.float64
    assert poses.shape == (101, 4, 4)
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (101, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-12)
    np.testing.assert_array_equal(poses[:, 3], np.tile([0.0, 0.0, 0.0, 1.0], (101, 1)))


def test_columns_are_lateral_elevational_axial_and_elevational_is_axial_cross_lateral():
    key = SweepKey((1, 2, 3), (0, 0, 2), (5, 0, 1))
    pose = Sweep("exam", (key,)).poses(1)[0]
    np.testing.assert_allclose(pose[:3], [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3]], atol=1e-15)


def test_axial_direction_of_a_key_is_kept_and_lateral_gives_way():
    axial = np.array([0.3, -2.0, 5.0])
    pose = skewed().poses(1)[0]
    np.testing.assert_allclose(pose[:3, 2], axial / np.linalg.norm(axial), atol=1e-14)


def test_positions_are_regular_in_arc_length_across_keys_of_unequal_distance():
    sweep = Sweep("exam", (at(0, 0, 0), at(10, 0, 0), at(10, 30, 0)))
    positions = sweep.poses(41)[:, :3, 3]
    np.testing.assert_allclose(np.linalg.norm(np.diff(positions, axis=0), axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(positions[10], [10, 0, 0], atol=1e-12)


def test_first_and_last_pose_are_the_first_and_last_key():
    sweep = skewed()
    poses = sweep.poses(7)
    np.testing.assert_allclose(poses[0], sweep.keys[0].pose(), atol=1e-14)
    np.testing.assert_allclose(poses[-1], sweep.keys[-1].pose(), atol=1e-14)


def test_orientation_turns_at_a_constant_rate_between_keys():
    sweep = Sweep("exam", (turned(0), turned(60, (0.0, 30.0, 0.0))))
    axial = sweep.poses(7)[:, :3, 2]
    degrees = np.degrees(np.arctan2(-axial[:, 1], axial[:, 2]))
    np.testing.assert_allclose(degrees, np.arange(7) * 10.0, atol=1e-10)


def test_path_that_only_turns_is_regular_in_angle():
    sweep = Sweep("fan", (turned(-30), turned(-20), turned(30)))
    poses = sweep.poses(13)
    degrees = np.degrees(np.arctan2(-poses[:, 1, 2], poses[:, 2, 2]))
    np.testing.assert_allclose(degrees, np.linspace(-30, 30, 13), atol=1e-10)
    np.testing.assert_array_equal(poses[:, :3, 3], np.zeros((13, 3)))


def test_one_pose_is_the_first_key():
    sweep = skewed()
    np.testing.assert_array_equal(sweep.poses(1), [sweep.keys[0].pose()])


def test_one_key_is_a_static_pose():
    poses = Sweep("still", (at(1, 2, 3),)).poses(5)
    np.testing.assert_array_equal(poses, np.tile(at(1, 2, 3).pose(), (5, 1, 1)))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (SweepKey((0, 0, 0), (0, 0, 0), ACROSS), ["axial = [0, 0, 0]", "no length", "not zero"]),
        (SweepKey((0, 0, 0), DOWN, (0, 0, 0)), ["lateral = [0, 0, 0]", "no length", "not zero"]),
        (
            SweepKey((0, 0, 0), DOWN, (0, 0, -3)),
            ["lateral = [0, 0, -3]", "parallel to axial", "span the image plane"],
        ),
        (SweepKey((0, float("nan"), 0), DOWN, ACROSS), ["position_mm = [0, nan, 0]", "three finite numbers"]),
        (SweepKey((0, 0, 0), (0, 0, float("inf")), ACROSS), ["axial = [0, 0, inf]", "three finite numbers"]),
        (SweepKey((0, 0), DOWN, ACROSS), ["position_mm = [0, 0]", "three finite numbers"]),
        (SweepKey("abc", DOWN, ACROSS), ["position_mm = abc", "three finite numbers"]),
    ],
)
def test_bad_key_is_refused_with_sweep_key_and_field(key, words):
    with pytest.raises(UssimError) as caught:
        Sweep("exam", (at(9, 9, 9), key))
    for word in ["sweep 'exam': key 2: ", *words]:
        assert word in str(caught.value)


def test_sweep_without_keys_is_refused():
    with pytest.raises(UssimError, match="sweep 'exam': key: there is none; allowed: at least one"):
        Sweep("exam", ())


def test_two_equal_keys_are_refused():
    with pytest.raises(UssimError, match="sweep 'exam': keys 1 and 2 are the same pose: allowed"):
        Sweep("exam", (at(0, 0, 0), at(0, 0, 0)))


def test_stop_in_a_moving_sweep_is_refused_because_arc_length_cannot_pass_it():
    with pytest.raises(UssimError, match=r"keys 2 and 3 share position_mm = \[5.0, 0.0, 0.0\]: allowed"):
        Sweep("exam", (at(0, 0, 0), turned(0, (5.0, 0.0, 0.0)), turned(20, (5.0, 0.0, 0.0))))


def test_half_turn_between_keys_is_refused_because_its_way_round_is_open():
    with pytest.raises(UssimError, match=r"keys 1 and 2 are 180.0° apart.*allowed: at most 179°; add a key"):
        Sweep("exam", (turned(0), turned(180, (0.0, 10.0, 0.0))))


@pytest.mark.parametrize("count", [0, -3, 2.5, True, None])
def test_number_of_poses_must_be_a_positive_whole_number(count):
    with pytest.raises(UssimError, match=r"sweep 'exam': .* poses: allowed: a whole number, at least 1"):
        skewed().poses(count)
