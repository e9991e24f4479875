"""Elementary functions by sums, products and quotients alone, which every processor rounds alike.

Those of libraries differ in their last bits from one processor to the next. With these the pixels of all backends are
the same, and loops vectorise. Coefficients of the sine, the cosine, the exponential and the arctangent are those of
Moshier's Cephes library (1992); errors are a few units of the last place.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_HALF = np.float32(0.5)
_TWO_PI = np.float32(2 * math.pi)
_HALF_PI = np.float32(math.pi / 2)
_QUARTER_PI = np.float32(math.pi / 4)
_TAN_EIGHTH_PI = np.float32(math.tan(math.pi / 8))
_LOG2_E = np.float32(math.log2(math.e))
# ln 2 as a number of few digits, whose multiples are exact, and the rest of it.
_LN_2_HIGH, _LN_2_LOW = np.float32(0.693359375), np.float32(math.log(2) - 0.693359375)
_LN_2 = np.float32(math.log(2))
_LOWEST, _HIGHEST = np.float32(-87), np.float32(88)
_BITS_OF_ROOT_HALF = np.int32(0x3F3504F3)
_BITS_OF_OCTAVE = np.int32(1 << 23)
_BITS_OF_ONE = np.int32(0x3F800000)


@device
def exponential(x):
    """exp(x) of a float32; below −87 it is 0, above 88 it stays."""
    if x < _LOWEST:
        return _ZERO
    x = min(x, _HIGHEST)
    scaled = x * _LOG2_E
    whole = np.int32(scaled + (_HALF if scaled >= _ZERO else -_HALF))
    n = np.float32(whole)
    r = (x - n * _LN_2_HIGH) - n * _LN_2_LOW
    p = np.float32(1.3981999507e-3) + r * np.float32(1.9875691500e-4)
    p = np.float32(4.1665795894e-2) + r * (np.float32(8.3334519073e-3) + r * p)
    p = _HALF + r * (np.float32(1.6666665459e-1) + r * p)
    power = np.int32(_BITS_OF_ONE + np.int32(whole * _BITS_OF_OCTAVE)).view(np.float32)
    return (_ONE + r + r * r * p) * power


@device
def mantissa_and_exponent(x):
    """(m, e) with x = m·2^e of a positive normal float32, √½ ≤ m < √2; both float32."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32((bits - _BITS_OF_ROOT_HALF) >> np.int32(23))
    mantissa = np.int32(bits - np.int32(exponent * _BITS_OF_OCTAVE)).view(np.float32)
    return mantissa, np.float32(exponent)


@device
def logarithm(x):
    """ln x of a positive normal float32: 2·artanh((m − 1)/(m + 1)), by its series, for the mantissa m."""
    mantissa, exponent = mantissa_and_exponent(x)
    ratio = (mantissa - _ONE) / (mantissa + _ONE)
    z = ratio * ratio
    series = np.float32(1 / 5) + z * (np.float32(1 / 7) + z * np.float32(1 / 9))
    return _LN_2 * exponent + _TWO * (ratio + ratio * z * (np.float32(1 / 3) + z * series))


@device
def cosine_and_sine(turns):
    """cos and sin of 2π·turns, for 0 ≤ turns ≤ 1."""
    quarter = np.int32(np.float32(4) * turns + _HALF)
    x = _TWO_PI * (turns - np.float32(0.25) * np.float32(quarter))
    z = x * x
    s = np.float32(8.3321608736e-3) - z * np.float32(1.9515295891e-4)
    s = x + x * z * (np.float32(-1.6666654611e-1) + z * s)
    c = np.float32(-1.388731625493765e-3) + z * np.float32(2.443315711809948e-5)
    c = _ONE - _HALF * z + z * z * (np.float32(4.166664568298827e-2) + z * c)
    if quarter == 1:
        return -s, c
    if quarter == 2:
        return -c, -s
    if quarter == 3:
        return s, -c
    return c, s


@device
def arctangent(y, x):
    """Angle of the point (x, y) to the x axis, for x ≥ 0, −π/2 to π/2; 0 at the origin."""
    high, low = max(abs(y), x), min(abs(y), x)
    if high == _ZERO:
        return _ZERO
    t = low / high
    offset = _ZERO
    if t > _TAN_EIGHTH_PI:
        t = (t - _ONE) / (t + _ONE)
        offset = _QUARTER_PI
    z = t * t
    p = np.float32(1.99777106478e-1) + z * (np.float32(-1.38776856032e-1) + z * np.float32(8.05374449538e-2))
    angle = offset + (t + t * z * (np.float32(-3.33329491539e-1) + z * p))
    if abs(y) > x:
        angle = _HALF_PI - angle
    return angle if y >= _ZERO else -angle
