"""``ussim bench``: how fast is this machine?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import PATH, backend_option, json_option
from cli.program import command
from cli.show import show_json, show_pairs


@command(example="ussim bench --backend cpu")
@click.argument("scene_path", metavar="[SCENE]", type=PATH, required=False)
@backend_option
@json_option
def bench(scene_path: Path | None, backend: str, as_json: bool) -> None:
    """Measure how fast frames are rendered; without a SCENE, the demo scene is built for it."""
    from tempfile import TemporaryDirectory

    from ussim.render import bench as benchmark

    if scene_path is not None:
        result = benchmark.run(scene_path, backend=backend)
    else:
        import meshes

        with TemporaryDirectory() as folder:
            result = benchmark.run(meshes.build_scene("demo", Path(folder)), backend=backend)
    if as_json:
        show_json(result)
    else:
        show_pairs(_flat(result))


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested figures as ``frame_ms.lq.single``."""
    pairs: list[tuple[str, Any]] = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            pairs += _flat(inner, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, inner))
    return pairs
