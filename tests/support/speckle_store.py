"""A made-up store whose low-quality images are the negatives of the high-quality ones.

A generator that inverts its input and is off by c grey levels then has a PSNR of 20·log₁₀(255/c) exactly.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from support.tables import tissue_rows
from ussim.dataset.schema import Header
from ussim.dataset.store import Dataset
from ussim.probe.probe import ConvexProbe, Probe

TISSUES = tissue_rows(gel={"color": "#111111"}, muscle={"color": "#aa3333", "scatter_density": 1.0, "scatter_std": 1.0})
RANGE_DB = 60.0


def rayleigh(shape: tuple[int, int], sigma_px: tuple[float, float], seed: int) -> np.ndarray:
    """Envelope of fully developed speckle whose complex amplitude is filtered by a Gaussian; mean square 1."""
    real, imag = np.random.default_rng(seed).normal(size=(2, *shape))
    envelope = np.hypot(gaussian_filter(real, sigma_px), gaussian_filter(imag, sigma_px))
    return envelope / np.sqrt((envelope**2).mean())


def grey(envelope: np.ndarray, level_db: float = 40.0) -> np.ndarray:
    """Log compression of an envelope; ``level_db`` above black is amplitude 1."""
    return (
        np.clip((20 * np.log10(np.maximum(envelope, 1e-6)) + level_db) * 255 / RANGE_DB, 0, 255)
        .round()
        .astype(np.uint8)
    )


def make_header(probe: Probe, frames: int, **changes) -> Header:
    fields = {
        "ussim_version": "0",
        "scene": {"name": "made up", "digest": "0" * 64},
        "sweep": "exam",
        "frames": frames,
        "unit_frames": frames,
        "seed": 1,
        "split_seed": 1,
        "backend": "cpu",
        "image": {
            "height": probe.image_height,
            "width": probe.image_width,
            "mm_per_pixel": probe.mm_per_pixel,
            "origin_mm": probe.image_origin_mm,
        },
        "probe": probe.model_dump(),
        "imaging": {"dynamic_range_db": RANGE_DB},
        "qualities": {name: {"rays": 1, "layers": 1} for name in ("lq", "hq")},
        "tissues": TISSUES,
        "tgc_db": [0.0],
    }
    return Header(**{**fields, **changes})


def make_store(path: Path, frames: int = 20, height: int = 200, width: int = 277, **changes) -> Dataset:
    """Speckle at all depths, in gel on the left and muscle elsewhere."""
    probe = ConvexProbe(image_height=height, image_width=width)
    header = make_header(probe, frames, **changes)
    mask = probe.mask()
    dataset = Dataset.create(path, header, np.tile(np.eye(4), (frames, 1, 1)), mask)
    segmentation = np.where(np.arange(width) < width // 3, 1, 2).astype(np.uint8) * mask
    hq = [np.clip(grey(rayleigh(mask.shape, (1.5, 2.5), k)), 10, 240) * mask for k in range(frames)]
    data = {
        "hq": np.stack(hq),
        "lq": np.stack([(255 - image) * mask for image in hq]).astype(np.uint8),
        "segmentation": np.tile(segmentation, (frames, 1, 1)),
        "attenuation": np.tile(mask * 0.5, (frames, 1, 1)),
        "attenuation_scale": np.ones(frames, np.float32),
    }
    qualities = header.qualities
    dataset.write_unit(0, {k: v for k, v in data.items() if k not in ("lq", "hq") or k in qualities})
    return dataset
