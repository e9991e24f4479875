"""Damaged folders of pipelines."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from fuzz.damage import damage_bytes, damage_json
from fuzz.judge import Command, command
from fuzz.kinds import scenes
from fuzz.values import word

SETTINGS = {
    "render.frames": 20, "render.size": "40x52", "render.unit": 10, "probe.scanlines": 16, "probe.axial_samples": 64,
    "hq.rays": 2, "hq.layers": 1, "train.init": "random", "train.variants": "LM", "train.ngf": 4, "train.ndf": 4,
    "train.depth": 2,
    "train.crop": 32, "train.batch": 2, "train.iterations": 1, "evaluate.crops": 1, "evaluate.crop": 32,
}  # fmt: skip


def make(folder: Path) -> None:
    """A pipeline that is finished."""
    from support.pipelines import pipeline

    scenes.make(folder)
    given = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    result = pipeline("run", folder / "scene", "-o", folder / "whole", *given, "--backend", "cpu", "--device", "cpu")
    if result.exit_code:
        raise RuntimeError(result.output)


def sound(folder: Path) -> list[Command]:
    _move_scene(folder)
    return [command("ussim-pipeline", "run", "-o", folder / "whole", "--dry-run")]


def _move_scene(folder: Path) -> None:
    """Name the scene where it lies now: the pipeline remembers where it lay when it was made."""
    settings = folder / "whole" / "pipeline.json"
    text = settings.read_text()
    before = text.partition('"scene_path": "')[2].partition('"')[0]
    settings.write_text(text.replace(before, str(folder / "scene")))


def damage(rng: random.Random, folder: Path) -> list[Command]:
    whole = folder / "whole"
    settings = whole / "pipeline.json"
    _move_scene(folder)
    records = sorted((whole / "steps").glob("*.json"))
    match rng.choice(["settings", "settings", "record", "record", "record", "file", "tree"]):
        case "settings":
            damage_json(rng, settings)
        case "record":
            damage_json(rng, rng.choice(records))
        case "file":
            files = [one for one in sorted(whole.rglob("*")) if one.is_file() and "dataset.zarr" not in one.parts]
            path = rng.choice(files)
            damage_json(rng, path) if path.suffix == ".json" else damage_bytes(rng, path)
        case "tree":
            _damage_tree(rng, rng.choice([settings, whole / "steps", *records, whole / "runs", whole / "evaluation"]))
    assigned = [f"--set=train.seed={word(rng)}"] if rng.random() < 0.1 else []
    start = (
        ["--from", rng.choice(["scene", "render", "train", "evaluate", "apply", "report"])]
        if rng.random() < 0.1
        else []
    )
    commands = [command("ussim-pipeline", "run", "-o", whole, *assigned, *start, "--dry-run")]
    if rng.random() < 0.05:
        commands.append(command("ussim-pipeline", "run", "-o", whole, "--from", "report", "--resume"))
    return commands


def _damage_tree(rng: random.Random, path: Path) -> None:
    """It is gone, or another kind of thing."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    match rng.randrange(4):
        case 0:
            path.mkdir()
        case 1:
            path.write_bytes(rng.choice([b"", b"\xff\xfe", b"{}", b"null"]))
        case 2:
            path.symlink_to(rng.choice(["/dev/zero", "/dev/null", str(path), "/nowhere"]))
