"""What a tissue is, as three channels: a number that means the same in every scene, whatever its tissues are called."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CHANNELS = ("impedance", "backscatter", "attenuation")
"""Channels that take the place of a segmentation's ids, in this order."""

Acoustics = tuple[float, float, float]
"""Values of one tissue, in [−1, 1]."""

NOTHING: Acoustics = (-1.0, -1.0, -1.0)
"""Of what lies outside the sector."""


def acoustics_of(row: Mapping[str, Any]) -> Acoustics:
    """The channels of a tissue.

    Args:
        row: Its row in a store's tissue table.

    Returns:
        Impedance Z [MRayl] as (Z − 1.6)/0.4, so that soft tissue, 1.35 to 1.8, fills the range, with gas at −1 and
        bone at +1; backscatter level [dB] as (level + 20)/20, the level being that of the power
        density·(std² + (1 − density)·mean²) of the scatterers, with what is silent at −1; attenuation
        [dB/(cm·MHz)] as its value − 1. All are clipped to [−1, 1].
    """
    impedance_mrayl = row["speed_m_s"] * row["density_kg_m3"] * 1e-6
    density, mean, std = row["scatter_density"], row["scatter_mean"], row["scatter_std"]
    power = density * (std * std + (1 - density) * mean * mean)
    level_db = 10 * math.log10(power) if power > 0 else -math.inf
    values = ((impedance_mrayl - 1.6) / 0.4, (level_db + 20) / 20, row["attenuation_db_cm_mhz"] - 1)
    first, second, third = (min(1.0, max(-1.0, value)) for value in values)
    return first, second, third


def acoustics_table(tissues: Sequence[Acoustics]) -> np.ndarray:
    """Channels by id of a segmentation, float32 of shape (256, 3); position + 1 in ``tissues`` is the id."""
    table = np.full((256, len(CHANNELS)), NOTHING, np.float32)
    table[1 : len(tissues) + 1] = tissues
    return table
