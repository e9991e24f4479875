"""The arrays on which frames are made: their shapes, and the memory they take, known before anything is rendered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ussim.probe.imaging import Imaging
from ussim.probe.probe import SPEED_ASSUMED_M_S, Probe
from ussim.probe.quality import Quality
from ussim.render.aperture.inputs import WALL_FIELDS
from ussim.render.aperture.reverberate import BIN_MM
from ussim.render.aperture.tables import reach, wall_lines_of
from ussim.scene.scene import Scene

Shapes = dict[str, tuple[int | tuple[int, ...], Any]]


def fastest_of(scene: Scene) -> float:
    """The largest speed of sound of a scene's media over the assumed one."""
    return max(tissue.speed_m_s for tissue in scene.media) / SPEED_ASSUMED_M_S


def work_shapes(probe: Probe, imaging: Imaging, quality: Quality, fastest: float, frames: int = 1) -> Shapes:
    """Shapes and types of the arrays of a batch.

    Args:
        probe, imaging, quality: Settings.
        fastest: As of :func:`fastest_of`.
        frames: Frames of the batch.
    """
    scanlines, samples, walls = probe.scanlines, probe.axial_samples, imaging.max_segments
    (_, nodes), bins = reach(probe, fastest), math.ceil(probe.depth_mm / BIN_MM) + 2
    lines, sheets = frames * scanlines, frames * scanlines * quality.layers
    wall_lines = sheets * wall_lines_of(probe, quality)
    flat = (lines, samples), np.float32
    return {
        "medium": ((sheets, samples), np.int32),
        "fuzz_mm": ((sheets, samples), np.float32),
        "loud": ((sheets, samples), np.int32),
        "shown_mm": ((sheets, nodes), np.float32),
        "wall": ((wall_lines, walls, WALL_FIELDS), np.float32),
        "wall_count": (wall_lines, np.int32),
        "around": (sheets, np.uint64),
        "hit": ((sheets, walls, 6), np.float32),
        "hit_triangle": ((sheets, walls), np.int32),
        "hit_inside": ((sheets, walls), np.uint64),
        "reflected_span": ((lines, 2), np.int32),
        "reflected_real": flat,
        "reflected_imag": flat,
        "reflected_energy": ((lines, bins), np.float32),
        "passed": ((frames * quality.layers * quality.rays, nodes, scanlines), np.float32),
        "seen": ((sheets, nodes), np.float32),
        **{name: flat for name in ("real", "imag", "out_real", "out_imag", "power", "grey")},
    }


def work_bytes(probe: Probe, imaging: Imaging, quality: Quality, fastest: float) -> int:
    """Memory that a frame takes while it is made."""
    arrays = work_shapes(probe, imaging, quality, fastest).values()
    return sum(math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize for shape, dtype in arrays)
