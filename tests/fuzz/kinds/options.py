"""Mistyped options."""

from __future__ import annotations

import random
from pathlib import Path

from fuzz.judge import Command, command
from fuzz.kinds import runs, scenes
from fuzz.values import word

RENDER_KEYS = [
    "probe.kind", "probe.depth_mm", "probe.scanlines", "probe.image_height", "probe.image_width", "probe.focus_mm",
    "probe.width_mm", "probe.radius_mm", "probe.axial_samples", "probe.frequency_mhz", "probe.bandwidth",
    "probe.aperture_mm", "probe.f_number", "probe.apodisation", "probe.elevation_aperture_mm",
    "probe.elevation_focus_mm", "probe.field_of_view_deg", "imaging.dynamic_range_db", "imaging.noise_db",
    "imaging.scatter_pitch_mm", "imaging.max_segments", "imaging.attenuation_scale", "lq.rays", "hq.rays", "hq.layers",
    "hq.preset",
]  # fmt: skip
TRAIN_KEYS = [
    "inputs", "model", "ngf", "ndf", "depth", "crop", "batch", "norm", "residual", "iterations", "learning_rate",
    "seed", "ema", "split", "precision", "compile", "log_every", "checkpoint_every", "preview_every", "polar",
    "augment", "l1", "threads", "workers",
]  # fmt: skip
PIPELINE_KEYS = [
    "scene.detail", "scene.seed", "scene.weeks", "scene.count", "render.frames", "render.size", "render.sweep",
    "render.unit", "render.seed", "train.variants", "train.init", "evaluate.crop", "evaluate.crops", "evaluate.images",
    "evaluate.seed", "apply.split", *(f"train.{key}" for key in TRAIN_KEYS), *RENDER_KEYS,
]  # fmt: skip
NUMBERS = [
    "-1",
    "0",
    "1",
    "2",
    "31",
    "64",
    "100000",
    "1000000",
    "10000000",
    "1000000000000",
    "9" * 30,
    "7" * 5000,
    "-0",
]
DEVICES = ["cpu", "cpu:1", "cpu:-1", "cuda", "cuda:99", "cuda:x", "meta", "mps", "", "x" * 3000]


def make(folder: Path) -> None:
    """A scene, a store, and a run trained on it."""
    scenes.make(folder)
    runs.make(folder)


def sound(folder: Path) -> list[Command]:
    out = folder / "out"
    return [
        *scenes.sound(folder),
        command("translate", "apply", folder / "run", folder / "data.zarr", "-o", out / "pictures", "--device", "cpu"),
        command("ussim-pipeline", "run", folder / "scene", "-o", out / "pipeline", "--dry-run"),
    ]


def damage(rng: random.Random, folder: Path) -> list[Command]:
    kind = rng.choice(["render", "render", "render", "render", "settings", "settings", "pipeline", "pipeline", "work"])
    if kind == "render":
        return [_render(rng, folder)]
    if kind == "settings":
        assigned = [f"--set={_key(rng, TRAIN_KEYS)}={word(rng)}" for _ in range(rng.choice([1, 1, 2, 3]))]
        return [
            command("translate", "train", folder / "data.zarr", "-o", folder / "out" / "run", *assigned, "--settings")
        ]
    if kind == "pipeline":
        assigned = [f"--set={_key(rng, PIPELINE_KEYS)}={word(rng)}" for _ in range(rng.choice([1, 1, 2, 3]))]
        where = [folder / "scene"] if rng.random() < 0.5 else []
        preset = ["--preset", rng.choice(["demo", "demo", "small", "paper", word(rng)])]
        return [command("ussim-pipeline", "run", *where, "-o", folder / "out" / "p", *preset, *assigned, "--dry-run")]
    return [rng.choice([_train, _evaluate, _apply])(rng, folder)]


def _key(rng: random.Random, keys: list[str]) -> str:
    return rng.choice(keys) if rng.random() < 0.95 else word(rng)


def _number(rng: random.Random) -> str:
    return rng.choice(NUMBERS) if rng.random() < 0.8 else word(rng)


def _render(rng: random.Random, folder: Path) -> Command:
    given = {"-n": "12"}
    for _ in range(rng.choice([1, 1, 2, 3])):
        option = rng.choice(["-n", "--size", "--shard", "--seed", "--unit", "--sweep", "--quality", "--backend", "set"])
        match option:
            case "--size":
                given[option] = rng.choice([f"{_number(rng)}x{_number(rng)}", "8192x8192", "16x16", word(rng)])
            case "--shard":
                given[option] = rng.choice([f"{_number(rng)}/{_number(rng)}", word(rng)])
            case "-n" | "--seed" | "--unit":
                given[option] = _number(rng)
            case "set":
                pass
            case _:
                given[option] = word(rng)
    assigned = [f"--set={_key(rng, RENDER_KEYS)}={word(rng)}" for _ in range(rng.choice([0, 1, 1, 2, 3, 5]))]
    pairs = [part for pair in given.items() for part in pair]
    return command(
        "ussim", "render", folder / "scene", "-o", folder / "out" / "a.zarr", *pairs, *assigned, "--dry-run",
        *rng.choice([(), ("--json",)]),
    )  # fmt: skip


def _train(rng: random.Random, folder: Path) -> Command:
    small = {"--ngf": "4", "--crop": "32", "--batch": "2", "--iterations": "1", "--seed": "0", "--device": "cpu"}
    one = rng.choice(["--crop", "--seed", "--device", "--inputs", "--ngf", "--batch"])
    small[one] = rng.choice(DEVICES) if one == "--device" else rng.choice(["-1", "0", "9" * 30, "31", word(rng)])
    pairs = [part for pair in small.items() for part in pair]
    return command("translate", "train", folder / "data.zarr", "-o", folder / "out" / "run", *pairs, "--set=depth=2")


def _evaluate(rng: random.Random, folder: Path) -> Command:
    small = {"--crops": "1", "--crop": "32", "--images": "1", "--seed": "0", "--device": "cpu"}
    one = rng.choice(list(small))
    small[one] = rng.choice(DEVICES) if one == "--device" else _number(rng)
    pairs = [part for pair in small.items() for part in pair]
    return command(
        "translate", "evaluate", folder / "run", folder / "data.zarr", "-o", folder / "out" / "report", *pairs
    )


def _apply(rng: random.Random, folder: Path) -> Command:
    small = {"--split": "test", "--device": "cpu"}
    one = rng.choice(["--device", "--name", "--checkpoint", "--mask", "--segmentation", "--split"])
    small[one] = rng.choice([*DEVICES, word(rng), "../escaped", "lq", "a/b"])
    pairs = [part for pair in small.items() for part in pair]
    out = ["-o", folder / "out" / "pictures"] if rng.random() < 0.5 or one == "--name" else []
    return command("translate", "apply", folder / "run", folder / "data.zarr", *out, *pairs)
