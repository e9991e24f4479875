"""Damaged run folders."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from typing import Any

from fuzz.damage import damage_bytes, damage_json, damage_text
from fuzz.judge import Command, command
from fuzz.values import value

FILES = [
    "settings.json", "settings.json", "settings.json", "log.jsonl", "log.jsonl", "mask.png", "environment.json",
    "checkpoint_last.pt", "checkpoint_last.pt", "checkpoint_last.pt", "generator.safetensors", "generator.safetensors",
]  # fmt: skip


def make(folder: Path) -> None:
    """A store and a run trained on it for two updates."""
    from support.translate_store import make_store

    from translate.settings import TrainSettings
    from translate.training.loop import train

    store = make_store(folder / "data.zarr", frames=12, size=(40, 52))
    small = {
        "ngf": 4,
        "ndf": 4,
        "depth": 2,
        "crop": 32,
        "batch": 2,
        "iterations": 2,
        "checkpoint_every": 2,
        "log_every": 1,
    }
    train(TrainSettings.make(**small), store, folder / "run", device="cpu")


def sound(folder: Path) -> list[Command]:
    run, store = folder / "run", folder / "data.zarr"
    return [
        command("translate", "train", store, "-o", run, "--resume", "--iterations", 3, "--device", "cpu"),
        command("translate", "evaluate", run, store, "-o", folder / "out" / "report", "--crops", 1, "--crop", 32),
    ]


def damage(rng: random.Random, folder: Path) -> list[Command]:
    run = folder / "run"
    path = run / rng.choice(FILES)
    match path.name:
        case "settings.json" | "environment.json":
            damage_json(rng, path)
        case "log.jsonl":
            _damage_log(rng, path)
        case "mask.png":
            path.write_bytes(bomb(rng)) if rng.random() < 0.3 else damage_bytes(rng, path)
        case "checkpoint_last.pt" if rng.random() < 0.75:
            _damage_state(rng, path)
        case _:
            damage_bytes(rng, path)
    store, out = folder / "data.zarr", folder / "out"
    resume = command("translate", "train", store, "-o", run, "--resume", "--iterations", 3, "--device", "cpu")
    apply = command("translate", "apply", run, store, "-o", out / "pictures", "--device", "cpu", "--split", "test")
    if path.name == "checkpoint_last.pt":
        return [command(apply.program, *apply.arguments, "--checkpoint", "last") if rng.random() < 0.4 else resume]
    if path.name in ("log.jsonl", "environment.json"):
        return [resume]
    evaluate = command("translate", "evaluate", run, store, "-o", out / "report", "--crops", 1, "--crop", 32)
    export = command("translate", "export", run, "--format", "safetensors", "-o", out / "a.safetensors")
    return [rng.choice([apply, apply, apply, export, export, resume, evaluate])]


def bomb(rng: random.Random) -> bytes:
    """A PNG that says, or has, very many pixels."""
    side = rng.choice([0, 1, 10_000, 20_000, 2**31 - 1])
    rows = zlib.compress(bytes((side // 8 + 1) * side), 1) if side <= 20_000 else b""
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _damage_log(rng: random.Random, path: Path) -> None:
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[at] = value(rng)
        case 1:
            key, colon, rest = lines[at].partition(": ")
            lines[at] = key + colon + value(rng) + rest[rest.find(",") :]
        case 2:
            lines[at] = "{" + f'"iteration": {value(rng)}, "l1": {value(rng)}, "seconds": {value(rng)}' + "}"
        case _:
            damage_text(rng, path)
            return
    path.write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogatepass")


def _damage_state(rng: random.Random, path: Path) -> None:
    """A checkpoint whose tree has other values, types and shapes."""
    import torch

    state = torch.load(path, weights_only=True)
    others = [None, True, -1, 0, 10**30, float("nan"), float("inf"), "x", [], {}, [1], {"x": 1}, torch.zeros(3),
              torch.zeros(0), torch.full((2, 2), float("nan")), torch.zeros(4, dtype=torch.int64)]  # fmt: skip
    places = list(_places(state))
    if rng.random() < 0.1:
        state = rng.choice(others)
    else:
        # Few places are at the top, thousands below: both count.
        top = [place for place in places if place[0] is state]
        parent, key = rng.choice(top if rng.random() < 0.4 else places)
        match rng.randrange(5):
            case 0:
                del parent[key]
            case 1 if isinstance(parent[key], torch.Tensor):
                parent[key] = rng.choice([parent[key].double(), parent[key].to(torch.uint8), parent[key].flatten()[:1],
                                          parent[key][None], parent[key] * float("nan")])  # fmt: skip
            case 2 if isinstance(parent, dict):
                parent[f"{key}x"] = parent.pop(key)
            case _:
                parent[key] = rng.choice(others)
    torch.save(state, path)


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in items:
        yield tree, key
        yield from _places(below)
