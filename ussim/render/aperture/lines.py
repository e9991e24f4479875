"""Scanlines of an aperture on all cores of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import prange

from ussim.jit import cpu_kernel
from ussim.probe.imaging import Imaging
from ussim.probe.probe import SPEED_ASSUMED_M_S, Probe
from ussim.probe.quality import Quality
from ussim.render.aperture.gather import gather_line
from ussim.render.aperture.inputs import WALL_FIELDS, ApertureBeam, Sheets
from ussim.render.aperture.scatterers import march_block
from ussim.render.aperture.sheets import trace_sheet
from ussim.render.aperture.tables import aperture_table
from ussim.render.aperture.transmit import trace_ray
from ussim.render.aperture.walls import add_walls
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels.inputs import Display, Geometry, Media
from ussim.render.kernels.receive import grey_sample, power_sample, pulse_span
from ussim.scene.scene import Scene

_FIRST = np.int64(0)
_CHUNK = 16  # rays that share one traversal stack


@cpu_kernel
def _trace(geometry, media, beam, poses, sheets, passed, seen):
    lines = sheets.wall_count.size
    for chunk in prange((lines + _CHUNK - 1) // _CHUNK):
        stack = np.empty(STACK_SIZE, np.int32)
        stack_t = np.empty(STACK_SIZE, np.float32)
        for index in range(chunk * _CHUNK, min(lines, (chunk + 1) * _CHUNK)):
            trace_sheet(index, geometry, media, beam, poses, sheets, stack, stack_t)
    count = passed.shape[0]
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        stack = np.empty(STACK_SIZE, np.int32)
        stack_t = np.empty(STACK_SIZE, np.float32)
        for path in range(chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)):
            trace_ray(path, geometry, media, beam, poses, passed, stack, stack_t)
    for index in prange(lines):
        gather_line(index, beam, passed, seen)


@cpu_kernel
def _march(media, beam, poses, sheets, seen, real, imag):
    for index in prange(real.shape[0]):
        cells = np.empty((3, beam.most_cells), np.int32)
        hashes = np.empty(beam.most_cells, np.uint32)
        work = np.empty((5, beam.most_cells), np.float32)
        march_block(index, _FIRST, real.shape[1], media, beam, poses, sheets, seen, real, imag, cells, hashes, work)


@cpu_kernel
def _receive(beam, display, frame_keys, sheets, seen, real, imag, out_real, out_imag, power, grey):
    lines, samples = real.shape
    for index in prange(lines):
        pulse_span(index, 0, samples, display, real, imag, out_real, out_imag)
        add_walls(index, beam, display, sheets, seen, out_real, out_imag)
        for sample in range(samples):
            re, im = out_real[index, sample], out_imag[index, sample]
            power[index, sample] = power_sample(index, sample, beam, display, frame_keys, re, im)
        for sample in range(samples):
            grey[index, sample] = grey_sample(index, sample, display, power)


@dataclass(frozen=True)
class Work:
    """Arrays of one batch.

    Attributes:
        sheets: What lies on the lines, and where it is shown.
        passed: (frames × layers × rays × scanlines, nodes) float32, one-way amplitude of every ray.
        seen: (frames × scanlines × layers, nodes) float32, two-way amplitude of every point.
        real, imag: (frames × scanlines, samples) float32, echoes of the scatterers before the pulse.
        out_real, out_imag: The baseband lines.
        power, grey: Their power and their grey levels.
    """

    sheets: Sheets
    passed: np.ndarray
    seen: np.ndarray
    real: np.ndarray
    imag: np.ndarray
    out_real: np.ndarray
    out_imag: np.ndarray
    power: np.ndarray
    grey: np.ndarray


class ApertureLines:
    """Makes scanlines of one scene; keeps tables and work arrays from call to call.

    Args:
        scene: What is scanned.
        probe, imaging, seed: As of :class:`ussim.render.renderer.Renderer`.
    """

    def __init__(self, scene: Scene, probe: Probe, imaging: Imaging, seed: int):
        self._probe, self._imaging, self._seed = probe, imaging, seed
        self._fastest = max(tissue.speed_m_s for tissue in scene.media) / SPEED_ASSUMED_M_S
        self._beams: dict[Quality, ApertureBeam] = {}
        self._work: dict[Quality, Work] = {}

    def beam(self, quality: Quality) -> ApertureBeam:
        """The tables of a quality."""
        if quality not in self._beams:
            self._beams[quality] = aperture_table(self._probe, self._imaging, quality, self._seed, self._fastest)
        return self._beams[quality]

    def bytes_per_frame(self, quality: Quality) -> int:
        """Size of the work arrays of a frame."""
        nodes, lines, samples = int(self.beam(quality).nodes), self._probe.scanlines, self._probe.axial_samples
        per_sheet = samples * 12 + nodes * 8 + self._imaging.max_segments * 4 * WALL_FIELDS
        return lines * (quality.layers * (per_sheet + quality.rays * nodes * 4) + samples * 6 * 4)

    def render(
        self,
        run: Callable[..., None],
        geometry: Geometry,
        media: Media,
        display: Display,
        poses: np.ndarray,
        keys: np.ndarray,
        quality: Quality,
    ) -> Work:
        """Make the scanlines of some frames.

        Args:
            run: Calls a stage, ``run(name, kernel, *arguments)``.
            geometry, media, display: The tables of the renderer.
            poses: (n, 4, 4) float32, probe → scene, mm.
            keys: (n,) uint32, key of each frame's noise.
            quality: Rays and layers.
        """
        beam, work = self.beam(quality), self._work_for(len(poses), quality)
        run("trace", _trace, geometry, media, beam, poses, work.sheets, work.passed, work.seen)
        run("march", _march, media, beam, poses, work.sheets, work.seen, work.real, work.imag)
        run(
            "receive", _receive, beam, display, keys, work.sheets, work.seen,
            work.real, work.imag, work.out_real, work.out_imag, work.power, work.grey,
        )  # fmt: skip
        return work

    def _work_for(self, frames: int, quality: Quality) -> Work:
        held = self._work.get(quality)
        lines = frames * self._probe.scanlines
        if held is None or len(held.real) != lines:
            self._work.pop(quality, None)  # before the new one: two need twice the memory
            count, nodes, samples = lines * quality.layers, int(self.beam(quality).nodes), self._probe.axial_samples
            walls: Any = np.empty((count, self._imaging.max_segments, WALL_FIELDS), np.float32)
            sheets = Sheets(
                medium=np.empty((count, samples), np.int32),
                fuzz_mm=np.empty((count, samples), np.float32),
                loud=np.empty((count, samples), np.int32),
                shown_mm=np.empty((count, nodes), np.float32),
                wall=walls,
                wall_count=np.empty(count, np.int32),
            )
            flat = [np.empty((lines, samples), np.float32) for _ in range(6)]
            passed = np.empty((count * quality.rays, nodes), np.float32)
            held = Work(sheets, passed, np.empty((count, nodes), np.float32), *flat)
            self._work[quality] = held
        return held
