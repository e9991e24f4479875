"""What the page shows of a picture: grey images with a scale in mm, tissues in colour, callipers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cli.viewer.callipers import Measured
from cli.viewer.engine import Picture
from ussim.pictures.drawing import colour_table, nice_step
from ussim.probe.probe import Probe

LOW, ENHANCED, HIGH, TISSUES, ATTENUATION, DIFFERENCE = KINDS = (
    "low quality", "enhanced", "high quality", "tissues", "attenuation", "difference to high quality",
)  # fmt: skip
MARGIN_PX = 34
"""To the right of an image, for its depths."""
_FAINT, _MARK = (150, 150, 150), (255, 214, 0)


@dataclass(frozen=True, eq=False)
class Palette:
    """Colours of the tissues of a scene.

    Attributes:
        names: By the number in a segmentation.
        colours: (256, 3) uint8.
    """

    names: dict[int, str]
    colours: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[dict]) -> Palette:
        """Of a tissue table."""
        named = {row["id"]: row["name"].replace("_", " ") for row in rows if row["id"] > 0}
        return cls(named, colour_table({row["id"]: row["color"] for row in rows}))

    def legend(self, labels: np.ndarray | None) -> str:
        """HTML of what a segmentation shows, most frequent first."""
        if labels is None:
            return ""
        counts = np.bincount(labels.ravel(), minlength=256)
        shown = [number for number in np.argsort(-counts) if counts[number] and number in self.names]
        squares = (
            f'<span style="white-space:nowrap;margin-right:0.8em"><span style="display:inline-block;width:0.8em;'
            f'height:0.8em;border:1px solid #888;background:rgb({",".join(map(str, self.colours[number]))})"></span> '
            f"{self.names[number]}</span>"
            for number in shown
        )
        return f'<div style="line-height:1.5;padding:0 0.5em">{" ".join(squares)}</div>'


def image_of(picture: Picture, kind: str, palette: Palette) -> np.ndarray | None:
    """An image of a picture, (H, W) or (H, W, 3) uint8; None if it was not made."""
    if kind == LOW:
        return picture.lq
    if kind == ENHANCED:
        return picture.enhanced
    if kind == HIGH:
        return picture.hq
    if kind == TISSUES:
        return None if picture.segmentation is None else palette.colours[picture.segmentation]
    if kind == ATTENUATION:
        if picture.attenuation is None:
            return None
        return (255 * np.clip(picture.attenuation.astype(np.float32), 0, 1)).astype(np.uint8)
    if picture.hq is None:
        return None
    best = picture.lq if picture.enhanced is None else picture.enhanced
    return np.abs(best.astype(np.int16) - picture.hq).astype(np.uint8)


def framed(image: np.ndarray, probe: Probe, measured: Sequence[Measured] = (), title: str = "") -> np.ndarray:
    """An image with its depths beside it, and callipers on it; (H, W + margin, 3) uint8."""
    height, width = image.shape[:2]
    sheet = np.zeros((height, width + MARGIN_PX, 3), np.uint8)
    sheet[:, :width] = image if image.ndim == 3 else image[..., None]
    marks, where = _scale(probe)
    sheet[where] = marks[where]
    if not (measured or title):
        return sheet
    drawn = Image.fromarray(sheet)
    draw = ImageDraw.Draw(drawn)
    if title:
        draw.text((6, 4), title, _FAINT, ImageFont.load_default(13))
    for number, one in enumerate(measured, start=1):
        _draw_measured(draw, one, probe, str(number))
    return np.asarray(drawn)


@lru_cache(maxsize=16)
def _scale(probe: Probe) -> tuple[np.ndarray, np.ndarray]:
    """Depth marks on black, and where they are."""
    height, width = probe.image_shape
    sheet = Image.new("RGB", (width + MARGIN_PX, height))
    draw = ImageDraw.Draw(sheet)
    (_, z0), side = probe.image_origin_mm, probe.mm_per_pixel
    step = nice_step(45 * side)
    for mm in np.arange(0, probe.depth_mm + 1e-6, step):
        row = (mm - z0) / side
        draw.line([(width, row), (width + 5, row)], _FAINT)
        draw.text((width + 8, row), f"{mm:g}", _FAINT, ImageFont.load_default(11), anchor="lm")
    focus = (probe.focus_mm - z0) / side
    draw.polygon([(width - 1, focus), (width - 8, focus - 5), (width - 8, focus + 5)], fill=_MARK)
    marks = np.asarray(sheet)
    return marks, marks.any(axis=2)


def to_pixel(probe: Probe, point_mm: Sequence[float]) -> tuple[float, float]:
    """(column, row) of a point (x, z) of the image plane."""
    (x0, z0), side = probe.image_origin_mm, probe.mm_per_pixel
    return (point_mm[0] - x0) / side, (point_mm[1] - z0) / side


def _draw_measured(draw: ImageDraw.ImageDraw, one: Measured, probe: Probe, name: str) -> None:
    points = [to_pixel(probe, point) for point in one.points_mm]
    for x, y in points:
        draw.line([(x - 5, y), (x + 5, y)], _MARK)
        draw.line([(x, y - 5), (x, y + 5)], _MARK)
    outline = [to_pixel(probe, point) for point in one.outline_mm()]
    draw.line(outline, _MARK, width=1)
    draw.text((points[0][0] + 8, points[0][1] - 14), name, _MARK, ImageFont.load_default(12))


def texture(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image of the plane in 3-D, (H, W, 4) uint8, clear outside of the sector."""
    grey = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return np.concatenate([grey, 255 * mask[..., None].astype(np.uint8)], axis=2)[::2, ::2]
