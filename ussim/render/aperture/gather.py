"""The two-way amplitude with which a point is seen, from the rays of the aperture that pass through it.

    A(P) = Σ w_tx·T · Σ w_rx·T

over the rays of the neighbouring scanlines whose tilt brings them to P. That product of two means is what gives
shadows their taper. A single ray a scanline has its own amplitude only: hard shadows.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.ray_starts import line_start
from ussim.render.physics.functions import arctangent

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_NEXT = np.uint64(1)
# Rows of the sums over the rays.
_OUT, _BACK, _OUT_WEIGHT, _BACK_WEIGHT = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
_LEAST_WEIGHT = np.float32(1e-9)


@device
def gather_span(row, node, first, last, beam, passed, sums, seen):
    """Write the two-way amplitude at a node of the scanlines ``first`` … ``last − 1``.

    Args:
        row: Frame × layers + layer.
        node, first, last: Which.
        beam: Its tables.
        passed: (frames × layers × rays, nodes, scanlines) float32, one-way amplitude of every ray.
        sums: Scratch, (4, last − first) float32.
        seen: (frames × scanlines × layers, nodes) float32, written.
    """
    lines = beam.scanlines
    is_phased = beam.apex_radius_mm == _ZERO and beam.linear_pitch_mm == _ZERO
    for k in range(4):
        for n in range(last - first):
            sums[k, n] = _ZERO
    for ray in range(beam.rays):
        tx, rx = beam.transmit[ray, node], beam.receive[ray, node]
        if tx + rx > _LEAST_WEIGHT:
            values = passed[row * beam.rays + ray, node]
            if is_phased:
                gather_phased(values, tx, rx, beam.element_mm[ray], np.float32(node) * beam.node_mm, first, beam, sums)
            else:
                gather_shifted(values, tx, rx, beam.ray_line[ray, node], first, last, sums)
    own = passed[row * beam.rays + beam.rays // 2, node]
    for n in range(last - first):
        line = first + n
        total = sums[_OUT_WEIGHT, n] * sums[_BACK_WEIGHT, n]
        # Right on the face of a phased array no ray of the fan comes by: the scanline's own stands for them.
        two_way = sums[_OUT, n] * sums[_BACK, n] / total if total > _ZERO else own[line] * own[line]
        seen[(row // beam.layers * lines + line) * beam.layers + row % beam.layers, node] = two_way


@device
def gather_shifted(values, tx, rx, crossed, first, last, sums):
    """Add a ray that has crossed so many scanlines, a real number, on its way to each line."""
    lines = np.int32(values.size)
    # It starts on scanline line − crossed, which lies ``share`` of the way from number line − back to the next.
    back = np.int32(math.ceil(crossed))
    share = np.float32(back) - crossed
    # Unsigned indices, because Numba looks for negative ones in others, and the loop would not vectorise.
    for line in range(max(first, back), min(last, lines - 1 + back)):
        n, low = np.uint64(line - first), np.uint64(line - back)
        value = (_ONE - share) * values[low] + share * values[np.uint64(low + _NEXT)]
        sums[_OUT, n] += tx * value
        sums[_BACK, n] += rx * value
        sums[_OUT_WEIGHT, n] += tx
        sums[_BACK_WEIGHT, n] += rx
    # At either end of the array the outermost scanline stands for half a pitch more.
    if share >= _HALF and first < back <= last:
        add_one(values[0], tx, rx, np.uint64(back - 1 - first), sums)
    if share <= _HALF and first <= lines - 1 + back < last:
        add_one(values[lines - 1], tx, rx, np.uint64(lines - 1 + back - first), sums)


@device
def gather_phased(values, tx, rx, element_mm, depth, first, beam, sums):
    """Add the ray that starts from an element of a phased array and passes by each line at a depth."""
    top = np.float32(beam.scanlines - 1)
    for n in range(sums.shape[1]):
        _, _, sin, cos = line_start(beam.lines, first + n)
        angle = arctangent(depth * sin - element_mm, depth * cos)
        u = angle / beam.angular_pitch_rad + _HALF * top  # the scanline, a real number, on which it starts
        if u >= -_HALF and u <= top + _HALF:  # else it would start beyond the end of the array
            u = min(top, max(_ZERO, u))
            low = min(np.int32(u), np.int32(beam.scanlines - 2))
            share = u - np.float32(low)
            add_one((_ONE - share) * values[low] + share * values[low + 1], tx, rx, np.uint64(n), sums)


@device
def add_one(value, tx, rx, n, sums):
    """Add a value to the sums of one line, number ``n`` (unsigned)."""
    sums[_OUT, n] += tx * value
    sums[_BACK, n] += rx * value
    sums[_OUT_WEIGHT, n] += tx
    sums[_BACK_WEIGHT, n] += rx
