"""The stages on all cores of the CPU."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import numba
import numpy as np
from numba import prange

from ussim.jit import compiled, cpu_kernel
from ussim.render.aperture.gather import gather_span
from ussim.render.aperture.inputs import STRIP
from ussim.render.aperture.points import add_points
from ussim.render.aperture.reflect import trace_reflected
from ussim.render.aperture.reverberate import add_reflected
from ussim.render.aperture.scatterers import INTEGERS, NUMBERS, march_block, strips_of
from ussim.render.aperture.sheets import trace_sheet
from ussim.render.aperture.side_lobes import add_side_lobes
from ussim.render.aperture.transmit import trace_ray
from ussim.render.aperture.walls import spread_walls, write_walls
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels.maps import (
    attenuate_line,
    crossing_column,
    outline_segment,
    rows_spanned,
    sort_crossings,
    sweep_row,
    to_image,
)
from ussim.render.kernels.receive import grey_span, power_sample, pulse_span
from ussim.render.kernels.scan_convert import polar_at, to_grey, to_half

_CHUNK = 16  # rays that share one traversal stack, nodes that are gathered together: a line of the cache
_FEW = 4  # scanlines whose reflected paths do
_SPAN = 512  # samples whose side lobes are added together, within the fastest cache
_LIST = 128  # cells of the lattice that are worked out together, within the fastest cache

# A ``prange`` counts without a sign. Its numbers are made signed, or every function that takes one is compiled twice:
# for what numba infers before it has made the loop parallel, and for what comes then.


@cpu_kernel
def _trace_sheets(geometry, media, beam, poses, sheets):
    count = sheets.wall_count.size
    for number in prange((count + _CHUNK - 1) // _CHUNK):
        chunk = np.int64(number)
        stack = np.empty(STACK_SIZE, np.int32)
        stack_t = np.empty(STACK_SIZE, np.float32)
        for index in range(chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)):
            trace_sheet(index, geometry, media, beam, poses, sheets, stack, stack_t)


@cpu_kernel
def _trace_rays(geometry, media, beam, poses, sheets, passed):
    bundles, nodes, lines = passed.shape
    chunks = (lines + _CHUNK - 1) // _CHUNK
    for number in prange(bundles * chunks):
        chunk = np.int64(number)
        stack = np.empty(STACK_SIZE, np.int32)
        stack_t = np.empty(STACK_SIZE, np.float32)
        tile = np.empty((_CHUNK, nodes), np.float32)
        bundle, first = chunk // chunks, chunk % chunks * _CHUNK
        count = min(_CHUNK, lines - first)
        for k in range(count):
            trace_ray(bundle * lines + first + k, geometry, media, beam, poses, sheets, tile[k], stack, stack_t)
        for node in range(nodes):
            for k in range(count):
                passed[bundle, node, first + k] = tile[k, node]


@cpu_kernel
def _gather(beam, passed, seen):
    rows, nodes, lines = passed.shape[0] // beam.rays, passed.shape[1], passed.shape[2]
    chunks = (nodes + _CHUNK - 1) // _CHUNK
    for number in prange(rows * chunks):
        chunk = np.int64(number)
        sums = np.empty((4, lines), np.float32)
        first = chunk % chunks * _CHUNK
        for node in range(first, min(nodes, first + _CHUNK)):
            gather_span(chunk // chunks, node, 0, lines, beam, passed, sums, seen)


@cpu_kernel
def _march(media, beam, poses, sheets, seen, real, imag):
    for number in prange(poses.shape[0] * strips_of(beam.scanlines)):
        index = np.int64(number)
        cells = np.empty((INTEGERS, _LIST), np.int32)
        hashes = np.empty(_LIST, np.uint32)
        work = np.empty((NUMBERS, _LIST), np.float32)
        slots = np.empty((STRIP, _LIST), np.int32)
        echoes = np.empty((2, STRIP, _LIST), np.float32)
        march_block(
            index, 0, real.shape[1], media, beam, poses, sheets, seen, real, imag, cells, hashes, work, slots, echoes
        )


@cpu_kernel
def _reflect(geometry, media, beam, poses, sheets, seen, reflected, real, imag):
    lines = real.shape[0]
    for number in prange((lines + _FEW - 1) // _FEW):
        chunk = np.int64(number)
        stack = np.empty(STACK_SIZE, np.int32)
        stack_t = np.empty(STACK_SIZE, np.float32)
        for index in range(chunk * _FEW, min(lines, (chunk + 1) * _FEW)):
            trace_reflected(index, geometry, media, beam, poses, sheets, seen, reflected, stack, stack_t)
    for number in prange(lines):
        index = np.int64(number)
        add_reflected(index, 0, real.shape[1], beam, reflected, real, imag)


@cpu_kernel
def _receive(points, beam, display, poses, sheets, seen, real, imag, out_real, out_imag):
    lines, samples = real.shape
    for number in prange(lines):
        index = np.int64(number)
        pulse_span(index, 0, samples, display, real, imag, out_real, out_imag)
        add_points(index, points, beam, display, poses, sheets, seen, out_real, out_imag, 0, 1)
        # The echoes of the scatterers have been read, of this line and by this line alone.
        write_walls(index, beam, display, sheets, seen, real, imag, 0, 1)
    for number in prange(lines):
        index = np.int64(number)
        spread_walls(index, 0, samples, beam, real, imag, out_real, out_imag)


@cpu_kernel
def _add_side_lobes(beam, lobes, real, imag, out_real, out_imag):
    lines, samples = real.shape
    for number in prange(lines):
        index = np.int64(number)
        for first in range(0, samples, _SPAN):
            add_side_lobes(
                index, first, min(samples, first + _SPAN), beam.scanlines, lobes, real, imag, out_real, out_imag
            )


@cpu_kernel
def _show(beam, display, frame_keys, real, imag, power, grey):
    lines, samples = real.shape
    for number in prange(lines):
        index = np.int64(number)
        for sample in range(samples):
            re, im = real[index, sample], imag[index, sample]
            power[index, sample] = power_sample(index, sample, beam, display, frame_keys, re, im)
        grey_span(index, 0, samples, display, power, grey)


@cpu_kernel
def _scan_convert(scanlines, pixels, polar, images):
    count = pixels.address.size
    for number in prange(count):
        pixel = np.int64(number)
        for frame in range(images.shape[0]):
            images[frame, pixels.address[pixel]] = to_grey(polar_at(pixel, frame, scanlines, pixels, polar))


@cpu_kernel
def _scan_convert_map(scanlines, pixels, polar, scale, maps):
    count = pixels.address.size
    for number in prange(count):
        pixel = np.int64(number)
        for frame in range(maps.shape[0]):
            maps[frame, pixels.address[pixel]] = to_half(
                polar_at(pixel, frame, scanlines, pixels, polar) / scale[frame]
            )


@cpu_kernel
def _attenuate(geometry, media, beam, poses, polar):
    for number in prange(polar.shape[0]):
        index = np.int64(number)
        stack = np.empty(STACK_SIZE, np.int32)
        stack_t = np.empty(STACK_SIZE, np.float32)
        attenuate_line(index, geometry, media, beam, poses, polar, stack, stack_t)


@cpu_kernel
def _flatten(geometry, plane, flat):
    for number in prange(geometry.vertices.shape[0]):
        vertex = np.int64(number)
        to_image(vertex, geometry, plane, flat)


@compiled()
def _count_crossings(geometry, flat, begin):
    """Rows' crossing counts, as the prefix sum ``begin``."""
    height = begin.size - 1
    for triangle in range(geometry.triangles.shape[0]):
        found, _, v1, _, v2 = outline_segment(triangle, geometry, flat)
        if found:
            first, last = rows_spanned(v1, v2, height)
            for row in range(first, last):
                begin[row + 1] += 1
    for row in range(height):
        begin[row + 1] += begin[row]


@compiled()
def _collect_crossings(geometry, flat, begin, columns, surfaces):
    height = begin.size - 1
    filled = begin[:-1].copy()
    for triangle in range(geometry.triangles.shape[0]):
        found, u1, v1, u2, v2 = outline_segment(triangle, geometry, flat)
        if found:
            first, last = rows_spanned(v1, v2, height)
            for row in range(first, last):
                columns[filled[row]] = crossing_column(row, u1, v1, u2, v2)
                surfaces[filled[row]] = geometry.triangle_surface[triangle]
                filled[row] += 1


@cpu_kernel
def _fill(geometry, mask, begin, columns, surfaces, labels):
    for number in prange(mask.shape[0]):
        row = np.int64(number)
        sort_crossings(columns, surfaces, begin[row], begin[row + 1])
        sweep_row(row, columns, surfaces, begin[row], begin[row + 1], geometry, mask, labels)


class CpuBackend:
    """Stages on host arrays; see :class:`ussim.render.renderer.Renderer` for the order in which they run."""

    name = "cpu"
    OutOfMemory = MemoryError
    generation = 0

    @property
    def device(self) -> str:
        """Processor and number of threads."""
        return f"cpu: {_processor()}, {numba.get_num_threads()} threads"

    def put(self, table):
        """Make a named tuple of tables (or one array) readable by the kernels."""
        return table

    def empty(self, shape, dtype):
        """Uninitialised array that kernels write."""
        return np.empty(shape, dtype)

    def clear(self, array) -> None:
        """Fill an array with zeros."""
        array.fill(0)

    def view(self, buffer, shape, dtype):
        """The first bytes of a buffer as an array."""
        return np.ndarray(shape, dtype, buffer)

    def update(self, array, values) -> None:
        """Overwrite an array."""
        array[...] = values

    def fetch(self, array):
        """A copy, as a GPU's begins: what is returned hands it over."""
        copied = array.copy()
        return lambda: copied

    def get(self, array) -> np.ndarray:
        """Copy to the host."""
        return array.copy()

    def record(self, launch):
        """A function that launches once more what some code does."""
        return launch

    def wait(self) -> None:
        """Return when all launched work is done."""

    def every(self, polar, stride: int) -> np.ndarray:
        """Every ``stride``-th sample of each line."""
        return polar[:, ::stride]

    def value_of_rank(self, values, scanlines: int, rank: int, out) -> None:
        """Of each frame the value that so many are smaller than, (frames,) float32."""
        out[...] = np.partition(values.reshape(len(out), -1), rank, axis=1)[:, rank]

    @property
    def memory_bytes(self) -> int:
        """Memory of the machine; of more than that no frame can be made."""
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError):  # Windows does not say: the arrays themselves will
            return sys.maxsize

    def frames_at_once(self, bytes_per_frame: int) -> int:
        """Frames per batch: one, since a frame keeps all cores busy."""
        return 1

    def segment_bytes(self, vertices: int, height: int) -> int:
        """Memory that :meth:`segment` keeps for a frame."""
        return vertices * 12

    def close(self) -> None:
        """Nothing is held."""

    trace_sheets = staticmethod(_trace_sheets)
    trace_rays = staticmethod(_trace_rays)
    gather = staticmethod(_gather)
    march = staticmethod(_march)
    reflect = staticmethod(_reflect)
    receive = staticmethod(_receive)
    add_side_lobes = staticmethod(_add_side_lobes)
    show = staticmethod(_show)
    scan_convert = staticmethod(_scan_convert)
    scan_convert_map = staticmethod(_scan_convert_map)
    attenuate = staticmethod(_attenuate)

    def is_labelled(self) -> bool:
        """Whether the last :meth:`segment` had room for all crossings: always."""
        return True

    def segment(self, geometry, planes, mask, labels) -> None:
        """Label images (n, H, W) of the scene's cross-sections with n image planes."""
        flat = np.empty(geometry.vertices.shape, np.float32)
        for plane, label in zip(planes, labels, strict=True):
            _flatten(geometry, plane, flat)
            begin = np.zeros(mask.shape[0] + 1, np.int64)
            _count_crossings(geometry, flat, begin)
            columns = np.empty(begin[-1], np.float32)
            surfaces = np.empty(begin[-1], np.int32)
            _collect_crossings(geometry, flat, begin, columns, surfaces)
            _fill(geometry, mask, begin, columns, surfaces, label)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
