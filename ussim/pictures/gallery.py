"""A gallery of a scene: every standing plane in high quality beside what it cuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ussim.dataset.job import TGC_POSES
from ussim.dataset.poses import check_poses
from ussim.errors import UssimError
from ussim.files import whole_file
from ussim.names import clean_name, unique_names
from ussim.pictures.drawing import BLACK, INK, LARGEST_SHEET_PX, Axes, colour_table, draw_depths, tissue_legend
from ussim.probe.imaging import Imaging
from ussim.probe.probe import Probe
from ussim.probe.quality import Quality
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

PANEL_PX = 620
JPEG_QUALITY = 85
MARGIN, HEAD = 12, 40


def standing_sweeps(scene: Scene, names: Sequence[str] = ()) -> list[str]:
    """Names of the sweeps to draw: those asked for, or all that hold a single pose.

    Raises:
        UssimError: A name that the scene does not have, or no sweep of a single pose.
    """
    if names:
        return [scene.sweep(name).name for name in names]
    found = [name for name, sweep in scene.sweeps.items() if len(sweep.keys) == 1]
    if not found:
        raise UssimError(f"{scene.name}: no sweep of a single pose to draw; name one with --sweep")
    return found


def save_gallery(
    scene: Scene,
    folder: Path,
    names: Sequence[str] = (),
    probe: Probe | None = None,
    imaging: Imaging | None = None,
    quality: Quality | None = None,
    backend: str = "auto",
    seed: int = 0,
    panel_width: int = PANEL_PX,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Draw planes of a scene, one JPEG file each, named after its sweep as far as a file can be.

    All of them share one gain curve, fitted to the scene's first sweep as for a dataset.

    Args:
        scene: The scene.
        folder: Where the pictures go; made if missing.
        names: Sweeps to draw, their first pose each; none means every sweep of a single pose.
        probe: What scans it.
        imaging: Acoustic and display settings.
        quality: Rays and layers; high quality without.
        backend: ``auto``, ``cpu`` or ``cuda``.
        seed: Seed of the random numbers.
        panel_width: Width of one picture [px].
        progress: Told ``"render"``, how many are drawn and of how many.

    Returns:
        The files.

    Raises:
        UssimError: A name that the scene does not have, a bad pose, or a folder that cannot be written.
    """
    from ussim.probe.quality import HQ

    names = standing_sweeps(scene, names)
    poses = np.concatenate([scene.sweep(name).poses(1) for name in names])
    for name, pose in zip(names, poses, strict=True):
        check_poses(scene, pose[None], sweep=name)
    if not 100 <= panel_width <= LARGEST_SHEET_PX // 2:
        raise UssimError(f"width = {panel_width} is not allowed: from 100 to {LARGEST_SHEET_PX // 2} px a picture")
    _make_folder(folder)
    renderer = Renderer(scene, probe=probe, imaging=imaging, backend=backend, seed=seed)
    renderer.fit_tgc(scene.sweep(None).poses(TGC_POSES))
    files = []
    stems = unique_names([clean_name(name) or "plane" for name in names])  # a sweep may be called ../elsewhere
    for number, (name, pose) in enumerate(zip(names, poses, strict=True)):
        if progress:
            progress("render", number, len(names))
        image = renderer.render(pose[None], quality or HQ, frames=[number])[0]
        labels = renderer.maps(pose[None]).segmentation[0]
        picture = _picture(scene, renderer.probe, name, image, labels, panel_width)
        files.append(_write(picture, folder / f"{stems[number]}.jpg"))
    if progress:
        progress("render", len(names), len(names))
    return files


def _picture(scene: Scene, probe: Probe, name: str, image: np.ndarray, labels: np.ndarray, width: int) -> Image.Image:
    """The B-mode image and the segmentation side by side, a depth scale between them, the tissues below."""
    rows = [{"name": tissue.name, "color": tissue.color} for tissue in scene.media]
    colours = colour_table({index: row["color"] for index, row in enumerate(rows, start=1)})
    scale = width / image.shape[1]
    size = (width, round(image.shape[0] * scale))
    font, title = ImageFont.load_default(14), ImageFont.load_default(18)
    panels = [
        Image.fromarray(pixels)
        .convert("RGB")
        .resize(size, Image.Resampling.LANCZOS if number == 0 else Image.Resampling.BOX)
        for number, pixels in enumerate((image, colours[labels]))
    ]
    present = [rows[index - 1] for index in np.unique(labels) if index]
    foot = tissue_legend(present, 2 * width + 3 * MARGIN, font)
    sheet = Image.new("RGB", (2 * width + 5 * MARGIN, HEAD + size[1] + MARGIN + foot.height + MARGIN), BLACK)
    draw = ImageDraw.Draw(sheet)
    description = scene.sweep(name).description
    draw.text((MARGIN, 10), f"{name}: {description}" if description else name, INK, title)
    for number, panel in enumerate(panels):
        sheet.paste(panel, (MARGIN + number * (width + 3 * MARGIN), HEAD))
    top_mm = probe.image_origin_mm[1] - probe.mm_per_pixel / 2
    axes = Axes(size, (probe.image_origin_mm[0] - probe.mm_per_pixel / 2, top_mm), scale / probe.mm_per_pixel)
    draw_depths(draw, (MARGIN + width, HEAD), axes, font)
    sheet.paste(foot, (MARGIN, HEAD + size[1] + MARGIN))
    return sheet


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UssimError(f"{folder}: cannot make the folder: {error.strerror or error}") from None


def _write(picture: Image.Image, path: Path) -> Path:
    """Write a JPEG file, which appears whole or not at all."""
    with whole_file(path) as scratch:
        picture.save(scratch, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return path
