"""``ussim``: scenes, rendering, stores and the bench.

Commands import what they need when they run, so that ``ussim --help`` answers at once.
"""

from __future__ import annotations

import click

from cli.bench import bench
from cli.completion import add_completion
from cli.gallery import gallery
from cli.options import CONTEXT_SETTINGS, version_option
from cli.program import Program
from cli.render import render
from cli.scene import scene
from cli.store import info, preview, verify
from cli.view import view


@click.group(
    cls=Program,
    optional={"ray": "ray"},
    context_settings=CONTEXT_SETTINGS,
    example="ussim scene build --detail demo -o scene\nussim render scene -o data.zarr --frames 200",
)
@version_option("ussim")
def main() -> None:
    """Simulated ultrasound: from triangle meshes to paired B-mode images in a Zarr store."""


for _command in (scene, render, view, gallery, preview, verify, info, bench):
    main.add_command(_command)
add_completion(main, "ussim")

if __name__ == "__main__":
    from cli.surroundings import prepare

    prepare()
    main()
