"""Renders and measures the two beams for docs/beam.md: `python docs/make_beam.py [--detail demo] [--frames 12]`.

Draws three frames of the exam sweep as a pencil and as an aperture sees them, and prints, over frames spread over the
sweep: low against high quality, and seconds a frame of both beams, taking turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from meshes import cached_scene
from translate.evaluation.metrics import psnr, ssim
from ussim.pictures.drawing import picture_grid
from ussim.probe.imaging import Imaging
from ussim.probe.quality import HQ, LQ
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

PICTURE = Path(__file__).parent / "images" / "beam.jpg"
BEAMS = ("pencil", "aperture")
SHOWN = (65, 28, 22)  # of 72 frames of the sweep: a head and limbs, a trunk, a head behind fluid
OF = 72
WIDTH_PX = 460


def renderers(scene: Scene) -> dict[str, Renderer]:
    """One for each beam, with the gain of the sweep."""
    made = {}
    for beam in BEAMS:
        made[beam] = Renderer(scene, imaging=Imaging(beam=beam), backend="cpu")
        made[beam].fit_tgc(scene.sweeps["exam"].poses(16))
    return made


def draw(scene: Scene, made: dict[str, Renderer]) -> None:
    """Pencil and aperture side by side, low and high quality."""
    poses = scene.sweeps["exam"].poses(OF)
    rows = []
    for frame in SHOWN:
        images = [made[beam].render(poses[frame], quality, [frame])[0] for beam in BEAMS for quality in (LQ, HQ)]
        height = round(WIDTH_PX * images[0].shape[0] / images[0].shape[1])
        rows.append([Image.fromarray(image).resize((WIDTH_PX, height), Image.Resampling.LANCZOS) for image in images])
    titles = [f"{beam}, {quality} quality" for beam in BEAMS for quality in ("low", "high")]
    picture_grid(rows, titles).save(PICTURE, quality=85, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


def measure(scene: Scene, made: dict[str, Renderer], count: int) -> None:
    """PSNR and SSIM of low against high quality, seconds a frame."""
    poses = scene.sweeps["exam"].poses(count)
    likeness = {beam: [] for beam in BEAMS}
    seconds = {(beam, quality): [] for beam in BEAMS for quality in (LQ, HQ)}
    for frame, pose in enumerate(poses):
        for beam in BEAMS:
            images = []
            for quality in (LQ, HQ):
                began = time.perf_counter()
                images.append(made[beam].render(pose, quality, [frame])[0])
                seconds[beam, quality].append(time.perf_counter() - began)
            mask = made[beam].probe.mask()
            likeness[beam].append((psnr(*images, mask), 100 * ssim(*images, mask)))
    for beam in BEAMS:
        decibel, percent = np.mean(likeness[beam], axis=0)
        low, high = (1000 * statistics.median(seconds[beam, quality]) for quality in (LQ, HQ))
        print(
            f"{beam}: LQ against HQ {decibel:.1f} dB, SSIM {percent:.0f} %; LQ {low:.0f} ms, HQ {high:.0f} ms a frame"
        )


def main() -> None:
    """Build or take from the cache, draw, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detail", default="demo")
    parser.add_argument("--frames", type=int, default=12)
    options = parser.parse_args()
    scene = Scene.load(cached_scene(options.detail, progress=lambda text: print(text, file=sys.stderr)))
    made = renderers(scene)
    draw(scene, made)
    measure(scene, made, options.frames)


if __name__ == "__main__":
    main()
