"""The tables that the stages of the aperture read."""

from __future__ import annotations

import numpy as np
import pytest

from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe, LinearProbe, PhasedProbe
from ussim.probe.quality import HQ, LQ, REFERENCE
from ussim.render.aperture.tables import aperture_table


@pytest.mark.parametrize("quality", [LQ, HQ, REFERENCE])
@pytest.mark.parametrize(
    "probe", [ConvexProbe(), LinearProbe(), PhasedProbe(), ConvexProbe(elevation_focus_mm=20), ConvexProbe(depth_mm=42)]
)
def test_few_straight_pieces_follow_the_elevational_beam(probe, quality):
    beam = aperture_table(probe, Imaging(), quality, seed=0)
    node = np.arange(beam.nodes)
    assert beam.piece_node[0] == 0
    assert beam.piece_node[-1] == beam.nodes - 1
    assert len(beam.piece_node) == beam.pieces + 1 <= 9
    for sheet in beam.sheet_mm:
        straight = np.interp(node, beam.piece_node, sheet[beam.piece_node])
        assert np.abs(straight - sheet).max() < 0.031
