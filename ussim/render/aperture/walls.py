"""Echoes of walls: as bright as they face the aperture, as wide as its lateral beam."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.inputs import (
    COHERENT_AMPLITUDE,
    COHERENT_SHOWN,
    ROUGH_AMPLITUDE,
    ROUGH_SHOWN,
    SLANT,
    WALL_DEPTH,
)
from ussim.render.kernels.receive import add_pulse

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_MOST_PARTS = np.float32(12)
_CLEAR_OF_WALL = np.float32(0.02)  # nodes: of a node on the wall, rounding would put some rays behind it


@device
def add_walls(index, beam, display, sheets, seen, out_real, out_imag, lane, lanes):
    """Add the echoes of the walls that scanline ``index`` and its neighbours meet, as wide as the lateral beam.

    The part of an echo that keeps its phase is averaged over scanlines and layers; the rest, whose phases are random,
    adds up in power. Of a steep wall, which falls by more than a pulse from one scanline to the next, it comes from all
    depths between them, in parts. ``lane`` and ``lanes`` are those of :func:`ussim.render.kernels.receive.add_pulse`.
    """
    line = index % beam.scanlines
    reach = beam.wall_spread.shape[0] // 2
    coherent_share = _ONE / np.float32(beam.layers)
    rough_share = np.float32(math.sqrt(coherent_share))
    for step in range(max(-reach, -line), min(reach + 1, beam.scanlines - line)):
        for layer in range(beam.layers):
            sheet = (index + step) * beam.layers + layer
            for k in range(sheets.wall_count[sheet]):
                wall = sheets.wall[sheet, k]
                place = wall[WALL_DEPTH] / beam.node_mm - _CLEAR_OF_WALL
                node = min(max(np.int32(place), np.int32(0)), np.int32(beam.nodes - 2))
                spread = beam.wall_spread[reach + step, node]
                if spread == _ZERO:
                    continue
                # What passes in front of the wall: the node before it, since the one behind is in its shadow.
                strength = spread * seen[sheet, node]
                a = strength * coherent_share * wall[COHERENT_AMPLITUDE]
                if a != _ZERO:
                    add_pulse(index, wall[COHERENT_SHOWN], a, beam, display, out_real, out_imag, lane, lanes)
                a = strength * rough_share * beam.rough_gain[node] * wall[ROUGH_AMPLITUDE]
                if a != _ZERO:
                    parts = np.int32(min(_MOST_PARTS, _ONE + _HALF * wall[SLANT] / display.pulse_sigma_mm))
                    apart = wall[SLANT] / np.float32(parts)
                    shown = wall[ROUGH_SHOWN] - _HALF * np.float32(parts - 1) * apart
                    a /= np.float32(math.sqrt(np.float32(parts)))
                    for part in range(parts):
                        add_pulse(
                            index, shown + np.float32(part) * apart, a, beam, display, out_real, out_imag, lane, lanes
                        )
