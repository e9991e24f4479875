"""Echoes of walls: as bright as they face the aperture, as wide as its lateral beam."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.beside import add_beside, behind_beside, first_beside
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
def write_walls(index, beam, display, sheets, seen, real, imag, lane, lanes):
    """Write the echoes of the walls that scanline ``index`` (frame × scanlines + line) meets, before the lateral beam.

    The part of an echo that keeps its phase is averaged over wall lines and layers; the rest, whose phases are random,
    adds up in power. Of a steep wall, which falls by more than a pulse from one wall line to the next, it comes from
    all depths between them, in parts. ``lane`` and ``lanes`` are those of
    :func:`ussim.render.kernels.receive.add_pulse`.
    """
    for sample in range(lane, beam.samples, lanes):
        real[index, sample] = _ZERO
        imag[index, sample] = _ZERO
    coherent_share = _ONE / np.float32(beam.layers * beam.wall_lines)
    rough_share = _ONE / (np.float32(math.sqrt(np.float32(beam.layers))) * np.float32(beam.wall_lines))
    for row in range(index * beam.layers * beam.wall_lines, (index + 1) * beam.layers * beam.wall_lines):
        for k in range(sheets.wall_count[row]):
            wall = sheets.wall[row, k]
            place = wall[WALL_DEPTH] / beam.node_mm - _CLEAR_OF_WALL
            node = min(max(np.int32(place), np.int32(0)), np.int32(beam.nodes - 2))
            # What passes in front of the wall: the node before it, since the one behind is in its shadow.
            strength = seen[row // beam.wall_lines, node]
            a = strength * coherent_share * wall[COHERENT_AMPLITUDE]
            if a != _ZERO:
                add_pulse(index, wall[COHERENT_SHOWN], a, beam, display, real, imag, lane, lanes)
            a = strength * rough_share * beam.rough_gain[node] * wall[ROUGH_AMPLITUDE]
            if a != _ZERO:
                parts = np.int32(min(_MOST_PARTS, _ONE + _HALF * wall[SLANT] / display.pulse_sigma_mm))
                apart = wall[SLANT] / np.float32(parts)
                shown = wall[ROUGH_SHOWN] - _HALF * np.float32(parts - 1) * apart
                a /= np.float32(math.sqrt(np.float32(parts)))
                for part in range(parts):
                    add_pulse(index, shown + np.float32(part) * apart, a, beam, display, real, imag, lane, lanes)


@device
def spread_walls(index, begin, end, beam, echoes_real, echoes_imag, real, imag):
    """Add to samples ``begin`` … ``end − 1`` of a scanline what it and its neighbours receive of the walls' echoes."""
    for step in range(first_beside(index, beam), behind_beside(index, beam)):
        add_beside(index, step, begin, end, beam, echoes_real, echoes_imag, real, imag)
