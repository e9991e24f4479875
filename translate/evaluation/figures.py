"""Pictures of an evaluation, laid out like the paper's Fig. 3 and 4: input, outputs, target side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ussim.pictures.drawing import picture_grid

PATCH_VIEW_PX = 256
FULL_VIEW_PX = 420


@dataclass(frozen=True)
class Example:
    """One row of a picture.

    Attributes:
        frame: Frame it shows.
        images: One for each column, uint8 of one shape (H, W).
    """

    frame: int
    images: list[np.ndarray] = field(repr=False)


def patch_view(image: np.ndarray, size: int = PATCH_VIEW_PX) -> Image.Image:
    """The middle of a crop, pixel for pixel: any resampling would change the speckle that is to be judged."""
    height, width = image.shape
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    return Image.fromarray(image[top : top + size, left : left + size])


def full_view(image: np.ndarray, width: int = FULL_VIEW_PX) -> Image.Image:
    """A whole image, reduced to a width; smaller images stay as they are."""
    if image.shape[1] <= width:
        return Image.fromarray(image)
    return Image.fromarray(image).resize(
        (width, round(image.shape[0] * width / image.shape[1])), Image.Resampling.LANCZOS
    )


def save_patches(examples: Sequence[Example], titles: Sequence[str], path: Path) -> None:
    """Patch rows, as in Fig. 3 of the paper."""
    _save(examples, patch_view, titles, path)


def save_full_views(examples: Sequence[Example], titles: Sequence[str], path: Path) -> None:
    """Whole images, as in Fig. 4 of the paper."""
    _save(examples, full_view, titles, path)


def _save(
    examples: Sequence[Example], view: Callable[[np.ndarray], Image.Image], titles: Sequence[str], path: Path
) -> None:
    rows = [[view(image) for image in example.images] for example in examples]
    sheet = picture_grid(rows, titles, [f"frame {example.frame}" for example in examples], dark=False)
    # 64 grey levels cannot be told from 256 on a screen, and speckle compresses badly
    sheet.point([round(grey / 255 * 63) * 255 // 63 for grey in range(256)]).save(path, optimize=True)
