"""Pictures of an evaluation, laid out like the paper's Fig. 3 and 4: input, outputs, target side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from translate.data.metrics import PKL_PATCH_PX, Target
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


def save_error_maps(examples: Sequence[Example], titles: Sequence[str], path: Path) -> None:
    """Where histograms of whole images differ from the target's: pKL of each patch, as a heat map.

    After the local-histogram error maps of Zhang, Portenier, Goksel (2021). White is the 99th percentile of the first
    column's divergences, the low-quality images'.
    """
    maps = [[Target(example.images[-1]).pkl_patches(image)[0] for image in example.images[:-1]] for example in examples]
    white = max(1e-9, float(np.nanpercentile([row[0] for row in maps], 99)))
    rows = [
        [_heat(one / white, example.images[0].shape) for one in row]
        for row, example in zip(maps, examples, strict=True)
    ]
    picture_grid(rows, titles, [f"frame {example.frame}" for example in examples], dark=True).save(path, optimize=True)


def _heat(share: np.ndarray, shape: tuple[int, int]) -> Image.Image:
    """Shares of white as black, red, yellow, white, each a patch of an image of a shape, reduced as whole views are."""
    levels = np.clip(np.nan_to_num(share)[..., None] * 3 - np.arange(3), 0, 1)
    small = Image.fromarray((255 * levels).round().astype(np.uint8))
    large = small.resize([side * PKL_PATCH_PX for side in small.size], Image.Resampling.NEAREST)
    whole = Image.new("RGB", (shape[1], shape[0]))
    whole.paste(large)
    if shape[1] <= FULL_VIEW_PX:
        return whole
    return whole.resize((FULL_VIEW_PX, round(shape[0] * FULL_VIEW_PX / shape[1])), Image.Resampling.BOX)


def _save(
    examples: Sequence[Example], view: Callable[[np.ndarray], Image.Image], titles: Sequence[str], path: Path
) -> None:
    rows = [[view(image) for image in example.images] for example in examples]
    sheet = picture_grid(rows, titles, [f"frame {example.frame}" for example in examples], dark=False)
    # 64 grey levels cannot be told from 256 on a screen, and speckle compresses badly
    sheet.point([round(grey / 255 * 63) * 255 // 63 for grey in range(256)]).save(path, optimize=True)
