"""From the polar grid (scanline, depth) to the pixels of the image."""

from __future__ import annotations

import numpy as np

from ussim.jit import device

_ONE = np.float32(1)


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
def to_grey(value):
    """Nearest grey level of a value in 0 … 255."""
    return np.uint8(value + np.float32(0.5))
