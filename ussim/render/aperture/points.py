"""Point targets: each enters a scanline as a scatterer of the lattice does, but at its exact depth.

It has the weight of the lateral and of the elevational beam where it lies, the two-way amplitude of the scanline and
the sheet that are nearest, their time of flight, and the round wavefront of the line's aperture.
"""

from __future__ import annotations

import numpy as np

from ussim.jit import device
from ussim.render.aperture.ray_starts import line_start
from ussim.render.kernels.receive import add_pulse
from ussim.render.physics.functions import exponential
from ussim.render.physics.scatter import whole
from ussim.render.physics.vector import dot

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_TINY = np.float32(1e-6)
_FAINTEST = np.float32(-11.5)  # exponent of the beam's weight: −100 dB


@device
def add_points(index, points, beam, display, poses, sheets, seen, out_real, out_imag, lane, lanes):
    """Add the echoes of all points to scanline ``index`` (frame × scanlines + line).

    ``points`` (P, 4) float32: x, y, z [mm] in the scene, and amplitude. ``lane`` and ``lanes`` are those of
    :func:`ussim.render.kernels.receive.add_pulse`.
    """
    pose = poses[index // beam.scanlines]
    origin_x, origin_z, sin, cos = line_start(beam.lines, index % beam.scanlines)
    for k in range(points.shape[0]):
        rx, ry, rz = points[k, 0] - pose[0, 3], points[k, 1] - pose[1, 3], points[k, 2] - pose[2, 3]
        x = dot(rx, ry, rz, pose[0, 0], pose[1, 0], pose[2, 0]) - origin_x
        elevation = dot(rx, ry, rz, pose[0, 1], pose[1, 1], pose[2, 1])
        z = dot(rx, ry, rz, pose[0, 2], pose[1, 2], pose[2, 2]) - origin_z
        add_point(
            index, x * cos - z * sin, elevation, x * sin + z * cos, points[k, 3], beam, display, sheets, seen,
            out_real, out_imag, lane, lanes,
        )  # fmt: skip


@device
def add_point(index, across, elevation, depth, amplitude, beam, display, sheets, seen, out_real, out_imag, lane, lanes):
    """Add the echo of a point that lies so far across a scanline, in elevation and down [mm]."""
    place = depth / beam.node_mm
    if place < _ZERO or place >= np.float32(beam.nodes - 1):
        return
    node = np.int32(place)
    share = place - np.float32(node)
    narrow = beam.across[node] + share * (beam.across[node + 1] - beam.across[node])
    thin = beam.slice[node] + share * (beam.slice[node + 1] - beam.slice[node])
    exponent = narrow * across * across + thin * elevation * elevation
    if exponent < _FAINTEST:
        return
    sheet = nearest_sheet(index, across, elevation, depth, thin, beam)
    strength = seen[sheet, node] + share * (seen[sheet, node + 1] - seen[sheet, node])
    shown = sheets.shown_mm[sheet, node]
    shown += share * (sheets.shown_mm[sheet, node + 1] - shown)
    # The wavefront is round about the middle of the line's own aperture.
    shown += _HALF * across * across / max(_ONE, depth)
    strength *= amplitude * exponential(exponent)
    if strength != _ZERO:
        add_pulse(index, shown, strength, beam, display, out_real, out_imag, lane, lanes)


@device
def nearest_sheet(index, across, elevation, depth, thin, beam):
    """Row of ``Sheets`` of the scanline and the layer that are nearest to a point; ``thin`` is −½/σ² in elevation."""
    line = index % beam.scanlines
    lines_per_mm = _ONE / max(_TINY, beam.linear_pitch_mm + (beam.apex_radius_mm + depth) * beam.angular_pitch_rad)
    beside = whole(across * lines_per_mm + _HALF)
    beside = min(max(beside, -line), beam.scanlines - 1 - line)
    sheet = (index + beside) * beam.layers
    steep = elevation * abs(elevation) * np.float32(-2) * thin
    for edge in range(beam.sheet_edge.size):
        if steep > beam.sheet_edge[edge]:
            sheet += 1
    return sheet
