"""Images cut into squares."""

from __future__ import annotations

import numpy as np


def tiles(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W) → (H // side, W // side, side²); what is left over at the lower and right border is not used."""
    rows, columns = (size // side for size in image.shape)
    cut = image[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.swapaxes(1, 2).reshape(rows, columns, side * side)
