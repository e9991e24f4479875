"""World-fixed scatterers without storage: each cell of a lattice hashes to at most one point scatterer.

A cell's scatterer is present with probability ``density``, sits anywhere in its cell and reflects
``N(mean, std)``. Only the fluctuation about the medium's mean echoes (a uniform medium is silent), so the
backscattered power of a cell is ``density·std² + density·(1 − density)·mean²``.
"""

from __future__ import annotations

import numpy as np

from ussim.jit import device
from ussim.render.physics.random import bell, mix

_UNIT_24 = np.float32(2.0**-24)
_UNIT_10 = np.float32(2.0**-10)


@device
def whole(x):
    """Largest integer not above x, as int32 (math.floor would give int64, which halves the vector width)."""
    i = np.int32(x)
    return np.int32(i - np.int32(1)) if np.float32(i) > x else i


@device
def turn_sin(turns):
    """sin(2π·turns) to 1.1e-3 for |turns| ≤ 0.5, without a library call, so that loops vectorise."""
    y = np.float32(16) * turns * (np.float32(0.5) - abs(turns))
    return y * (np.float32(0.775) + np.float32(0.225) * abs(y))


@device
def phasor(turns):
    """exp(−j·2π·turns) as (real, imaginary) float32, each to 1.1e-3."""
    t = turns - np.float32(whole(turns + np.float32(0.5)))
    q = t + np.float32(0.25)
    q = q - np.float32(1) if q > np.float32(0.5) else q
    return turn_sin(q), -turn_sin(t)


@device
def lattice_echo(x, y, z, dx, dy, dz, cells_per_mm, pitch_mm, salt, density, mean, std):
    """Reflectivity and axial offset of the scatterer of the cell that holds a point.

    Args:
        x, y, z: Point [mm], float32.
        dx, dy, dz: Direction along which the offset is measured (unit vector).
        cells_per_mm, pitch_mm: Lattice pitch [mm] and its reciprocal.
        salt: uint32 that separates media and seeds.
        density, mean, std: Scatter parameters of the medium.

    Returns:
        (reflectivity, offset): fluctuation of the reflectivity about the medium's mean, and the distance
        [mm] of the scatterer from the point along the direction.
    """
    gx = x * cells_per_mm
    gy = y * cells_per_mm
    gz = z * cells_per_mm
    ix, iy, iz = whole(gx), whole(gy), whole(gz)
    fx, fy, fz = np.float32(ix), np.float32(iy), np.float32(iz)
    cx, cy, cz = np.uint32(ix), np.uint32(iy), np.uint32(iz)
    h = np.uint32(np.uint32(cx * np.uint32(0x8DA6B343)) ^ np.uint32(cy * np.uint32(0xD8163841)))
    h = mix(np.uint32(np.uint32(h ^ np.uint32(cz * np.uint32(0xCB1AB31F))) ^ salt))

    present = np.float32(np.int32(np.uint32(h >> np.uint32(8)))) * _UNIT_24 < density
    g = np.uint32(np.uint32(h * np.uint32(0x9E3779B1)) + np.uint32(0x7F4A7C15))
    g = np.uint32(g ^ np.uint32(g >> np.uint32(15)))
    drawn = mean + std * bell(g)
    reflectivity = (drawn if present else np.float32(0)) - density * mean

    p = np.uint32(np.uint32(h ^ np.uint32(0xA511E9B3)) * np.uint32(0x2C1B3C6D))
    p = np.uint32(p ^ np.uint32(p >> np.uint32(14)))
    jx = np.float32(np.int32(np.uint32(p & np.uint32(1023)))) * _UNIT_10
    jy = np.float32(np.int32(np.uint32(np.uint32(p >> np.uint32(10)) & np.uint32(1023)))) * _UNIT_10
    jz = np.float32(np.int32(np.uint32(np.uint32(p >> np.uint32(20)) & np.uint32(1023)))) * _UNIT_10
    along = (fx + jx - gx) * dx + (fy + jy - gy) * dy + (fz + jz - gz) * dz
    return reflectivity, along * pitch_mm
