"""Where rays start: points and directions of the probe, turned into the scene."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.physics.vector import normalise

_HALF = np.float32(0.5)
_ONE = np.float32(1)


@device
def line_angle(beam, line):
    """Angle of a scanline to the probe's axis [rad] and its place on a flat face [mm]."""
    u = np.float32(line) - _HALF * np.float32(beam.scanlines - 1)
    return u * beam.angular_pitch_rad, u * beam.linear_pitch_mm


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
def scene_ray(beam, pose, line, element, tilt, elevation, slope):
    """Origin and unit direction in the scene of a ray.

    Args:
        beam: Scanline geometry.
        pose: (4, 4) float32, probe → scene.
        line: Scanline on which it starts.
        element: Start off the scanline along a flat face [mm].
        tilt: Angle to the scanline, in the image plane [rad].
        elevation: Elevational start [mm].
        slope: Elevational slope.
    """
    theta, along = line_angle(beam, line)
    x = along + element + beam.apex_radius_mm * np.float32(math.sin(theta))
    z = beam.apex_radius_mm * (np.float32(math.cos(theta)) - _ONE)
    dx, dy, dz = normalise(np.float32(math.sin(theta + tilt)), slope, np.float32(math.cos(theta + tilt)))
    ox, oy, oz = point_in_scene(pose, x, elevation, z)
    dx, dy, dz = to_scene(pose, dx, dy, dz)
    return ox, oy, oz, dx, dy, dz


@device
def piece_slope(beam, layer, piece):
    """Elevational slope of a sheet within one of its pieces."""
    begin, end = beam.piece_node[piece], beam.piece_node[piece + 1]
    rise = beam.sheet_mm[layer, end] - beam.sheet_mm[layer, begin]
    return rise / (np.float32(end - begin) * beam.node_mm)
