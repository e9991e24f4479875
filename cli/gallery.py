"""``ussim gallery``: pictures of a scene's standard planes."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import PATH, backend_option, output_option, seed_option, set_option
from cli.program import command
from cli.progress import Reporter


@command(example="ussim gallery scene -o pictures --sweep four_chamber")
@click.argument("scene_path", metavar="SCENE", type=PATH)
@output_option("Folder for the pictures.", "DIR")
@click.option("--sweep", "sweeps", multiple=True, help="Sweep to draw; again for more.  [default: all of one pose]")
@seed_option("all random numbers")
@backend_option
@click.option("--width", type=click.IntRange(100, 4000), default=620, show_default=True, help="Pixels a picture.")
@set_option("Change a setting of probe, imaging or hq, as in probe.depth_mm=120 or hq.preset=reference.")
def gallery(
    scene_path: Path,
    output: Path,
    sweeps: tuple[str, ...],
    seed: int,
    backend: str,
    width: int,
    assignments: tuple[str, ...],
) -> None:
    """Draw the standard planes of a SCENE: each in high quality beside its segmentation, one JPEG file each."""
    from ussim.pictures.gallery import save_gallery
    from ussim.probe.settings import build_settings
    from ussim.scene.scene import Scene

    settings = build_settings(assignments, ["hq"], None)
    with Reporter({"render": "drawn"}) as progress:
        files = save_gallery(
            Scene.load(scene_path), output, sweeps, settings.probe, settings.imaging, settings.qualities["hq"],
            backend, seed, width, progress,
        )  # fmt: skip
    click.echo(f"wrote {len(files)} pictures to {output}")
