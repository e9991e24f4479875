"""Pictures of the report as data URIs: frames of the dataset, error maps, stills of the scene."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr
from PIL import Image

from cli.pipeline import ENHANCED
from cli.pipeline.context import Context
from ussim.dataset.store import Dataset, Frame
from ussim.files import whole_file
from ussim.pictures.contact_sheet import palette
from ussim.pictures.cutaway import Standing, draw_still
from ussim.pictures.drawing import picture_grid
from ussim.scene.scene import Scene

SHOWN_FRAMES = 4
WIDEST_PX = 620
OVERVIEW_PX = 360
ERROR_RANGE_GREY = 96
"""Difference that is drawn as the brightest colour [grey levels]."""


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        title: What it shows.
        uri: The file itself.
        width, height: Its size [px].
    """

    title: str
    uri: str = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True)
class Row:
    """All pictures of one frame.

    Attributes:
        frame: Its number.
        gain_db: PSNR of the enhanced image less that of the low-quality one, inside the sector [dB].
        pictures: Low quality, enhanced, high quality, segmentation, attenuation and two error maps.
    """

    frame: int
    gain_db: float
    pictures: list[Picture]


def encode(image: np.ndarray | Image.Image, title: str, kind: str = "JPEG", width: int = WIDEST_PX) -> Picture:
    """A picture no wider than needed: JPEG for photographs and speckle, PNG for flat colours."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if picture.width > width:
        method = Image.Resampling.LANCZOS if kind == "JPEG" else Image.Resampling.NEAREST
        picture = picture.resize((width, round(picture.height * width / picture.width)), method)
    data = io.BytesIO()
    if kind == "PNG":
        picture.quantize(64).save(data, "PNG", optimize=True)
    else:
        picture.convert("RGB" if picture.mode == "RGB" else "L").save(data, "JPEG", quality=86)
    text = base64.b64encode(data.getvalue()).decode()
    return Picture(title, f"data:image/{kind.lower()};base64,{text}", picture.width, picture.height)


def frame_rows(context: Context, dataset: Dataset) -> list[Row]:
    """Frames that were held out: the typical one first, then others from the least to the greatest gain."""
    enhanced = zarr.open_array(context.store / ENHANCED, mode="r")
    numbers = context.shown_frames(dataset)
    gains = np.array([_gain_db(dataset.frame(int(n)), np.asarray(enhanced[int(n)])) for n in numbers])
    order = np.argsort(gains, kind="stable")
    count = min(SHOWN_FRAMES, len(order))
    middle = len(order) // 2
    others = [place for place in np.linspace(0, len(order) - 1, count).round().astype(int) if place != middle]
    chosen = order[[middle, *others[: count - 1]]]
    colours = palette(dataset)
    return [
        _row(dataset.frame(int(numbers[i])), np.asarray(enhanced[int(numbers[i])]), float(gains[i]), colours)
        for i in chosen
    ]


def _row(frame: Frame, enhanced: np.ndarray, gain_db: float, colours: np.ndarray) -> Row:
    pictures = [
        encode(frame.lq, "low quality"),
        encode(enhanced, "enhanced"),
        encode(frame.hq, "high quality"),
        encode(colours[frame.segmentation], "segmentation", "PNG"),
        encode(_attenuation(frame), "attenuation"),
        encode(_error_map(frame.lq, frame.hq), "error of low quality"),
        encode(_error_map(enhanced, frame.hq), "error of enhanced"),
    ]
    return Row(frame.index, gain_db, pictures)


def _attenuation(frame: Frame) -> np.ndarray:
    """Its attenuation as grey levels, uint8 of shape (H, W)."""
    return np.clip(frame.attenuation * 255 + 0.5, 0, 255).astype(np.uint8)


def _gain_db(frame: Frame, enhanced: np.ndarray) -> float:
    inside = frame.mask > 0
    target = frame.hq[inside].astype(np.float64)
    low, better = (np.mean((image[inside] - target) ** 2) for image in (frame.lq, enhanced))
    return float(10 * np.log10(max(low, 1e-9) / max(better, 1e-9)))


def _error_map(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Absolute difference in false colours, uint8 of shape (H, W, 3)."""
    from matplotlib import colormaps

    difference = np.abs(image.astype(np.float32) - target) / ERROR_RANGE_GREY
    return (colormaps["inferno"](np.clip(difference, 0, 1))[..., :3] * 255).astype(np.uint8)


def save_overview(context: Context, dataset: Dataset, numbers: Sequence[int]) -> Path:
    """Draw frames as one JPEG, ``overview.jpg``: low quality, enhanced, high quality, segmentation and attenuation.

    Raises:
        UssimError: It cannot be written.
    """
    enhanced, colours = zarr.open_array(context.store / ENHANCED, mode="r"), palette(dataset)
    titles = ("low quality", "enhanced", "high quality", "segmentation", "attenuation")
    height = round(OVERVIEW_PX * dataset.header.image.height / dataset.header.image.width)

    def panel(image: np.ndarray) -> Image.Image:
        method = Image.Resampling.BOX if image.ndim == 3 else Image.Resampling.LANCZOS
        return Image.fromarray(image).resize((OVERVIEW_PX, height), method)

    rows = []
    for number in numbers:
        frame = dataset.frame(number)
        images = (frame.lq, np.asarray(enhanced[number]), frame.hq, colours[frame.segmentation], _attenuation(frame))
        rows.append([panel(image) for image in images])
    sheet = picture_grid(rows, titles, [f"frame {number}" for number in numbers])
    path = context.folder / "overview.jpg"
    with whole_file(path) as scratch:
        sheet.save(scratch, "JPEG", quality=86)
    return path


def scene_stills(scene: Scene, dataset: Dataset, number: int) -> list[Picture]:
    """The scene whole, and cut open where a frame was taken."""
    frame, image = dataset.frame(number), dataset.header.image
    standing = Standing(frame.hq, frame.mask, frame.pose, image.origin_mm, image.mm_per_pixel)
    return [
        encode(draw_still(scene, standing), "the scene and the image plane"),
        encode(draw_still(scene, standing, cut=True, turn_deg=28), "cut open along the image plane"),
    ]
