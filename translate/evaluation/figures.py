"""Pictures of an evaluation, laid out like the paper's Fig. 3 and 4: input, outputs, target side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PATCH_VIEW_PX = 256
FULL_VIEW_PX = 420
_GAP = 4
_TITLE_PX = 15
_BACKGROUND = 255


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


def contact_sheet(
    rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], row_names: Sequence[str]
) -> Image.Image:
    """Images in rows and columns, columns titled above and rows named in their first image.

    Args:
        rows: Images of one size.
        titles: One for each column.
        row_names: One for each row.
    """
    width, height = rows[0][0].size
    title_height = _TITLE_PX + 2 * _GAP
    sheet = Image.new(
        "L",
        (
            len(titles) * (width + _GAP) + _GAP,
            title_height + len(rows) * (height + _GAP),
        ),
        _BACKGROUND,
    )
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_TITLE_PX)
    for column, title in enumerate(titles):
        centre = _GAP + column * (width + _GAP) + width // 2
        pen.text((centre, title_height // 2), title, fill=0, font=font, anchor="mm")
    small = ImageFont.load_default(size=11)
    for number, (images, name) in enumerate(zip(rows, row_names, strict=True)):
        top = title_height + number * (height + _GAP)
        for column, image in enumerate(images):
            sheet.paste(image, (_GAP + column * (width + _GAP), top))
        pen.text((_GAP + 4, top + 3), name, fill=_BACKGROUND, font=small, stroke_width=2, stroke_fill=0)
    return sheet


def save_patches(examples: Sequence[Example], titles: Sequence[str], path: Path) -> None:
    """Patch rows, as in Fig. 3 of the paper."""
    rows = [[patch_view(image) for image in example.images] for example in examples]
    _save(contact_sheet(rows, titles, [f"frame {example.frame}" for example in examples]), path)


def save_full_views(examples: Sequence[Example], titles: Sequence[str], path: Path) -> None:
    """Whole images, as in Fig. 4 of the paper."""
    rows = [[full_view(image) for image in example.images] for example in examples]
    _save(contact_sheet(rows, titles, [f"frame {example.frame}" for example in examples]), path)


def _save(sheet: Image.Image, path: Path) -> None:
    # 64 grey levels cannot be told from 256 on a screen, and speckle compresses badly
    sheet.point([round(grey / 255 * 63) * 255 // 63 for grey in range(256)]).save(path, optimize=True)
