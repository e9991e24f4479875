"""The two-way amplitude with which a point is seen, from the rays of the aperture that pass through it.

    A(P) = Σ w_tx·T · Σ w_rx·T

over the rays of the neighbouring scanlines whose tilt brings them to P. That product of two means is what gives
shadows their taper. A single ray a scanline has its own amplitude only: hard shadows.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.ray_starts import line_angle

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_LEAST_WEIGHT = np.float32(1e-9)


@device
def gather_span(index, first, last, beam, passed, seen):
    """Write the two-way amplitude at the nodes ``first`` … ``last − 1`` of line ``index`` (frame, scanline, layer)."""
    layer = index % beam.layers
    line = (index // beam.layers) % beam.scanlines
    frame = index // (beam.layers * beam.scanlines)
    rays = (frame * beam.layers + layer) * beam.rays
    is_phased = beam.apex_radius_mm == _ZERO and beam.linear_pitch_mm == _ZERO
    theta, _ = line_angle(beam, line)
    for node in range(first, last):
        seen[index, node] = gather_node(
            node, line, rays * beam.scanlines, beam.scanlines, is_phased, np.float32(math.sin(theta)),
            np.float32(math.cos(theta)), np.float32(node) * beam.node_mm, beam.angular_pitch_rad, beam.ray_line,
            beam.element_mm, beam.transmit, beam.receive, passed,
        )  # fmt: skip


@device
def gather_node(
    node, line, row, scanlines, is_phased, sin, cos, depth, angular_pitch_rad, ray_line, element_mm, transmit, receive,
    passed,
):  # fmt: skip
    """Two-way amplitude at a node of a scanline; ``row`` is that of the first ray in ``passed``."""
    out, back = _ZERO, _ZERO
    out_weight, back_weight = _ZERO, _ZERO
    top = np.float32(scanlines - 1)
    for ray in range(element_mm.size):
        tx = transmit[ray, node]
        rx = receive[ray, node]
        if tx + rx > _LEAST_WEIGHT:
            # The scanline, a real number, on which the ray starts that passes here.
            if is_phased:
                angle = np.float32(math.atan2(depth * sin - element_mm[ray], depth * cos))
                u = angle / angular_pitch_rad + _HALF * top
            else:
                u = np.float32(line) - ray_line[ray, node]
            if u >= -_HALF and u <= top + _HALF:  # else it would start beyond the end of the array
                u = min(top, max(_ZERO, u))
                low = min(np.int32(u), np.int32(scanlines - 2))
                share = u - np.float32(low)
                first = row + ray * scanlines + low
                value = (_ONE - share) * passed[first, node] + share * passed[first + 1, node]
                out += tx * value
                back += rx * value
                out_weight += tx
                back_weight += rx
    total = out_weight * back_weight
    if total > _ZERO:
        return out * back / total
    # Right on the face of a phased array no ray of the fan comes by: the scanline's own stands for them.
    own = passed[row + element_mm.size // 2 * scanlines + line, node]
    return own * own
