"""Greyscale PNGs: images, tissue ids, attenuation and masks as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ussim.errors import UssimError
from ussim.files import whole_file


def read_png(path: Path) -> np.ndarray:
    """A greyscale PNG, uint8 or (of 16 bits) uint16 of shape (H, W).

    Raises:
        UssimError: It is not there, not an image, or not grey.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "I;16", "I"):
                raise UssimError(f"{path}: is {image.mode}, not a greyscale image")
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow's readers raise
        raise UssimError(f"{path}: cannot be read: {error}") from None
    return values if values.dtype == np.uint8 else values.astype(np.uint16)


def save_png(path: Path, image: np.ndarray) -> None:
    """Write an image, uint8 of shape (H, W), whole or not at all.

    Raises:
        UssimError: It cannot be written.
    """
    with whole_file(path) as scratch:
        Image.fromarray(image).save(scratch, format="png")
