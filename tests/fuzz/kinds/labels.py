"""Damaged label volumes and label maps."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import numpy as np

from fuzz.damage import damage_bytes, damage_text, mistakes
from fuzz.judge import Command, command

MAP = """format = 1
[[label]]
value = 1
name = "body"
tissue = "soft_tissue"
priority = 3
[[label]]
value = 2
name = "liver"
tissue = "liver"
priority = 4
[[label]]
value = 3
ignore = true
"""
# Of a NIfTI-1 header: where a field stands, and how it is packed.
FIELDS = [
    (0, "i"), *((at, "h") for at in range(40, 56, 2)), (70, "h"), (72, "h"), *((at, "f") for at in range(76, 108, 4)),
    (108, "f"), (112, "f"), (116, "f"), (123, "B"), (252, "h"), (254, "h"), *((at, "f") for at in range(256, 328, 4)),
]  # fmt: skip
WHOLE = [0, 1, -1, 2, 3, 4, 5, 8, 11, 16, 64, 127, 128, 256, 512, 768, 1024, 2304, 30000, 32767, -32768]
REAL = [0.0, -1.0, 1.0, 0.001, 3.0, 1e-30, 1e10, 1e30, 3e38, -3e38, float("nan"), float("inf"), 352.0, 348.0, 1e6]


def make(folder: Path) -> None:
    """A liver in a body, some voxels across."""
    import nibabel

    index = np.stack(np.meshgrid(*map(np.arange, (18, 16, 14)), indexing="ij"), axis=-1)
    distance = np.linalg.norm(index - np.array([8.5, 7.5, 6.5]), axis=-1)
    labels = np.zeros(index.shape[:3], np.int16)
    labels[distance < 6], labels[distance < 3], labels[0, 0, 0] = 1, 2, 3
    for name in ("volume.nii", "volume.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(labels, np.diag([6.0, 6, 6, 1])), folder / name)
    (folder / "labels.toml").write_text(MAP)


def sound(folder: Path) -> list[Command]:
    return [_import(folder, folder / "volume.nii")]


def damage_volume(rng: random.Random, folder: Path) -> list[Command]:
    path = folder / "volume.nii"
    packed = rng.random() < 0.3
    if rng.random() < 0.75:
        data = bytearray(path.read_bytes())
        for _ in mistakes(rng):
            at, kind = rng.choice(FIELDS)
            struct.pack_into(f"<{kind}", data, at, rng.choice(REAL) if kind == "f" else _whole(rng, kind))
        path.write_bytes(data)
        if packed:
            (folder / "volume.nii.gz").write_bytes(gzip.compress(data, mtime=0))
    else:
        damage_bytes(rng, folder / ("volume.nii.gz" if packed else "volume.nii"))
    volume = folder / ("volume.nii.gz" if packed else "volume.nii")
    if rng.random() < 0.2:
        return [command("ussim", "scene", "from-labels", volume, "--write-map", folder / "out" / "map.toml")]
    return [_import(folder, volume)]


def damage_map(rng: random.Random, folder: Path) -> list[Command]:
    damage_text(rng, folder / "labels.toml")
    return [_import(folder, folder / "volume.nii")]


def _import(folder: Path, volume: Path) -> Command:
    return command(
        "ussim", "scene", "from-labels", volume, "--map", folder / "labels.toml", "-o", folder / "out" / "scene"
    )


def _whole(rng: random.Random, kind: str) -> int:
    number = rng.choice(WHOLE)
    return number % 256 if kind == "B" else number
