"""How a probe is held on the skin."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from support.scenes import sphere
from support.viewer import head_scene

from cli.viewer.exercise import standard_planes
from cli.viewer.hold import LARGEST_ANGLE_DEG, MOST_LIFT_MM, MOST_PRESSURE_MM, Hold
from cli.viewer.skin import Skin
from ussim.errors import UssimError
from ussim.scene.scene import Scene

BALL = Skin.of(Scene.from_surfaces([sphere(100.0, subdivisions=4, tissue="soft_tissue")]))


def random_pose(rng: np.random.Generator) -> np.ndarray:
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3] = turn * np.sign(np.linalg.det(turn))
    pose[:3, 3] = rng.normal(scale=60, size=3)
    return pose


def test_a_pose_is_shown_exactly_however_it_lies_to_the_skin():
    rng = np.random.default_rng(0)
    for _ in range(50):
        pose = random_pose(rng)
        assert Hold.of_pose(BALL, pose).pose == pytest.approx(pose, abs=1e-9)


def test_the_standard_planes_of_a_scene_are_shown_exactly():
    scene = head_scene()
    for pose in standard_planes(scene).values():
        assert Hold.of_pose(Skin.of(scene), pose).pose == pytest.approx(pose, abs=1e-9)


def test_a_slide_over_a_ball_keeps_contact_and_the_angles_to_the_skin():
    hold = Hold.at(BALL, np.array([0, -100.0, 0]), np.array([1.0, 0, 0]), rock_deg=10.0, tilt_deg=-5.0, pressure_mm=3.0)
    for _ in range(40):
        hold = hold.slid(BALL, lateral_mm=3.0, elevational_mm=1.0)
        assert np.linalg.norm(hold.contact_mm) == pytest.approx(100, abs=0.3)
        assert hold.normal @ hold.contact_mm / 100 == pytest.approx(1, abs=1e-3)
        # rock and tilt turn the beam away from the inward normal: cos = cos(rock)·cos(tilt)
        leans = np.cos(np.radians(10)) * np.cos(np.radians(5))
        assert -hold.normal @ hold.pose[:3, 2] == pytest.approx(leans, abs=1e-9)
        assert (hold.contact_mm - hold.pose[:3, 3]) @ hold.normal == pytest.approx(3.0)
    assert hold.contact_mm[0] > 50


def test_words_of_sonography_turn_about_their_axes():
    hold = Hold.at(BALL, np.array([0, -100.0, 0]), np.array([1.0, 0, 0]), pressure_mm=0.0)
    lateral, elevational, axial = hold.pose[:3, :3].T
    rocked, tilted, rotated = hold.held(rock_deg=20), hold.held(tilt_deg=20), hold.rotated(20)
    assert rocked.pose[:3, 1] == pytest.approx(elevational)  # stays in its image plane
    assert tilted.pose[:3, 0] == pytest.approx(lateral)
    assert rotated.pose[:3, 2] == pytest.approx(axial)
    for moved, axis in ((rocked, 2), (tilted, 2), (rotated, 0)):
        assert moved.pose[:3, axis] @ hold.pose[:3, axis] == pytest.approx(np.cos(np.radians(20)))


def test_a_hand_goes_no_further_than_it_can():
    hold = Hold.at(BALL, np.array([0, -100.0, 0]), np.array([1.0, 0, 0]))
    far = hold.held(rock_deg=500, tilt_deg=-500, pressure_mm=500)
    assert (far.rock_deg, far.tilt_deg, far.pressure_mm) == (LARGEST_ANGLE_DEG, -LARGEST_ANGLE_DEG, MOST_PRESSURE_MM)
    assert hold.held(pressure_mm=-500).pressure_mm == -MOST_LIFT_MM
    assert hold.held(pressure_mm=-500).is_in_air
    assert not hold.is_in_air


def test_the_closest_point_is_that_of_all_triangles():
    rng = np.random.default_rng(1)
    for point in rng.normal(scale=90, size=(50, 3)):
        every = trimesh.triangles.closest_point(
            BALL.vertices_mm[BALL.triangles], np.broadcast_to(point, (len(BALL.triangles), 3))
        )
        nearest = np.linalg.norm(every - point, axis=1).min()
        assert np.linalg.norm(BALL.closest(point) - point) == pytest.approx(nearest, rel=1e-9)


def test_normals_and_first_hits_of_a_ball_are_those_of_a_sphere():
    rng = np.random.default_rng(1)
    for _ in range(50):
        away = rng.normal(size=3)
        away /= np.linalg.norm(away)
        assert BALL.normal(100 * away) == pytest.approx(away, abs=5e-3)
        assert BALL.first_hit(300 * away, -away) == pytest.approx(100 * away, abs=0.6)
    assert BALL.first_hit(np.array([300.0, 0, 0]), np.array([0.0, 1, 0])) is None


def test_the_skin_is_what_no_other_surface_holds():
    assert len(Skin.of(head_scene()).triangles) == 12
    with pytest.raises(UssimError, match="has no surfaces, so no skin"):
        Skin.of(Scene.from_surfaces([], background="liver"))
