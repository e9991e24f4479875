"""A tiny store for the tests of ``translate``: layered speckle in a convex sector, made in seconds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from support.tables import tissue_rows
from translate.data.store import StoreReader
from ussim.dataset.schema import Header, ImageGeometry, SceneReference, SceneRow
from ussim.dataset.store import Dataset
from ussim.probe.probe import ConvexProbe
from ussim.scene.tissue import TissueLibrary

TISSUES = ("gel", "muscle", "fat", "bone")


def make_store(
    path: Path,
    frames: int = 20,
    size: tuple[int, int] = (72, 100),
    seed: int = 0,
    qualities: tuple[str, ...] = ("lq", "hq"),
    units_done: int | None = None,
    tissues: tuple[str, ...] = TISSUES,
    scenes: int = 1,
    split_seed: int = 0,
    poses: np.ndarray | None = None,
) -> Path:
    """Write a store whose images, maps and attributes look like a rendered one's.

    The low-quality image is the high-quality one with lateral streaks of noise, so there is something to learn.

    Args:
        path: Where.
        frames: How many frames.
        size: (height, width) of the images [px].
        seed: Of the images.
        qualities: Images to write.
        units_done: Units to write, of 4 frames each; all if None.
        tissues: Names of the tissues.
        scenes: How many anatomies the frames claim to show.
        split_seed: Seed of the split.
        poses: (frames, 4, 4), probe → scene; all the same without.
    """
    probe = ConvexProbe(image_height=size[0], image_width=size[1], scanlines=64, axial_samples=256)
    header = Header(
        ussim_version="0",
        scene=SceneReference(name="layers", digest=f"{seed:064d}"),
        sweep="exam",
        frames=frames,
        unit_frames=4,
        seed=seed,
        split_seed=split_seed,
        backend="cpu",
        image=ImageGeometry(
            height=size[0], width=size[1], mm_per_pixel=probe.mm_per_pixel, origin_mm=probe.image_origin_mm
        ),
        probe={**probe.model_dump(mode="json"), "kind": "convex"},
        imaging={"dynamic_range_db": 60.0},
        qualities={name: {} for name in qualities},
        tissues=tissue_rows(**{name: _packaged(name) for name in tissues}),
        tgc_db=[0.0],
        scenes=[
            SceneRow(seed=number, weeks=20.0, detail="tiny", digest=f"{number:064d}")
            for number in range(scenes if scenes > 1 else 0)
        ],
    )
    mask = probe.mask()
    dataset = Dataset.create(path, header, np.tile(np.eye(4), (frames, 1, 1)) if poses is None else poses, mask)
    for unit in range(header.units if units_done is None else units_done):
        rows = header.unit_range(unit)
        parts = [_frame(np.random.default_rng([seed, row]), mask, len(tissues)) for row in rows]
        data = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
        data["attenuation_scale"] = np.ones(len(rows), np.float32)
        wanted = {*qualities, "segmentation", "attenuation", "attenuation_scale"}
        dataset.write_unit(unit, {name: values for name, values in data.items() if name in wanted})
    return path


def _packaged(name: str) -> dict[str, Any]:
    """What the library says of a tissue; nothing of one that is not in it."""
    library = TissueLibrary.load()
    return {key: value for key, value in asdict(library[name]).items() if key != "name"} if name in library else {}


def _frame(rng: np.random.Generator, mask: np.ndarray, tissues: int) -> dict[str, np.ndarray]:
    """Wavy layers of tissue with speckle of their own brightness, darker with depth."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width]
    wave = y + 0.08 * height * np.sin(2 * np.pi * (x / width + rng.random()))
    ids = (np.clip(wave / height, 0, 0.999) * tissues).astype(np.uint8) + 1
    level = np.asarray([20.0, 120.0, 70.0, 200.0])[(ids - 1) % 4]
    attenuation = np.exp(-np.cumsum(0.3 + 0.5 * (ids == tissues), axis=0) / height * 2).astype(np.float32)
    speckle = np.hypot(*(gaussian_filter(rng.normal(size=mask.shape), (0.8, 1.6)) * 3 for _ in range(2)))
    hq = np.clip(level * attenuation * (0.4 + 0.6 * speckle), 0, 255)
    streaks = gaussian_filter(rng.normal(size=mask.shape), (0.5, 4)) * 90
    lq = np.clip(0.6 * gaussian_filter(hq, (0, 2)) + streaks, 0, 255)
    inside = mask > 0
    return {
        "lq": (lq * inside).astype(np.uint8),
        "hq": (hq * inside).astype(np.uint8),
        "segmentation": (ids * inside).astype(np.uint8),
        "attenuation": attenuation * inside,
    }


def frame_of(runs: Path, index: int = 0):
    """A frame of the store beside some runs: the reader, all of it, and what ``Generator.enhance`` takes."""
    reader = StoreReader(runs / "store.zarr")
    frame = reader.frame(index)
    return reader, frame, (frame["lq"], reader.mask, frame["segmentation"], frame["attenuation"])
