"""The acoustic window: what bone costs a ray, and that the probe turns away from it."""

from __future__ import annotations

import numpy as np
import pytest

from meshes.planes import poses
from meshes.planes.poses import Plane, Reach
from meshes.planes.window import UNSEEN_DB, Obstacle, ray_losses_db
from meshes.shapes import solids

ORIGIN = np.zeros((1, 3))


def test_a_ray_loses_the_absorption_of_its_way_through_bone():
    bone = Obstacle(solids.sphere((0, 0, 30), 5), None, 2.0)
    ends = np.array([(0, 0, 60), (0, 25, 60), (0, 0, 20)], float)
    loss = ray_losses_db([bone], np.zeros((3, 3)), ends)
    assert loss == pytest.approx([20.0, 0.0, 0.0], abs=0.5)


def test_no_rays_have_no_losses():
    assert len(ray_losses_db([], np.zeros((0, 3)), np.zeros((0, 3)))) == 0


def test_loss_is_capped_where_nothing_is_seen_any_more():
    bone = Obstacle(solids.sphere((0, 0, 30), 10), None, 5.0)
    assert ray_losses_db([bone], ORIGIN, np.array([(0.0, 0, 60)]))[0] == UNSEEN_DB


@pytest.mark.parametrize(("angle", "blocked"), [(20, False), (40, False), (55, True), (70, True)])
def test_nothing_enters_a_plate_beyond_its_critical_angle(angle, blocked):
    plate = Obstacle(solids.box((0, 0, 20), (200, 200, 1)), None, 0.5, critical_sine=0.74)  # 47.7 degrees
    turn = np.radians(angle)
    loss = ray_losses_db([plate], ORIGIN, 150 * np.array([[np.sin(turn), 0, np.cos(turn)]]))[0]
    assert loss == (UNSEEN_DB if blocked else pytest.approx(0.5 * 2 / np.cos(turn), rel=0.1))


def _plane(normal=(0, 0, 1)):
    marks = np.array([(-8.0, 0, 0), (0, 0, 0), (8.0, 0, 0)])
    return Plane("seen", "", np.zeros(3), np.array(normal, float), np.array([0.0, -1.0, 0.0]), marks)


def _way_in(sweep):
    return -np.array(sweep.keys[0].axial)


def _reach(*bones):
    return Reach(solids.sphere((0, 0, 0), 80), bones, 75.0)


def test_the_probe_turns_within_the_plane_until_bone_is_out_of_the_way():
    bone = Obstacle(solids.box((0, -45, 0), (12, 2, 30)), None, 4.0)
    free, shifted = (poses.standing([_plane()], _reach(*bones)) for bones in ((), (bone,)))
    assert _way_in(free) @ (0, -1, 0) > 0.95
    key = shifted.keys[0]
    apex = np.array(key.position_mm) - poses.FACE_RADIUS_MM * np.array(key.axial)
    assert ray_losses_db([bone], np.tile(apex, (3, 1)), _plane().landmarks).max() < 0.5
    assert abs(key.axial[2]) < 1e-6, "the plane is kept"
    assert _way_in(shifted) @ (0, -1, 0) < _way_in(free) @ (0, -1, 0)


def test_of_several_planes_the_best_seen_is_taken():
    across, along = _plane((0, 0, 1)), _plane((1, 0, 0))
    wall = Obstacle(solids.box((0, -30, 0), (70, 2, 4)), None, 4.0)  # lies in the first plane, crosses the second
    sweep = poses.standing([across, along], _reach(wall))
    assert abs(sweep.keys[0].axial[0]) < 1e-6
