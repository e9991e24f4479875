"""Measures how alike the qualities are: `python docs/compare_qualities.py [--detail demo] [--frames 12]`.

Prints, over frames spread over the exam sweep, low against high quality and the seconds a frame takes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from meshes import cached_scene
from translate.evaluation.metrics import psnr, ssim
from ussim.probe.quality import HQ, LQ
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene


def main() -> None:
    """Build the scene or take it from the cache, fit the gain, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detail", default="demo")
    parser.add_argument("--frames", type=int, default=12)
    options = parser.parse_args()
    scene = Scene.load(cached_scene(options.detail, progress=lambda text: print(text, file=sys.stderr)))
    sweep = scene.sweeps["exam"]
    renderer = Renderer(scene, backend="cpu")
    renderer.fit_tgc(sweep.poses(16))
    mask = renderer.probe.mask()
    likeness, seconds = [], {LQ: [], HQ: []}
    for frame, pose in enumerate(sweep.poses(options.frames)):
        images = []
        for quality in (LQ, HQ):
            began = time.perf_counter()
            images.append(renderer.render(pose, quality, [frame])[0])
            seconds[quality].append(time.perf_counter() - began)
        likeness.append((psnr(*images, mask), 100 * ssim(*images, mask)))
    decibel, percent = np.mean(likeness, axis=0)
    low, high = (1000 * statistics.median(seconds[quality]) for quality in (LQ, HQ))
    print(f"LQ against HQ {decibel:.1f} dB, SSIM {percent:.0f} %; LQ {low:.0f} ms, HQ {high:.0f} ms a frame")


if __name__ == "__main__":
    main()
