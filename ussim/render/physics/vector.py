"""Three-vectors as scalars: the few operations that tracing needs."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device


@device
def dot(ax, ay, az, bx, by, bz):
    """Scalar product."""
    return ax * bx + ay * by + az * bz


@device
def normalise(x, y, z):
    """Unit vector along (x, y, z), which must not be zero."""
    scale = np.float32(1) / np.float32(math.sqrt(x * x + y * y + z * z))
    return x * scale, y * scale, z * scale


@device
def tangent(nx, ny, nz):
    """A unit vector perpendicular to the unit vector n (Duff et al. 2017, without a branch at the pole)."""
    sign = np.float32(1) if nz >= np.float32(0) else np.float32(-1)
    a = np.float32(-1) / (sign + nz)
    return np.float32(1) + sign * nx * nx * a, sign * (nx * ny * a), -sign * nx
