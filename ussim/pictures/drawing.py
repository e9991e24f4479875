"""What pictures are drawn with: colours, axes in mm, a grey scale, a legend of tissues."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LARGEST_SHEET_PX = 32_000
"""Longest side that common viewers open."""

BLACK, INK, FAINT = (0, 0, 0), (225, 225, 225), (130, 130, 130)
TICK = 6
"""Length of a tick [px]."""


@dataclass(frozen=True)
class Axes:
    """Where a millimetre of the image lies on a panel.

    Attributes:
        size: Width and height of a panel [px].
        origin_mm: (x, z) of the panel's top left corner.
        px_per_mm: Pixels of the sheet per mm.
    """

    size: tuple[int, int]
    origin_mm: tuple[float, float]
    px_per_mm: float

    def ticks(self, axis: int) -> list[tuple[int, float]]:
        """(pixel, mm) of round numbers along x (0) or z (1)."""
        span_mm = self.size[axis] / self.px_per_mm
        step = nice_step(span_mm * 45 / self.size[axis])  # labels are up to 40 px wide
        first = math.ceil(self.origin_mm[axis] / step)
        last = math.floor((self.origin_mm[axis] + span_mm) / step)
        marks = [number * step for number in range(first, last + 1)]
        return [(round((mm - self.origin_mm[axis]) * self.px_per_mm), mm) for mm in marks]


def nice_step(at_least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 … that is not below a number."""
    power = 10.0 ** math.floor(math.log10(at_least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= at_least * (1 - 1e-9))


def draw_axes(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    axes: Axes,
    font: Font,
    labelled: bool,
) -> None:
    """Both axes of a panel whose top left pixel is ``corner``; ``labelled`` writes depths beside the left one."""
    left, top = corner
    bottom = top + axes.size[1]
    draw.line([(left, top), (left, bottom), (left + axes.size[0], bottom)], FAINT)
    for at, mm in axes.ticks(0):
        draw.line([(left + at, bottom), (left + at, bottom + TICK)], FAINT)
        draw.text((left + at, bottom + TICK + 10), f"{mm:g}", FAINT, font, anchor="mm")
    for at, mm in axes.ticks(1):
        draw.line([(left - TICK, top + at), (left, top + at)], FAINT)
        if labelled:
            draw.text((left - TICK - 4, top + at), f"{mm:g}", FAINT, font, anchor="rm")
    draw.text((left + axes.size[0], bottom + TICK + 28), "lateral x [mm]", FAINT, font, anchor="rm")
    if labelled:
        draw.text((left - 4, top - 16), "z [mm]", FAINT, font, anchor="rm")


def draw_depths(draw: ImageDraw.ImageDraw, corner: tuple[int, int], axes: Axes, font: Font) -> None:
    """A scale of depths [mm] to the right of ``corner``."""
    left, top = corner
    for at, mm in axes.ticks(1):
        draw.line([(left, top + at), (left + TICK - 1, top + at)], FAINT)
        draw.text((left + TICK + 1, top + at), f"{mm:g}", FAINT, font, anchor="lm")


def draw_grey_bar(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    height: int,
    font: Font,
) -> None:
    """A grey scale from 1 (top) to 0."""
    left, top = corner
    ramp = np.repeat(np.linspace(255, 0, height).astype(np.uint8)[:, None], 12, axis=1)
    sheet.paste(Image.fromarray(ramp), corner)
    draw.rectangle([left, top, left + 11, top + height - 1], outline=FAINT)
    for value in (1.0, 0.5, 0.0):
        draw.text((left + 18, top + round((1 - value) * (height - 1))), f"{value:g}", FAINT, font, anchor="lm")


def colour_table(colours: Mapping[int, str]) -> np.ndarray:
    """Colour of each id, uint8 of shape (256, 3); black for those not named."""
    table = np.zeros((256, 3), np.uint8)
    for number, colour in colours.items():
        table[number] = ImageColor.getrgb(colour)
    return table


def tissue_legend(tissues: Sequence[dict], width: int, font: Font) -> Image.Image:
    """Names of tissues beside squares of their colours, in lines as wide as the sheet."""
    places, x, y = [], 0, 4
    for row in tissues:
        name = row["name"].replace("_", " ")
        length = 26 + int(font.getlength(name)) + 28
        if x and x + length > width:
            x, y = 0, y + 28
        places.append((x, y, name, row["color"]))
        x += length
    legend = Image.new("RGB", (width, y + 28), BLACK)
    draw = ImageDraw.Draw(legend)
    for x, y, name, colour in places:
        draw.rectangle([x, y + 2, x + 17, y + 19], fill=colour, outline=FAINT)
        draw.text((x + 26, y + 10), name, INK, font, anchor="lm")
    return legend


def picture_grid(
    rows: Sequence[Sequence[Image.Image]],
    titles: Sequence[str],
    row_names: Sequence[str] = (),
    *,
    gap_px: int = 4,
    dark: bool = True,
) -> Image.Image:
    """Pictures in rows and columns, columns titled above, rows named in their first picture.

    Args:
        rows: Pictures of one size; nothing is resampled.
        titles: One for each column.
        row_names: One for each row, or none.
        gap_px: Between pictures and around them [px].
        dark: Light titles on black, or dark ones on white.

    Returns:
        Grey if all pictures are, else in colour.
    """
    background, ink = ("black", "white") if dark else ("white", "black")
    width, height = rows[0][0].size
    font, small = ImageFont.load_default(15), ImageFont.load_default(11)
    head = 15 + 2 * gap_px
    mode = "L" if all(picture.mode == "L" for row in rows for picture in row) else "RGB"
    size = (len(titles) * (width + gap_px) + gap_px, head + len(rows) * (height + gap_px))
    sheet = Image.new(mode, size, background)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        centre = gap_px + column * (width + gap_px) + width // 2
        draw.text((centre, head // 2), title, ink, font, anchor="mm")
    for number, row in enumerate(rows):
        top = head + number * (height + gap_px)
        for column, picture in enumerate(row):
            sheet.paste(picture, (gap_px + column * (width + gap_px), top))
        if row_names:
            draw.text((gap_px + 4, top + 3), row_names[number], "white", small, stroke_width=2, stroke_fill="black")
    return sheet
