"""A contact sheet of a dataset: for some frames LQ, HQ, segmentation and attenuation side by side, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ussim.dataset.store import Dataset, Frame
from ussim.errors import UssimError
from ussim.files import whole_file
from ussim.pictures.drawing import (
    BLACK,
    INK,
    LARGEST_SHEET_PX,
    Axes,
    colour_table,
    draw_axes,
    draw_grey_bar,
    tissue_legend,
)

DEFAULT_FRAMES = 4
LEFT, RIGHT, GAP = 62, 70, 30


@dataclass(frozen=True)
class _Panel:
    """One picture and its heading."""

    title: str
    picture: Image.Image
    bar: bool = False


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
    heading = f"{dataset.place.name}: {header.scene.name}, sweep {header.sweep}, {header.frames} frames"
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
            draw_axes(draw, corner, axes, font, labelled=column == 0)
            if panel.bar:
                draw_grey_bar(sheet, draw, (corner[0] + axes.size[0] + 14, corner[1]), axes.size[1] // 2, font)
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


def _axes(dataset: Dataset, panel_width: int) -> Axes:
    image = dataset.header.image
    px_per_mm = panel_width / (image.width * image.mm_per_pixel)
    half = image.mm_per_pixel / 2  # origin_mm is the centre of a pixel, a panel starts at its corner
    return Axes(
        size=(panel_width, max(1, round(image.height * image.mm_per_pixel * px_per_mm))),
        origin_mm=(image.origin_mm[0] - half, image.origin_mm[1] - half),
        px_per_mm=px_per_mm,
    )


# Pictures ---------------------------------------------------------------------------------------------


def _panels(frame: Frame, dataset: Dataset, axes: Axes) -> list[_Panel]:
    panels = []
    settings = {str(name): quality for name, quality in dataset.header.qualities.items()}
    for name in dataset.qualities:
        rays, layers = (_counted(settings[name][key], key) for key in ("rays", "layers"))
        panels.append(_Panel(f"{name.upper()} ({rays}, {layers})", _fit(frame.images[name], axes)))
    colours = palette(dataset)[frame.segmentation]
    panels.append(_Panel("segmentation", _fit(colours, axes)))
    grey = np.clip(frame.attenuation * 255 + 0.5, 0, 255).astype(np.uint8)
    panels.append(_Panel("attenuation a(z), normalised", _fit(grey, axes), bar=True))
    return panels


def palette(dataset: Dataset) -> np.ndarray:
    """Colour of each segmentation id, uint8 of shape (256, 3)."""
    return colour_table({row["id"]: row["color"] for row in dataset.header.tissues})


def _fit(pixels: np.ndarray, axes: Axes) -> Image.Image:
    """A picture of the size of a panel; an average of pixels when it shrinks, plain pixels when it grows."""
    picture = Image.fromarray(pixels).convert("RGB")
    method = Image.Resampling.BOX if picture.width > axes.size[0] else Image.Resampling.NEAREST
    return picture.resize(axes.size, method)


def _counted(number: int, plural: str) -> str:
    return f"{number} {plural if number != 1 else plural[:-1]}"


def _tissues_in(frames: Sequence[Frame], dataset: Dataset) -> list[dict]:
    """Rows of the tissue table that occur in frames, outside the sector left out."""
    present = set().union(*(np.unique(frame.segmentation).tolist() for frame in frames))
    return [row for row in dataset.header.tissues if row["id"] in present and row["id"] != 0]
