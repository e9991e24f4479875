"""Phase of an echo, and the cell that holds a point: without a library call, so that loops vectorise."""

from __future__ import annotations

import numpy as np

from ussim.jit import device


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
