"""Renders the pictures of docs/anatomy.md: `python docs/make_gallery.py [--detail paper] [-o docs/images/anatomy]`.

Three anatomies of 22 weeks: with the fetus on its side, with its back and with its face to the front of the mother.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from meshes import cached_scene
from ussim.pictures.gallery import save_gallery
from ussim.probe.probe import ConvexProbe
from ussim.scene.scene import Scene

PLANES = {
    0: ("transthalamic", "transcerebellar", "abdominal_circumference", "femur", "spine_coronal"),
    13: ("four_chamber", "spine_sagittal"),
    5: ("facial_profile", "placenta"),
}
# what a sonographer would set for 40–80 mm; otherwise the defaults
PROBE = ConvexProbe(depth_mm=115, focus_mm=60, elevation_focus_mm=55)


def main() -> None:
    """Build or take from the cache, render, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detail", default="paper")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images" / "anatomy")
    options = parser.parse_args()
    for seed, names in PLANES.items():
        scene = Scene.load(cached_scene(options.detail, seed, progress=lambda text: print(text, file=sys.stderr)))
        for path in save_gallery(scene, options.output, names, PROBE, backend=options.backend):
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
