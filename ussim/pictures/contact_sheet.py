"""A contact sheet of a dataset: for some frames LQ, HQ, segmentation and attenuation side by side, in mm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ussim.dataset.store import Dataset, Frame
from ussim.errors import UssimError
from ussim.files import whole_file

DEFAULT_FRAMES = 4
LARGEST_SHEET_PX = 32_000
"""Longest side that common viewers open."""

BLACK, INK, FAINT = (0, 0, 0), (225, 225, 225), (130, 130, 130)
LEFT, RIGHT, GAP, TICK = 62, 70, 30, 6


@dataclass(frozen=True)
class _Panel:
    """One picture and its heading."""

    title: str
    picture: Image.Image
    bar: bool = False


@dataclass(frozen=True)
class _Axes:
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


def contact_sheet(dataset: Dataset, frames: Sequence[int] = (), panel_width: int = 560) -> Image.Image:
    """Draw frames of a dataset, one row each, above a legend of the tissues in them.

    Args:
        dataset: The store.
        frames: Frame numbers; none means up to four that are rendered, spread over the dataset.
        panel_width: Width of one image [px].

    Returns:
        An RGB image on black.

    Raises:
        UssimError: A frame that does not exist, is not rendered or is corrupt, or a sheet that gets too long.
    """
    numbers = _chosen(dataset, frames)
    axes = _axes(dataset, panel_width)
    columns = len(dataset.qualities) + 2
    title_font, font = ImageFont.load_default(22), ImageFont.load_default(16)
    row_height = 66 + axes.size[1] + 52
    width = LEFT + columns * axes.size[0] + (columns - 1) * GAP + RIGHT

    shown = [dataset.frame(number) for number in numbers]
    legend = tissue_legend(_tissues_in(shown, dataset), width - LEFT - RIGHT, font)
    height = 52 + row_height * len(shown) + legend.height + 16
    if max(width, height) > LARGEST_SHEET_PX:
        raise UssimError(f"{len(shown)} frames make a sheet of {width} × {height} px; ask for fewer frames")

    sheet = Image.new("RGB", (width, height), BLACK)
    draw = ImageDraw.Draw(sheet)
    header = dataset.header
    heading = f"{dataset.path.name}: {header.scene.name}, sweep {header.sweep}, {header.frames} frames"
    draw.text((LEFT, 16), heading, INK, title_font)
    for row, frame in enumerate(shown):
        top = 52 + row * row_height
        kind = "test" if frame.is_test else "train"
        which = header.scenes[dataset.scene[frame.index]] if header.scenes else None
        anatomy = f", seed {which.seed}, {which.weeks:g} weeks" if which else ""
        draw.text((LEFT, top + 6), f"frame {frame.index} ({kind}{anatomy})", INK, title_font)
        for column, panel in enumerate(_panels(frame, dataset, axes)):
            corner = (LEFT + column * (axes.size[0] + GAP), top + 66)
            sheet.paste(panel.picture, corner)
            draw.text((corner[0] + axes.size[0] // 2, corner[1] - 16), panel.title, INK, font, anchor="mm")
            _draw_axes(draw, corner, axes, font, labelled=column == 0)
            if panel.bar:
                _draw_bar(sheet, draw, (corner[0] + axes.size[0] + 14, corner[1]), axes.size[1] // 2, font)
    sheet.paste(legend, (LEFT, 52 + row_height * len(shown)))
    return sheet


def save_sheet(dataset: Dataset, path: Path, frames: Sequence[int] = (), panel_width: int = 560) -> Path:
    """Draw a contact sheet into a PNG file, which appears whole or not at all.

    Raises:
        UssimError: As ``contact_sheet``, or the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise UssimError(f"{path}: a contact sheet is a PNG file: give a name that ends in .png")
    sheet = contact_sheet(dataset, frames, panel_width)
    with whole_file(path) as scratch:
        sheet.save(scratch, "PNG")
    return path


def _chosen(dataset: Dataset, frames: Sequence[int]) -> list[int]:
    for frame in frames:
        if not 0 <= frame < dataset.frames:
            raise UssimError(f"frame {frame} does not exist: {dataset.path} holds 0 to {dataset.frames - 1}")
    if frames:
        return list(frames)
    done = np.flatnonzero(np.repeat(dataset.done, dataset.header.unit_frames)[: dataset.frames])
    if not done.size:
        raise UssimError(f"{dataset.path} holds no finished frames yet")
    places = np.linspace(0, done.size - 1, min(DEFAULT_FRAMES, done.size))
    return [int(done[round(place)]) for place in places]


def _axes(dataset: Dataset, panel_width: int) -> _Axes:
    image = dataset.header.image
    px_per_mm = panel_width / (image.width * image.mm_per_pixel)
    half = image.mm_per_pixel / 2  # origin_mm is the centre of a pixel, a panel starts at its corner
    return _Axes(
        size=(panel_width, max(1, round(image.height * image.mm_per_pixel * px_per_mm))),
        origin_mm=(image.origin_mm[0] - half, image.origin_mm[1] - half),
        px_per_mm=px_per_mm,
    )


# Pictures ---------------------------------------------------------------------------------------------


def _panels(frame: Frame, dataset: Dataset, axes: _Axes) -> list[_Panel]:
    panels = []
    for name in dataset.qualities:
        quality = dataset.header.qualities[name]
        rays, layers = (_counted(quality[key], key) for key in ("rays", "layers"))
        panels.append(_Panel(f"{name.upper()} ({rays}, {layers})", _fit(frame.images[name], axes)))
    colours = palette(dataset)[frame.segmentation]
    panels.append(_Panel("segmentation", _fit(colours, axes)))
    grey = np.clip(frame.attenuation * 255 + 0.5, 0, 255).astype(np.uint8)
    panels.append(_Panel("attenuation a(z), normalised", _fit(grey, axes), bar=True))
    return panels


def palette(dataset: Dataset) -> np.ndarray:
    """Colour of each segmentation id, uint8 of shape (256, 3)."""
    colours = np.zeros((256, 3), np.uint8)
    for row in dataset.header.tissues:
        colours[row["id"]] = ImageColor.getrgb(row["color"])
    return colours


def _fit(pixels: np.ndarray, axes: _Axes) -> Image.Image:
    """A picture of the size of a panel; an average of pixels when it shrinks, plain pixels when it grows."""
    picture = Image.fromarray(pixels).convert("RGB")
    method = Image.Resampling.BOX if picture.width > axes.size[0] else Image.Resampling.NEAREST
    return picture.resize(axes.size, method)


def _counted(number: int, plural: str) -> str:
    return f"{number} {plural if number != 1 else plural[:-1]}"


# Axes, bar and legend ---------------------------------------------------------------------------------


def _draw_axes(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    axes: _Axes,
    font: ImageFont.FreeTypeFont,
    labelled: bool,
) -> None:
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


def _draw_bar(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    height: int,
    font: ImageFont.FreeTypeFont,
) -> None:
    """A grey scale from 1 (top) to 0."""
    left, top = corner
    ramp = np.repeat(np.linspace(255, 0, height).astype(np.uint8)[:, None], 12, axis=1)
    sheet.paste(Image.fromarray(ramp), corner)
    draw.rectangle([left, top, left + 11, top + height - 1], outline=FAINT)
    for value in (1.0, 0.5, 0.0):
        draw.text((left + 18, top + round((1 - value) * (height - 1))), f"{value:g}", FAINT, font, anchor="lm")


def _tissues_in(frames: Sequence[Frame], dataset: Dataset) -> list[dict]:
    """Rows of the tissue table that occur in frames, outside the sector left out."""
    present = set().union(*(np.unique(frame.segmentation).tolist() for frame in frames))
    return [row for row in dataset.header.tissues if row["id"] in present and row["id"] != 0]


def tissue_legend(tissues: Sequence[dict], width: int, font: ImageFont.FreeTypeFont) -> Image.Image:
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
