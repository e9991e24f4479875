"""Counter-based random numbers: a draw is a hash of where it is used, so order and device never matter.

All arithmetic is on uint32 and every product is cast back at once: Numba widens uint32 × uint32 to uint64.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.physics.functions import cosine_and_sine, logarithm

# Degree, polynomial and first numbers of Sobol's sequence per dimension: Joe & Kuo, SIAM J. Sci. Comput. 30 (2008).
_SOBOL = (
    (1, 0, (1,)), (2, 1, (1, 3)), (3, 1, (1, 3, 1)), (3, 2, (1, 1, 1)), (4, 1, (1, 1, 3, 3)), (4, 4, (1, 3, 5, 13)),
    (5, 2, (1, 1, 5, 5, 17)), (5, 4, (1, 1, 5, 5, 5)), (5, 7, (1, 1, 7, 11, 19)),
)  # fmt: skip
_DIGITS = 10


def _directions() -> np.ndarray:
    """What each binary digit of a number flips in each dimension's draw, (dimensions, digits) uint32."""
    rows = [[1] * _DIGITS]
    for degree, polynomial, first in _SOBOL:
        m = list(first)
        while len(m) < _DIGITS:
            value = m[-degree] ^ (m[-degree] << degree)
            for k in range(1, degree):
                value ^= (polynomial >> (degree - 1 - k) & 1) * (m[-k] << k)
            m.append(value)
        rows.append(m[:_DIGITS])
    return np.array([[m << (31 - digit) for digit, m in enumerate(row)] for row in rows], np.uint32)


_DIRECTIONS = _directions()
_UNIT = np.float32(2.0**-24)
# The sum of four uniform bytes has mean 510 and standard deviation sqrt(4·(256² − 1)/12).
_BYTES_MEAN = np.float32(510.0)
_BYTES_SCALE = np.float32(1.0 / math.sqrt(4 * (256.0**2 - 1) / 12))


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
def spread_uniform(key, number, dimension):
    """As :func:`uniform`, but the first n draws of a key, ``number`` 0 … n − 1, lie evenly for n a power of two.

    Sobol's sequence, with its digits flipped by a hash. Of dimensions from 10 and numbers from 1024 on, draws are
    independent.
    """
    if dimension >= _DIRECTIONS.shape[0] or number >= 1 << _DIRECTIONS.shape[1]:
        return uniform(combine(key, np.uint32(number)), dimension)
    bits = combine(key, np.uint32(dimension))
    for digit in range(_DIRECTIONS.shape[1]):
        if (number >> digit) & 1:
            bits = np.uint32(bits ^ _DIRECTIONS[dimension, digit])
    return np.float32(np.uint32(bits >> np.uint32(8))) * _UNIT


@device
def normal(key, dimension):
    """Standard normal float32 (Box–Muller; uses the numbers ``dimension`` and ``dimension + 1``)."""
    u = np.float32(1) - uniform(key, dimension)  # in (0, 1]: the logarithm stays finite
    v = uniform(key, np.uint32(np.uint32(dimension) + np.uint32(1)))
    cosine, _ = cosine_and_sine(v)
    return np.float32(math.sqrt(np.float32(-2) * logarithm(u))) * cosine


@device
def bell(bits):
    """Nearly normal float32 from the four bytes of a hash: their sum, standardised. It vectorises; kurtosis 2.7."""
    pairs = np.uint32(
        np.uint32(bits & np.uint32(0x00FF00FF)) + np.uint32(np.uint32(bits >> np.uint32(8)) & np.uint32(0x00FF00FF))
    )
    total = np.int32(np.uint32(np.uint32(pairs & np.uint32(0x3FF)) + np.uint32(pairs >> np.uint32(16))))
    return (np.float32(total) - _BYTES_MEAN) * _BYTES_SCALE
