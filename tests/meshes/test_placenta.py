"""The placenta's plane: what it must show beside the cake itself."""

from __future__ import annotations

import numpy as np
import pytest
from support.anatomies import anatomy_of

from meshes.build import Anatomy
from meshes.planes import poses
from meshes.planes.standard import standard_planes
from meshes.shapes import sdf

pytestmark = pytest.mark.slow

STEP_MM = 0.6


@pytest.fixture(scope="module", params=[(22, 0), (22, 5), (18, 3), (27, 8), (34, 11)], ids=str)
def anatomy(request) -> Anatomy:
    return anatomy_of(*request.param)


@pytest.fixture(scope="module")
def picture(anatomy) -> np.ndarray:
    """Points of the picture (n, 3), scene frame, on a grid of STEP_MM."""
    planes = next(planes for planes in standard_planes(anatomy.fetus, anatomy.uterus) if planes[0].name == "placenta")
    key = poses.standing(planes, poses.Reach(anatomy.mother.skin, (), anatomy.mother.half_height_mm - 25.0)).keys[0]
    x, z = np.meshgrid(np.arange(-90, 90, STEP_MM), np.arange(0, poses.DEEPEST_MM, STEP_MM))
    angle = np.arctan2(x, z + poses.FACE_RADIUS_MM)
    depth = np.hypot(x, z + poses.FACE_RADIUS_MM) - poses.FACE_RADIUS_MM
    sector = (np.abs(angle) < np.radians(poses.HALF_ANGLE_DEG)) & (depth > 0) & (depth < poses.DEEPEST_MM)
    position_mm, axial, lateral = map(np.array, vars(key).values())
    return position_mm + x[sector][:, None] * lateral + z[sector][:, None] * axial


def _shown_mm2(anatomy: Anatomy, picture: np.ndarray, name: str) -> float:
    solid = next(part.solid for part in anatomy.parts if part.name == name)
    return float((sdf.distance(solid, picture) < 0).sum()) * STEP_MM**2


def test_the_plane_of_the_placenta_cuts_a_lake(anatomy, picture):
    assert _shown_mm2(anatomy, picture, "placental_lakes") > 15.0


def test_the_plane_of_the_placenta_shows_cake_plate_vessels_and_cord(anatomy, picture):
    assert _shown_mm2(anatomy, picture, "placenta") > 600.0
    for name in ("chorionic_plate", "placental_vessels", "cord"):
        assert _shown_mm2(anatomy, picture, name) > 8.0, name


def test_the_lakes_lie_inside_the_placenta(anatomy):
    lakes, cake = (next(p.solid for p in anatomy.parts if p.name == n) for n in ("placental_lakes", "placenta"))
    points = lakes.low_mm + np.random.default_rng(3).random((40_000, 3)) * (lakes.high_mm - lakes.low_mm)
    inside = points[sdf.distance(lakes, points) < 0]
    assert len(inside) > 100
    assert sdf.distance(cake, inside).max() < -1.0
