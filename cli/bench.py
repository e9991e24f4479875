"""``ussim bench``: how fast is this machine?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli.options import PATH, backend_option, json_option
from cli.program import command
from cli.say import say
from cli.show import show_json, show_pairs
from ussim.errors import UssimError
from ussim.files import write_text


@command(example="ussim bench --backend cpu\nussim bench --suite -o bench --generator run")
@click.argument("scene_path", metavar="[SCENE]", type=PATH, required=False)
@backend_option
@json_option
@click.option("--suite", is_flag=True, help="Time all: frames, stages, the live path, writing, and what others do.")
@click.option("--generator", metavar="RUN", type=PATH, help="With --suite: a run folder, to enhance live images.")
@click.option("-o", "--output", metavar="DIR", type=PATH, help="With --suite: write suite.json and suite.md there.")
def bench(
    scene_path: Path | None, backend: str, as_json: bool, suite: bool, generator: Path | None, output: Path | None
) -> None:
    """Measure how fast frames are rendered; without a SCENE, the demo scene is built for it."""
    from tempfile import TemporaryDirectory

    if not suite and (generator is not None or output is not None):
        raise UssimError("--generator and --output belong to --suite")
    with TemporaryDirectory() as folder:
        if scene_path is None:
            import meshes

            scene_path = meshes.build_scene("demo", Path(folder))
        result = _suite(scene_path, backend, generator, output) if suite else _frames(scene_path, backend)
    if as_json:
        show_json(result)
    else:
        show_pairs(_flat(result))


def _frames(scene_path: Path, backend: str) -> dict[str, Any]:
    from ussim.render import bench as benchmark

    return benchmark.run(scene_path, backend=backend)


def _suite(scene_path: Path, backend: str, generator: Path | None, output: Path | None) -> dict[str, Any]:
    from cli.benchmark import suite
    from cli.benchmark.table import markdown
    from ussim.scene.scene import Scene

    result = suite.run(Scene.load(scene_path), backend, generator, say=lambda text: say(f"timing {text}"))
    if output is not None:
        command_line = f"ussim bench --suite --backend {backend}"
        write_text(output / "suite.json", json.dumps(result, indent=1) + "\n")
        write_text(output / "suite.md", markdown(result, command_line))
        say(f"{output / 'suite.md'}")
    return result


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested figures as ``frame_ms.lq.single``."""
    pairs: list[tuple[str, Any]] = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            pairs += _flat(inner, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, inner))
    return pairs
