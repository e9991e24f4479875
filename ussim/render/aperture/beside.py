"""The lateral beam of echoes that a scanline has for itself: its neighbours receive their share of them."""

from __future__ import annotations

import numpy as np

from ussim.jit import device

_ZERO = np.float32(0)
_BLOCK = 32  # samples that share the weights of the lateral beam


@device
def first_beside(index, beam):
    """Of the neighbours within the lateral beam of scanline ``index`` the first, in steps from it."""
    return max(-(beam.wall_spread.shape[0] // 2), -(index % beam.scanlines))


@device
def behind_beside(index, beam):
    """And the one behind the last."""
    return min(beam.wall_spread.shape[0] // 2 + 1, beam.scanlines - index % beam.scanlines)


@device
def add_beside(index, step, begin, end, beam, echoes_real, echoes_imag, real, imag):
    """Add to samples ``begin`` … ``end − 1`` of a scanline what it receives of the echoes of its neighbour."""
    reach = beam.wall_spread.shape[0] // 2
    for block in range(begin // _BLOCK, (end + _BLOCK - 1) // _BLOCK):
        middle = np.float32(block * _BLOCK + _BLOCK // 2) * beam.sample_mm
        weight = beam.wall_spread[reach + step, min(np.int32(middle / beam.node_mm), np.int32(beam.nodes - 1))]
        if weight > _ZERO:
            for sample in range(max(begin, block * _BLOCK), min(end, (block + 1) * _BLOCK)):
                real[index, sample] += weight * echoes_real[index + step, sample]
                imag[index, sample] += weight * echoes_imag[index + step, sample]
