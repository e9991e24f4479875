"""Nested media: the set of surfaces a ray is inside of, as a bit mask whose highest bit names the medium."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device

_ONE = np.uint64(1)


@device
def crossed(inside, surface, entering):
    """Mask after crossing ``surface``: set or clear its bit (not toggle: that would keep a leak alive)."""
    bit = np.uint64(_ONE << np.uint64(surface))
    if entering:
        return np.uint64(inside | bit)
    return np.uint64(inside & np.uint64(~bit))


@device
def highest_surface(inside):
    """Index of the highest set bit, −1 for an empty mask (binary search, six steps)."""
    if inside == np.uint64(0):
        return np.int32(-1)
    index = np.int32(0)
    for step in (32, 16, 8, 4, 2, 1):
        upper = np.uint64(inside >> np.uint64(step))
        if upper != np.uint64(0):
            inside = upper
            index = np.int32(index + np.int32(step))
    return index


@device
def amplitude_after(db_per_mm, distance_mm):
    """Amplitude factor 10^(−dB/20) of an attenuation over a distance."""
    return np.float32(math.exp(np.float32(-0.11512925) * db_per_mm * distance_mm))
