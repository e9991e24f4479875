"""Where rays start: points and directions of the probe, turned into the scene."""

from __future__ import annotations

import numpy as np

from ussim.jit import device
from ussim.render.physics.vector import normalise


@device
def line_start(lines, line):
    """Where a scanline begins in the probe's frame, x and z [mm], and sine and cosine of its angle to the probe's axis.

    ``lines`` is a table of ``ApertureBeam``, made on the host.
    """
    return lines[line, 0], lines[line, 1], lines[line, 2], lines[line, 3]


@device
def to_scene(pose, x, y, z):
    """A direction of the probe's frame in the scene."""
    return (
        pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z,
        pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z,
        pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z,
    )


@device
def point_in_scene(pose, x, y, z):
    """A point of the probe's frame in the scene."""
    px, py, pz = to_scene(pose, x, y, z)
    return px + pose[0, 3], py + pose[1, 3], pz + pose[2, 3]


@device
def scene_ray(pose, x, z, sin, cos, elevation, slope):
    """Origin and unit direction in the scene of a ray.

    Args:
        pose: (4, 4) float32, probe → scene.
        x, z: Start in the image plane [mm].
        sin, cos: Of its angle to the probe's axis, in the image plane.
        elevation: Elevational start [mm].
        slope: Elevational slope.
    """
    dx, dy, dz = normalise(sin, slope, cos)
    ox, oy, oz = point_in_scene(pose, x, elevation, z)
    dx, dy, dz = to_scene(pose, dx, dy, dz)
    return ox, oy, oz, dx, dy, dz


@device
def piece_slope(beam, layer, piece):
    """Elevational slope of a sheet within one of its pieces."""
    begin, end = beam.piece_node[piece], beam.piece_node[piece + 1]
    rise = beam.sheet_mm[layer, end] - beam.sheet_mm[layer, begin]
    return rise / (np.float32(end - begin) * beam.node_mm)
