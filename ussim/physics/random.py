"""Counter-based random numbers: a draw is a hash of where it is used, so order and device never matter.

All arithmetic is on uint32 and every product is cast back at once: Numba widens uint32 × uint32 to uint64.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device

_TWO_PI = np.float32(2 * math.pi)
_UNIT = np.float32(2.0**-24)


@device
def mix(h):
    """Avalanche the bits of a uint32 (the finaliser of MurmurHash3)."""
    h = np.uint32(h ^ np.uint32(h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ np.uint32(h >> np.uint32(13)))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ np.uint32(h >> np.uint32(16)))


@device
def combine(key, value):
    """Key of a sub-stream: ``key`` and a counter ``value`` (both uint32) give a new uint32 key."""
    return mix(np.uint32(np.uint32(key * np.uint32(0x9E3779B1)) + np.uint32(value)))


@device
def uniform(key, dimension):
    """Uniform float32 in [0, 1) of the stream ``key``, number ``dimension``."""
    bits = combine(key, np.uint32(dimension))
    return np.float32(np.uint32(bits >> np.uint32(8))) * _UNIT


@device
def normal(key, dimension):
    """Standard normal float32 (Box–Muller; uses the numbers ``dimension`` and ``dimension + 1``)."""
    u = np.float32(1) - uniform(key, dimension)  # in (0, 1]: the logarithm stays finite
    v = uniform(key, np.uint32(np.uint32(dimension) + np.uint32(1)))
    radius = np.float32(math.sqrt(np.float32(-2) * np.float32(math.log(u))))
    return np.float32(radius * np.float32(math.cos(_TWO_PI * v)))
