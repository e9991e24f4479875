"""Wires across the image plane, thinner than scanlines are apart: high quality misses none."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from support.aperture import block
from support.scenes import surface

from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe
from ussim.probe.quality import HQ
from ussim.render.aperture.lattice import PLACE_MM
from ussim.render.aperture.tables import wall_lines_of
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

PROBE = ConvexProbe(depth_mm=120.0, focus_mm=60.0, image_height=500, image_width=693)
PLACES_MM = [(-17.3, 15.0), (-8.1, 35.2), (0.4, 55.1), (9.2, 75.3), (18.7, 95.0), (-25.2, 84.0)]  # x and depth


def spots_over_tissue(diameter_mm: float, off_mm: float) -> list[float]:
    """Grey levels by which each wire stands out of the median of the tissue around it."""
    wires = []
    for number, (x, z) in enumerate(PLACES_MM):
        mesh = trimesh.creation.cylinder(radius=diameter_mm / 2, height=60, sections=24)
        mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
        mesh.apply_translation([x + off_mm, 0, z])
        wires.append(surface(mesh, name=f"wire {number}", tissue="bone", priority=5))
    scene = Scene.from_surfaces([block("soft_tissue"), *wires], "gel")
    image = Renderer(scene, PROBE, Imaging(), backend="cpu").render(np.eye(4), HQ)[0].astype(float)
    found = []
    for x, z in PLACES_MM:
        row, column = (
            round((mm - begin) / PROBE.mm_per_pixel)
            for mm, begin in zip((z, x + off_mm), PROBE.image_origin_mm[::-1], strict=True)
        )
        spot, around = (
            image[row - reach : row + reach + 1, column - reach : column + reach + 1]
            for reach in (round(mm / PROBE.mm_per_pixel) for mm in (0.5 + diameter_mm / 2, 5.0))
        )
        found.append(spot.max() - np.median(around))
    return found


@pytest.mark.parametrize("diameter_mm", [0.1, 0.5, 1.0, 2.0])
def test_a_wire_stands_out_of_tissue_wherever_it_lies_between_scanlines(diameter_mm, record_property):
    for off_mm in (0.0, 0.11, 0.23):
        found = spots_over_tissue(diameter_mm, off_mm)
        record_property("grey", [float(value) for value in found])
        assert min(found) >= 20, (off_mm, found)


@pytest.mark.parametrize("depth_mm", [50.0, 120.0, 200.0])
def test_wall_lines_of_high_quality_lie_a_place_apart_as_far_as_rays_allow(depth_mm):
    probe = ConvexProbe(depth_mm=depth_mm)
    lines, pitch_mm = wall_lines_of(probe, HQ), float(probe.line_pitch_mm(np.array([depth_mm]))[0])
    assert lines % 2 == 1
    assert pitch_mm / lines <= PLACE_MM or HQ.rays < 4 * (lines + 2)
