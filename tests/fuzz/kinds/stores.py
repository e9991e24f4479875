"""Damaged stores: attributes, arrays' descriptions, chunks and done flags."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from fuzz.damage import damage_bytes, damage_json, damaged_json
from fuzz.judge import Command, command
from fuzz.kinds import scenes

FRAMES = 6
RENDER = ("-n", FRAMES, "--unit", 4, *scenes.SMALL)


def make(folder: Path) -> None:
    """A scene, a store of it whose frames are hashes, and a generator that has learnt nothing."""
    from support.jobs import SMALL, FakeRenderer
    from support.translate_runs import untrained_run

    from translate.settings import TrainSettings
    from ussim.dataset import job
    from ussim.dataset.plan import make_plan
    from ussim.probe.settings import build_settings
    from ussim.scene.scene import Scene

    scenes.make(folder)
    plan = make_plan(Scene.load(folder / "scene"), FRAMES, build_settings(SMALL), unit_frames=4)
    job.run(plan, folder / "data.zarr", make_renderer=FakeRenderer)
    untrained_run(folder / "run", folder / "data.zarr", TrainSettings.make(ngf=4, depth=2, crop=32))


def sound(folder: Path) -> list[Command]:
    return [*_looks(folder), *_uses(folder)]


def damage(rng: random.Random, folder: Path) -> list[Command]:
    store = folder / "data.zarr"
    match rng.choice(
        ["root", "root", "signed", "signed", "signed", "array", "array", "array", "chunk", "chunk", "tree"]
    ):
        case "root":
            damage_json(rng, store / "zarr.json")
        case "signed":
            _sign(rng, store / "zarr.json")
        case "array":
            damage_json(rng, rng.choice(sorted(store.glob("*/zarr.json"))))
        case "chunk":
            damage_bytes(rng, rng.choice(sorted(one for one in store.glob("*/c/**/*") if one.is_file())))
        case "tree":
            _damage_tree(rng, store)
    return _commands(rng, folder)


def _sign(rng: random.Random, path: Path) -> None:
    """Damage what lies behind the digest, which finds all that is not signed again."""
    from ussim.dataset.digests import ATTRIBUTES_DIGEST, attributes_digest

    group = json.loads(path.read_text())
    text = damaged_json(rng, group["attributes"])
    try:
        attributes = json.loads(text)
        attributes[ATTRIBUTES_DIGEST] = attributes_digest(attributes)
        if rng.random() < 0.2:
            attributes["schema_version"] = 1
        group["attributes"] = attributes
        path.write_text(json.dumps(group))
    except Exception:  # it is beyond signing
        path.write_text(json.dumps(group | {"attributes": "@"}).replace('"@"', text))


def _damage_tree(rng: random.Random, store: Path) -> None:
    """Files and folders that are gone, empty, one in another's place, or links."""
    path = rng.choice(sorted(store.rglob("*")))
    match rng.choice(["gone", "empty", "folder", "link", "other"]):
        case "gone":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        case "empty" if path.is_file():
            path.write_bytes(b"")
        case "folder" if path.is_file():
            path.unlink()
            path.mkdir()
        case "link" if path.is_file():
            path.unlink()
            path.symlink_to(rng.choice(["/dev/zero", "/dev/null", str(path), "/nowhere"]))
        case _:
            (path / "stray" if path.is_dir() else path.with_name("stray")).write_bytes(b"x")


def _commands(rng: random.Random, folder: Path) -> list[Command]:
    json_too = rng.random() < 0.5
    looks = [command(one.program, *one.arguments, *(["--json"] if json_too else [])) for one in _looks(folder)]
    return [*looks, rng.choice(_uses(folder))]


def _looks(folder: Path) -> list[Command]:
    return [command("ussim", name, folder / "data.zarr") for name in ("info", "verify")]


def _uses(folder: Path) -> list[Command]:
    store, out = folder / "data.zarr", folder / "out"
    return [
        command("ussim", "preview", store, 0, 5, "-o", out / "sheet.png", "--width", 100),
        command("ussim", "render", folder / "scene", "-o", store, *RENDER, "--resume", "--dry-run"),
        command("translate", "apply", folder / "run", store, "--device", "cpu"),
        command("translate", "apply", folder / "run", store, "-o", out / "pictures", "--device", "cpu"),
    ]
