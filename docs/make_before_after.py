"""Makes the figure of docs/physics.md that shows three frames before and after the aperture.

    python docs/make_before_after.py

Before, a scanline was a pencil, which today's code cannot draw. So its frames are kept in docs/images/before, as
version 0.1.0 draws them. To make them anew from the same meshes, with the last commit that had the pencil:

    git worktree add ../pencil 574e678
    PYTHONPATH=../pencil python docs/make_before_after.py --before SCENE.toml    # the scene that the figure names
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.append(str(DOCS.parent))  # last, so that PYTHONPATH may put another version first

from PIL import Image

from ussim.pictures.drawing import picture_grid
from ussim.probe.quality import HQ, LQ
from ussim.render.renderer import Renderer
from ussim.scene.scene import Scene

PICTURE, BEFORE = DOCS / "images" / "beam.jpg", DOCS / "images" / "before"
SHOWN = (65, 28, 22)  # of 72 frames of the exam sweep: a head and limbs, a trunk, a head behind fluid
OF = 72
WIDTH_PX = 500
QUALITIES = {"low": LQ, "high": HQ}


def frames(scene: Scene) -> dict[tuple[int, str], Image.Image]:
    """The frames at both qualities, WIDTH_PX wide, as the version of ussim that was imported draws them."""
    sweep = scene.sweeps["exam"]
    renderer = Renderer(scene, backend="cpu")
    renderer.fit_tgc(sweep.poses(16))
    poses, drawn = sweep.poses(OF), {}
    for frame in SHOWN:
        for name, quality in QUALITIES.items():
            image = Image.fromarray(renderer.render(poses[frame], quality, [frame])[0])
            size = WIDTH_PX, round(WIDTH_PX * image.height / image.width)
            drawn[frame, name] = image.resize(size, Image.Resampling.LANCZOS)
    return drawn


def before_file(frame: int, quality: str) -> Path:
    """Where a frame of the pencil is kept."""
    return BEFORE / f"{frame}_{quality}.png"


def main() -> None:
    """Draw the frames; keep them, or put them beside those that are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, metavar="SCENE", help="keep the frames of this scene as those before")
    options = parser.parse_args()
    if options.before:
        BEFORE.mkdir(exist_ok=True)
        for (frame, quality), image in frames(Scene.load(options.before)).items():
            image.save(before_file(frame, quality), optimize=True)
        return
    from meshes import cached_scene

    path = cached_scene("demo", progress=lambda text: print(text, file=sys.stderr))
    after = frames(Scene.load(path))
    rows = [
        [Image.open(before_file(frame, quality)) for quality in QUALITIES] + [after[frame, name] for name in QUALITIES]
        for frame in SHOWN
    ]
    titles = [f"{beam}, {quality} quality" for beam in ("pencil", "aperture") for quality in QUALITIES]
    picture_grid(rows, titles).save(PICTURE, quality=85, optimize=True)
    print(f"{path}: {PICTURE}, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
