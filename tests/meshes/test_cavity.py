"""The convex room that the uterus is fitted with, and what it holds: fluid and fetus against published amounts."""

from __future__ import annotations

import numpy as np
import pytest
from support.anatomies import anatomy_of, fluid_ml_and_weight_g, grid_points, sampled_and_dense, usual_weight_g

from meshes.mother.cavity import DIRECTIONS, Cavity, egg, hold, press_in
from meshes.mother.uterus import fluid_volume_ml
from meshes.shapes import sdf


def test_the_directions_are_even_and_hold_the_axes():
    assert len(DIRECTIONS) == 642
    nearest = np.sort(DIRECTIONS @ DIRECTIONS.T, axis=1)[:, -2]
    assert np.degrees(np.arccos(nearest)).max() < 1.4 * np.degrees(np.arccos(nearest)).min()
    for axis in (*np.eye(3), *-np.eye(3)):
        assert (DIRECTIONS @ axis).max() == pytest.approx(1.0)


def test_an_egg_has_the_volume_of_its_ellipsoid_less_its_rounded_edges():
    room = Cavity(egg((50, 60, 90))).solid
    volume = (sdf.distance(room, grid_points(room, 3.0)) < 0).sum() * 27.0
    assert 0.92 < volume / (4 / 3 * np.pi * 50 * 60 * 90) < 1.0


def test_a_room_holds_every_point_with_its_space_and_wastes_little():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(400, 3)) * (15, 20, 35)
    space = rng.uniform(1, 10, 400)
    room = hold(egg((10, 10, 10)), points, space).solid
    assert (-sdf.distance(room, points) - space).min() > -0.3
    assert (-sdf.distance(room, points) - space).min() < 1.0


def test_walls_that_are_left_out_of_a_block_do_not_change_its_values():
    room = hold(egg((20, 30, 50)), np.array([(40.0, 0, 0), (0, 0, 70)]), np.array([3.0, 3.0])).solid
    grid, dense = sampled_and_dense(room, 1.5)
    near = np.abs(dense) < 1.5
    assert near.sum() > 5000
    assert np.abs(grid - dense)[near].max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("weeks", [18, 22, 28, 34])
def test_fetal_weight_and_amniotic_fluid_are_near_the_published_amounts(weeks):
    anatomy = anatomy_of(weeks, 0)
    fluid_ml, weight_g = fluid_ml_and_weight_g(anatomy)
    assert weight_g == pytest.approx(usual_weight_g(weeks), rel=0.10)
    assert fluid_ml == pytest.approx(fluid_volume_ml(weeks, 1.0), rel=0.25)


def test_a_wall_that_is_pressed_in_holds_less_and_still_gives_every_point_its_room():
    rng = np.random.default_rng(4)
    points = rng.normal(size=(1500, 3))
    points *= 40 / np.linalg.norm(points, axis=1, keepdims=True)
    apart = np.array([0, 0, 50])
    points = np.concatenate([points + apart, points - apart])  # two balls: a waist between them
    space = np.full(len(points), 1.0)
    convex = hold(egg((20, 20, 20)), points, space)
    held = grid_points(convex.hull, 4.0)
    held = held[sdf.distance(convex.hull, held) < 0]
    pressed = press_in(convex, points, space, held, len(held))
    inside = sdf.distance(pressed.solid, held) < 0
    assert 0.80 < inside.mean() < 0.97
    assert (-sdf.distance(pressed.solid, points) - space).min() > -0.3
    waist = np.array([(30.0, 0, 0), (-30.0, 0, 0), (0, 30.0, 0)])
    assert (sdf.distance(pressed.solid, waist) > sdf.distance(convex.hull, waist) + 3.0).all()
