"""Callipers against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ellipe
from support.scenes import box, surface
from support.viewer import DEPTH_MM, RADIUS_MM, head_scene, pose_at

from cli.viewer.callipers import DISTANCE, ELLIPSE, KINDS, Measured, age_of, points_of, table, true_mm
from meshes.fetus.growth import chart
from ussim.scene.scene import Scene


@pytest.mark.parametrize(("a", "b"), [(30, 30), (40, 25), (50, 5)])
@pytest.mark.parametrize("place", [0.0, 0.7, -1.2])
def test_an_ellipse_has_the_circumference_of_its_axes_wherever_its_side_is_clicked(a, b, place):
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    local = np.array([(-a, 0), (a, 0), (a * np.sin(place), b * np.cos(place))])
    measured = Measured(ELLIPSE, tuple(map(tuple, local @ turn.T + (7, 80))))
    assert measured.half_axes_mm == pytest.approx((a, b), rel=1e-6)
    exact = 4 * max(a, b) * ellipe(1 - (min(a, b) / max(a, b)) ** 2)
    assert measured.value_mm == pytest.approx(exact, rel=1e-3)
    outline = (np.array(measured.outline_mm()) - (7, 80)) @ turn
    assert (outline[:, 0] / a) ** 2 + (outline[:, 1] / b) ** 2 == pytest.approx(1)


def test_a_distance_is_that_of_its_ends():
    assert Measured(DISTANCE, ((0, 0), (3, 4))).value_mm == 5
    assert {kind: points_of(kind) for kind in KINDS} == {
        "distance": 2, "ellipse": 3, "bpd": 2, "hc": 3, "ac": 3, "fl": 2,
    }  # fmt: skip


@pytest.mark.parametrize("measure", ["bpd", "hc", "ac", "fl"])
@pytest.mark.parametrize("weeks", [16, 22, 30.4, 36])
def test_the_age_of_a_mean_of_the_chart_is_its_age(measure, weeks):
    whole, days = divmod(round(7 * weeks), 7)
    assert age_of(measure, chart(measure, weeks)[0]) == f"{whole} w {days} d"


def test_what_lies_outside_the_chart_is_said():
    assert age_of("bpd", 10) == f"outside of 16 to 36 weeks ({chart('bpd', 16)[0]:.0f} to {chart('bpd', 36)[0]:.0f} mm)"
    assert age_of(DISTANCE, 50) == ""


@pytest.mark.parametrize("off_mm", [0.0, 12.0, 25.0])
def test_the_mesh_gives_the_circle_in_which_the_plane_cuts_a_ball(off_mm):
    pose = pose_at(5.0, off_mm)
    radius = np.sqrt(RADIUS_MM**2 - off_mm**2)
    points = ((-5.0, DEPTH_MM), (5.0, DEPTH_MM), (0.0, DEPTH_MM + 5))
    assert true_mm(head_scene(), pose, Measured("hc", points)) == pytest.approx(2 * np.pi * radius, rel=0.01)
    assert true_mm(head_scene(), pose, Measured("bpd", points[:2])) == pytest.approx(2 * radius, rel=0.01)


def test_the_mesh_says_nothing_where_it_is_missed_or_has_no_such_surface():
    points = ((-5.0, DEPTH_MM), (5.0, DEPTH_MM), (0.0, DEPTH_MM + 5))
    assert true_mm(head_scene(), pose_at(0, 40), Measured("hc", points)) is None
    assert true_mm(head_scene(), pose_at(0), Measured("ac", points)) is None
    assert true_mm(head_scene(), pose_at(0), Measured(ELLIPSE, points)) is None


def test_a_femur_is_as_long_as_the_bone_next_to_the_callipers():
    import trimesh

    bones = []
    for x, length in ((-40, 30.0), (40, 36.0)):
        bone = trimesh.creation.cylinder(2.0, length)
        bone.apply_transform(trimesh.transformations.rotation_matrix(1.2, [0, 1, 0.3]))
        bone.apply_translation((x, 0, 60))
        bones.append(bone)
    scene = Scene.from_surfaces(
        [box((240, 200, 200), (0, 0, 100), tissue="soft_tissue", priority=1),
         surface(trimesh.util.concatenate(bones), name="fetal_limb_bones", tissue="bone", priority=2)]
    )  # fmt: skip
    for x, length in ((-40, 30.0), (40, 36.0)):
        found = true_mm(scene, pose_at(0), Measured("fl", ((x - 3.0, 60.0), (x + 3.0, 60.0))))
        assert found == pytest.approx(np.hypot(length, 4.0), rel=1e-3)  # from rim to rim


def test_the_table_sets_measures_beside_the_mesh():
    text = table([(Measured("bpd", ((0, 0), (60, 0))), 59.9), (Measured(DISTANCE, ((0, 0), (1, 0))), None)])
    assert "| 1 | BPD | 60.0 | " in text
    assert "59.9 (+0.2 %)" in text
    assert "| 2 | Distance | 1.0 | – | – |" in text
