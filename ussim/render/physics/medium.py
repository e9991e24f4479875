"""Nested media: the set of surfaces a ray is inside of, as a bit mask whose highest bit names the medium."""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device

_ONE = np.uint64(1)
_HALVINGS_PER_DB = np.float32(math.log2(10) / 20)
_MOST_HALVINGS = np.float32(30)


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
    """Amplitude factor 10^(−dB/20) of an attenuation over a distance, down to −180 dB, where it stays.

    Good to 2e-7, and without a library call, so that loops vectorise: 2^−i·2^−f with a polynomial for the fraction f.
    """
    halvings = min(_MOST_HALVINGS, max(np.float32(0), _HALVINGS_PER_DB * db_per_mm * distance_mm))
    i = np.int32(halvings)
    f = halvings - np.float32(i)
    p = np.float32(-1.29178945e-3) + f * np.float32(1.14980860e-4)
    p = np.float32(2.40226097e-1) + f * (np.float32(-5.54992775e-2) + f * (np.float32(9.59716901e-3) + f * p))
    p = np.float32(1) + f * (np.float32(-6.93147175e-1) + f * p)
    return p / np.float32(np.int32(np.int32(1) << i))
