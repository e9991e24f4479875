"""From the polar grid (scanline, depth) to the pixels of the image."""

from __future__ import annotations

import numpy as np

from ussim.jit import device

_ONE = np.float32(1)
_LARGEST_HALF = np.float32(65504)
_SMALLEST_NORMAL = np.int32(np.float32(2.0**-14).view(np.int32))
_ROUNDING = np.float32(2.0**23)


@device
def polar_at(pixel, frame, scanlines, pixels, polar):
    """Bilinear value of a pixel of the sector; ``polar`` is (frames × scanlines, samples) float32."""
    index = frame * scanlines + pixels.line[pixel]
    sample = pixels.sample[pixel]
    across = pixels.across[pixel]
    along = pixels.along[pixel]
    near = (_ONE - along) * polar[index, sample] + along * polar[index, sample + 1]
    far = (_ONE - along) * polar[index + 1, sample] + along * polar[index + 1, sample + 1]
    return (_ONE - across) * near + across * far


@device
def to_half(value):
    """Bits of the float16 nearest to a float32 ≥ 0, uint16; what is larger than its largest becomes that.

    In whole numbers, since backends differ in what they know of float16.
    """
    bits = np.float32(min(value, _LARGEST_HALF)).view(np.int32)
    if bits < _SMALLEST_NORMAL:  # the step of a float16 is 2⁻²⁴ here
        return np.uint16(nearest_even(value * np.float32(2.0**24)))
    shifted = np.int32(bits - np.int32(112 << 23))
    is_odd = np.int32(np.int32(shifted >> np.int32(13)) & np.int32(1))
    return np.uint16(np.int32(shifted + np.int32(0xFFF) + is_odd) >> np.int32(13))


@device
def nearest_even(value):
    """The whole number nearest to a float32 from 0 to 2²²; of two, the even one."""
    return np.int32(np.float32(value + _ROUNDING) - _ROUNDING)


@device
def to_grey(value):
    """Nearest grey level of a value in 0 … 255."""
    return np.uint8(value + np.float32(0.5))
