"""The stages on an NVIDIA GPU, by numba-cuda: the only file that knows of it.

The scene's tables stay on the device; frames run in batches. Kernels are launched with whole named tuples of
device arrays, which costs about 0.1 ms a launch and nothing per frame in a batch.
"""

from __future__ import annotations

import sys

import numpy as np
from numba import float32, int32, uint32

from ussim.errors import UssimError
from ussim.jit import SIMULATED
from ussim.render.aperture.gather import gather_span
from ussim.render.aperture.points import add_points
from ussim.render.aperture.reflect import trace_reflected
from ussim.render.aperture.reverberate import add_reflected
from ussim.render.aperture.scatterers import INTEGERS, NUMBERS, STRIP, march_block, strips_of
from ussim.render.aperture.sheets import trace_sheet
from ussim.render.aperture.side_lobes import add_side_lobes
from ussim.render.aperture.transmit import trace_ray
from ussim.render.aperture.walls import add_walls
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels import hits
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
from ussim.render.kernels.scan_convert import polar_at, to_grey
from ussim.render.physics.intersect import build

try:
    from numba import cuda
except ImportError as error:  # no usable numba-cuda: say why when CUDA is asked for
    cuda, _IMPORT_ERROR = None, error

_THREADS = 128
_TRACE_THREADS = 64
_MARCH_THREADS = 32
_BLOCK = 128  # samples of a strip of scanlines whose scatterers one thread sums
_LIST = 4  # cells of the lattice that one thread works out together
# Work arrays of one batch may take this share of the device's free memory, and this much at most.
_MEMORY_SHARE = 0.5
_MEMORY_LIMIT = 8 << 30
_MOST_FRAMES = 64
_FIRST_ROOM = 256  # crossings of one image row, to begin with


def why_unavailable() -> str | None:
    """Reason why no GPU can be used, None if one can."""
    if cuda is None:
        return f"numba-cuda cannot be imported ({_IMPORT_ERROR}); install ussim[cuda]"
    if SIMULATED:
        return None
    if not cuda.is_available():
        return "no usable NVIDIA GPU or driver was found"
    return None


def _teach_traversal() -> None:
    # numba-cuda compiles a CPU function anew for the device and keeps the result on the CPU function under
    # this name. The CPU's traversal is written in vector instructions, so the scalar one is put there first;
    # fmul_rn keeps its products from being fused, which would open cracks between triangles.
    scalar = build(cuda.jit(device=True), product=cuda.libdevice.fmul_rn)
    hits.closest_hit._CUDATypingContext__dispatcher = scalar


if cuda is not None and not SIMULATED:
    _teach_traversal()


def _kernel(function):
    return cuda.jit(function) if cuda is not None else function


@_kernel
def sheets_kernel(geometry, media, beam, poses, sheets):
    """One thread per line of a sheet."""
    index = cuda.grid(1)
    if index < sheets.wall_count.size:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        trace_sheet(index, geometry, media, beam, poses, sheets, stack, stack_t)


@_kernel
def rays_kernel(geometry, media, beam, poses, sheets, passed):
    """One thread per ray."""
    path = cuda.grid(1)
    bundle, line = path // passed.shape[2], path % passed.shape[2]
    if bundle < passed.shape[0]:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        trace_ray(path, geometry, media, beam, poses, sheets, passed[bundle, :, line], stack, stack_t)


@_kernel
def gather_kernel(beam, passed, seen):
    """One thread per node of a line."""
    index = cuda.grid(1)
    line, node = index % passed.shape[2], index // passed.shape[2] % passed.shape[1]
    row = index // (passed.shape[2] * passed.shape[1])
    if row * beam.rays < passed.shape[0]:
        sums = cuda.local.array((4, 1), float32)
        gather_span(row, node, line, line + 1, beam, passed, sums, seen)


@_kernel
def march_kernel(media, beam, poses, sheets, seen, real, imag):
    """One thread per block of samples of a strip of scanlines."""
    index, block = cuda.grid(2)
    first = block * _BLOCK
    if first < real.shape[1] and index < poses.shape[0] * strips_of(beam.scanlines):
        cells = cuda.local.array((INTEGERS, _LIST), int32)
        hashes = cuda.local.array(_LIST, uint32)
        work = cuda.local.array((NUMBERS, _LIST), float32)
        slots = cuda.local.array((STRIP, _LIST), int32)
        echoes = cuda.local.array((2, STRIP, _LIST), float32)
        last = min(real.shape[1], first + _BLOCK)
        march_block(
            index, first, last, media, beam, poses, sheets, seen, real, imag, cells, hashes, work, slots, echoes
        )


@_kernel
def reflect_kernel(geometry, media, beam, poses, sheets, seen, reflected):
    """One thread per scanline: its echoes add up in a fixed order."""
    index = cuda.grid(1)
    if index < reflected.span.shape[0]:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        trace_reflected(index, geometry, media, beam, poses, sheets, seen, reflected, stack, stack_t)


@_kernel
def reflected_kernel(beam, reflected, real, imag):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < real.shape[1] and index < real.shape[0]:
        add_reflected(index, sample, sample + 1, beam, reflected, real, imag)


@_kernel
def pulse_kernel(display, iq_real, iq_imag, out_real, out_imag):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < iq_real.shape[1] and index < iq_real.shape[0]:
        pulse_span(index, sample, sample + 1, display, iq_real, iq_imag, out_real, out_imag)


@_kernel
def points_kernel(points, beam, display, poses, sheets, seen, out_real, out_imag):
    """One thread per scanline: its echoes add up in a fixed order."""
    index = cuda.grid(1)
    if index < out_real.shape[0]:
        add_points(index, points, beam, display, poses, sheets, seen, out_real, out_imag)


@_kernel
def walls_kernel(beam, display, sheets, seen, out_real, out_imag):
    """One thread per scanline: its echoes add up in a fixed order, so no bit depends on scheduling."""
    index = cuda.grid(1)
    if index < out_real.shape[0]:
        add_walls(index, beam, display, sheets, seen, out_real, out_imag)


@_kernel
def side_lobes_kernel(beam, lobes, real, imag, out_real, out_imag):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < real.shape[1] and index < real.shape[0]:
        add_side_lobes(index, sample, sample + 1, beam.scanlines, lobes, real, imag, out_real, out_imag)


@_kernel
def power_kernel(beam, display, frame_keys, real, imag, power):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < power.shape[1] and index < power.shape[0]:
        power[index, sample] = power_sample(
            index, sample, beam, display, frame_keys, real[index, sample], imag[index, sample]
        )


@_kernel
def grey_kernel(display, power, grey):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < grey.shape[1] and index < grey.shape[0]:
        grey_span(index, sample, sample + 1, display, power, grey)


@_kernel
def scan_convert_kernel(scanlines, pixels, polar, images):
    """One thread per pixel of the sector and frame."""
    frame, pixel = cuda.grid(2)
    if pixel < pixels.address.size and frame < images.shape[0]:
        images[frame, pixels.address[pixel]] = to_grey(polar_at(pixel, frame, scanlines, pixels, polar))


@_kernel
def scan_convert_map_kernel(scanlines, pixels, polar, scale, maps):
    """One thread per pixel of the sector and frame."""
    frame, pixel = cuda.grid(2)
    if pixel < pixels.address.size and frame < maps.shape[0]:
        maps[frame, pixels.address[pixel]] = polar_at(pixel, frame, scanlines, pixels, polar) / scale[frame]


@_kernel
def attenuate_kernel(geometry, media, beam, poses, polar):
    """One thread per scanline."""
    index = cuda.grid(1)
    if index < polar.shape[0]:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        attenuate_line(index, geometry, media, beam, poses, polar, stack, stack_t)


@_kernel
def decimate_kernel(stride, polar, out):
    """One thread per kept sample."""
    index, sample = cuda.grid(2)
    if sample < out.shape[1] and index < out.shape[0]:
        out[index, sample] = polar[index, sample * stride]


@_kernel
def flatten_kernel(geometry, plane, flat):
    """One thread per vertex."""
    vertex = cuda.grid(1)
    if vertex < flat.shape[0]:
        to_image(vertex, geometry, plane, flat)


@_kernel
def collect_kernel(geometry, flat, counts, columns, surfaces):
    """One thread per triangle: append its crossings to the rows it spans, as far as there is room."""
    triangle = cuda.grid(1)
    if triangle >= geometry.triangles.shape[0]:
        return
    found, u1, v1, u2, v2 = outline_segment(triangle, geometry, flat)
    if found:
        first, last = rows_spanned(v1, v2, counts.size)
        for row in range(first, last):
            slot = cuda.atomic.add(counts, row, 1)
            if slot < columns.shape[1]:
                columns[row, slot] = crossing_column(row, u1, v1, u2, v2)
                surfaces[row, slot] = geometry.triangle_surface[triangle]


@_kernel
def fill_kernel(geometry, mask, counts, columns, surfaces, labels):
    """One thread per image row."""
    row = cuda.grid(1)
    if row < mask.shape[0]:
        count = min(counts[row], columns.shape[1])
        sort_crossings(columns[row], surfaces[row], 0, count)
        sweep_row(row, columns[row], surfaces[row], 0, count, geometry, mask, labels)


def _over(count: int, threads: int = _THREADS) -> tuple[int, int]:
    return (count + threads - 1) // threads, threads


def _over_rows(shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """One block per row and stretch of columns; rows come first because only that axis may exceed 65,535 blocks."""
    rows, columns = shape
    return (rows, (columns + _THREADS - 1) // _THREADS), (1, _THREADS)


class CudaBackend:
    """Stages on device arrays; the same methods as :class:`ussim.render.backends.cpu.CpuBackend`.

    Raises:
        UssimError: If there is no usable GPU.
    """

    name = "cuda"

    def __init__(self):
        reason = why_unavailable()
        if reason is not None:
            raise UssimError(f"backend = 'cuda': {reason}; allowed here: cpu")
        self._room = _FIRST_ROOM

    @property
    def device(self) -> str:
        """Name of the GPU."""
        if SIMULATED:
            return "cuda: simulator"
        name = cuda.get_current_device().name
        return f"cuda: {name.decode() if isinstance(name, bytes) else name}"

    def put(self, table):
        """Copy an array, or the arrays of a named tuple, to the device."""
        if isinstance(table, np.ndarray):
            return cuda.to_device(np.ascontiguousarray(table))
        return type(table)(*(self.put(v) if isinstance(v, np.ndarray) else v for v in table))

    def empty(self, shape, dtype):
        """Uninitialised device array."""
        return cuda.device_array(shape, dtype)

    def zeros(self, shape, dtype):
        """Device array of zeros."""
        return cuda.to_device(np.zeros(shape, dtype))

    def get(self, array) -> np.ndarray:
        """Copy to the host."""
        return array.copy_to_host()

    def wait(self) -> None:
        """Return when all launched work is done."""
        cuda.synchronize()

    def every(self, polar, stride: int) -> np.ndarray:
        """Every ``stride``-th sample of each line, on the host."""
        out = self.empty((polar.shape[0], (polar.shape[1] + stride - 1) // stride), np.float32)
        decimate_kernel[_over_rows(out.shape)](np.int32(stride), polar, out)
        return self.get(out)

    @property
    def memory_bytes(self) -> int:
        """Memory of the GPU; of more than that no frame can be made."""
        return sys.maxsize if SIMULATED else cuda.current_context().get_memory_info()[1]

    def frames_at_once(self, bytes_per_frame: int) -> int:
        """Frames whose work arrays fit into the memory set aside for them."""
        if SIMULATED:
            return 1
        free, _ = cuda.current_context().get_memory_info()
        room = min(_MEMORY_LIMIT, int(free * _MEMORY_SHARE))
        return max(1, min(_MOST_FRAMES, room // bytes_per_frame))

    def trace_sheets(self, geometry, media, beam, poses, sheets) -> None:
        """What lies on the lines of every sheet."""
        sheets_kernel[_over(sheets.wall_count.size, _TRACE_THREADS)](geometry, media, beam, poses, sheets)

    def trace_rays(self, geometry, media, beam, poses, sheets, passed) -> None:
        """The one-way amplitude of every ray."""
        grid = _over(passed.shape[0] * passed.shape[2], _TRACE_THREADS)
        rays_kernel[grid](geometry, media, beam, poses, sheets, passed)

    def gather(self, beam, passed, seen) -> None:
        """The two-way amplitude of every point."""
        gather_kernel[_over(seen.size)](beam, passed, seen)

    def march(self, media, beam, poses, sheets, seen, real, imag) -> None:
        """The scatterers of every line."""
        blocks = (real.shape[1] + _BLOCK - 1) // _BLOCK
        strips = poses.shape[0] * strips_of(int(beam.scanlines))
        grid = (int(strips), (blocks + _MARCH_THREADS - 1) // _MARCH_THREADS), (1, _MARCH_THREADS)
        march_kernel[grid](media, beam, poses, sheets, seen, real, imag)

    def reflect(self, geometry, media, beam, poses, sheets, seen, reflected, real, imag) -> None:
        """What is seen on reflected paths."""
        reflect_kernel[_over(real.shape[0], 32)](geometry, media, beam, poses, sheets, seen, reflected)
        reflected_kernel[_over_rows(real.shape)](beam, reflected, real, imag)

    def receive(self, points, beam, display, poses, sheets, seen, real, imag, out_real, out_imag) -> None:
        """From echoes to baseband lines."""
        pulse_kernel[_over_rows(real.shape)](display, real, imag, out_real, out_imag)
        if points.shape[0]:
            points_kernel[_over(real.shape[0], 32)](points, beam, display, poses, sheets, seen, out_real, out_imag)
        walls_kernel[_over(real.shape[0], 32)](beam, display, sheets, seen, out_real, out_imag)

    def add_side_lobes(self, beam, lobes, real, imag, out_real, out_imag) -> None:
        """Baseband lines with what their neighbours see."""
        side_lobes_kernel[_over_rows(real.shape)](beam, lobes, real, imag, out_real, out_imag)

    def show(self, beam, display, frame_keys, real, imag, power, grey) -> None:
        """From baseband lines to grey levels."""
        grid = _over_rows(grey.shape)
        power_kernel[grid](beam, display, frame_keys, real, imag, power)
        grey_kernel[grid](display, power, grey)

    def scan_convert(self, scanlines, pixels, polar, images) -> None:
        """From the polar grid to pixels."""
        grid = _over_rows((images.shape[0], pixels.address.size))
        scan_convert_kernel[grid](scanlines, pixels, polar, images)

    def scan_convert_map(self, scanlines, pixels, polar, scale, maps) -> None:
        """The same for maps, over their scale."""
        grid = _over_rows((maps.shape[0], pixels.address.size))
        scan_convert_map_kernel[grid](scanlines, pixels, polar, scale, maps)

    def attenuate(self, geometry, media, beam, poses, polar) -> None:
        """Integral attenuation on the polar grid."""
        attenuate_kernel[_over(polar.shape[0], 32)](geometry, media, beam, poses, polar)

    def segment(self, geometry, planes, mask, labels) -> None:
        """Label images (n, H, W) of the scene's cross-sections with n image planes."""
        while True:
            fullest = self._segment_with(self._room, geometry, planes, mask, labels)
            if fullest <= self._room:
                return
            self._room = 2 ** int(np.ceil(np.log2(fullest)))

    def _segment_with(self, room: int, geometry, planes, mask, labels) -> int:
        """Fill the label images with room for so many crossings a row; returns the most any row had."""
        frames, height = labels.shape[:2]
        flat = self.empty(geometry.vertices.shape, np.float32)
        counts = self.zeros((frames, height), np.int32)
        columns = self.empty((height, room), np.float32)
        surfaces = self.empty((height, room), np.int32)
        for frame in range(frames):
            flatten_kernel[_over(flat.shape[0])](geometry, planes[frame], flat)
            collect_kernel[_over(geometry.triangles.shape[0])](geometry, flat, counts[frame], columns, surfaces)
            fill_kernel[_over(height, 32)](geometry, mask, counts[frame], columns, surfaces, labels[frame])
        return int(self.get(counts).max())
