"""The stages on device arrays: which kernel on how many threads. Frames run in batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ussim.errors import UssimError
from ussim.render.aperture.scatterers import strips_of
from ussim.render.backends.cuda import kernels, why_unavailable
from ussim.render.backends.cuda.compiler import Packed, pack, program_of
from ussim.render.backends.cuda.gpu import DeviceArray, Gpu, OutOfGpuMemory
from ussim.render.workspace import Workspace

_THREADS = 128
_FEW_THREADS = 32  # of what is few and long: one warp a block spreads it over all processors
_TRACE_THREADS = 64
# Work arrays of one batch may take this share of the device's free memory, and this much at most.
_MEMORY_SHARE = 0.5
_MEMORY_LIMIT = 40 << 30
_MOST_FRAMES = 256  # one thread a scanline fills a large device only so
# Samples of a strip whose scatterers one thread sums. Short blocks cost more in all, since what lies on the border of
# two is looked at for both, but they busy more of a device when there are few strips.
_LONG_BLOCK, _SHORT_BLOCK, _MANY_STRIPS = 128, 16, 256
_MOST_PACKED = 64
_FIRST_ROOM = 256  # crossings of one image row, to begin with
_DIGITS = (kernels.FIRST_DIGIT, 16, 8, 0)  # shifts of the digits of a float, highest first


class CudaBackend:
    """Stages on device arrays; the same methods as :class:`ussim.render.backends.cpu.CpuBackend`.

    Raises:
        UssimError: If there is no usable GPU.
    """

    name = "cuda"
    OutOfMemory = OutOfGpuMemory

    def __init__(self) -> None:
        reason = why_unavailable()
        if reason is not None:
            raise UssimError(f"backend = 'cuda': {reason}; allowed here: cpu")
        self.gpu = Gpu()
        self._capability = self.gpu.compute_capability
        self._room = _FIRST_ROOM
        self._batch_bytes: int | None = None
        self._packed: dict[int, tuple[Any, Packed]] = {}
        self._loaded: dict[Any, Any] = {}
        self._crossings: DeviceArray
        self._work = Workspace(self)

    @property
    def device(self) -> str:
        """Name of the GPU."""
        return f"cuda: {self.gpu.name}"

    @property
    def generation(self) -> int:
        """Changes when stages work on other arrays of their own."""
        return self._work.generation + self._room

    # Memory ---------------------------------------------------------------------------------------
    def put(self, table):
        """Copy an array, or the arrays of a named tuple, to the device."""
        if isinstance(table, np.ndarray):
            return self.gpu.put(table)
        copied = type(table)(*(self.gpu.put(v) if isinstance(v, np.ndarray) else v for v in table))
        # Packed once: such tables are the same at each launch. The oldest make room, as those of a gain long changed.
        if len(self._packed) >= _MOST_PACKED:
            del self._packed[next(iter(self._packed))]
        self._packed[id(copied)] = copied, pack(copied)
        return copied

    def update(self, array: DeviceArray, values: np.ndarray) -> None:
        """Overwrite an array on the device."""
        self.gpu.put(values, into=array)

    def empty(self, shape, dtype) -> DeviceArray:
        """Uninitialised device array."""
        return self.gpu.empty(shape, dtype)

    def clear(self, array: DeviceArray) -> None:
        """Fill an array with zeros."""
        self.gpu.clear(array)

    def view(self, buffer: DeviceArray, shape, dtype) -> DeviceArray:
        """The first bytes of a buffer as an array."""
        return DeviceArray(buffer.pointer, shape, dtype, buffer.owner)

    def fetch(self, array: DeviceArray) -> Callable[[], np.ndarray]:
        """Begin to copy to the host; what is returned waits for the copy."""
        return self.gpu.fetch(array)

    def get(self, array: DeviceArray) -> np.ndarray:
        """Copy to the host."""
        return self.gpu.fetch(array)()

    def record(self, launch: Callable[[], None]) -> Callable[[], None]:
        """A function that launches at once what some code launches, which neither allocates nor waits."""
        return self.gpu.record(launch)

    def wait(self) -> None:
        """Return when all launched work is done."""
        self.gpu.wait()

    @property
    def memory_bytes(self) -> int:
        """Memory of the GPU; of more than that no frame can be made."""
        return self.gpu.memory_bytes[1]

    def frames_at_once(self, bytes_per_frame: int) -> int:
        """Frames whose work arrays fit into the memory set aside for them, which is found out once."""
        if self._batch_bytes is None:
            self._batch_bytes = min(_MEMORY_LIMIT, int(self.gpu.memory_bytes[0] * _MEMORY_SHARE))
        return max(1, min(_MOST_FRAMES, self._batch_bytes // bytes_per_frame))

    def set_aside(self, batch_bytes: int) -> None:
        """Let the work arrays of a batch take so much from now on."""
        self._batch_bytes = batch_bytes

    def close(self) -> None:
        """Give all memory of the GPU back."""
        self._packed.clear()
        self._work.clear()
        self.gpu.close()

    # Launches -------------------------------------------------------------------------------------
    def _run(self, kernel: Callable, grid: tuple, block: tuple, *arguments: Any) -> None:
        packed = [self._pack(argument) for argument in arguments]
        key = kernel, tuple(part.type for part in packed)
        if key not in self._loaded:
            program = program_of(kernel, key[1], self._capability)
            self._loaded[key] = self.gpu.load(program.code, program.name)
        self.gpu.launch(self._loaded[key], grid, block, np.concatenate([part.slots for part in packed]))

    def _pack(self, argument: Any) -> Packed:
        held = self._packed.get(id(argument))
        return held[1] if held is not None and held[0] is argument else pack(argument)

    def _over(self, kernel: Callable, count: int, *arguments: Any, threads: int = _THREADS) -> None:
        """One thread per element."""
        self._run(kernel, ((count + threads - 1) // threads,), (threads,), *arguments)

    def _over_rows(self, kernel: Callable, shape: tuple[int, int], *arguments: Any, threads: int = _THREADS) -> None:
        """One block per row and stretch of columns; rows come first: only that axis may exceed 65,535 blocks."""
        rows, columns = shape
        self._run(kernel, (int(rows), (columns + threads - 1) // threads), (1, threads), *arguments)

    # Stages ---------------------------------------------------------------------------------------
    def trace_sheets(self, geometry, media, beam, poses, sheets) -> None:
        """What lies on the lines of every sheet."""
        count = sheets.wall_count.size
        self._over(kernels.sheets_kernel, count, geometry, media, beam, poses, sheets, threads=_FEW_THREADS)

    def trace_rays(self, geometry, media, beam, poses, sheets, passed) -> None:
        """The one-way amplitude of every ray."""
        count = passed.shape[0] * passed.shape[2]
        self._over(kernels.rays_kernel, count, geometry, media, beam, poses, sheets, passed, threads=_TRACE_THREADS)

    def gather(self, beam, passed, seen) -> None:
        """The two-way amplitude of every point."""
        self._over(kernels.gather_kernel, seen.size, beam, passed, seen)

    def march(self, media, beam, poses, sheets, seen, real, imag) -> None:
        """The scatterers of every line."""
        strips = poses.shape[0] * int(strips_of(beam.scanlines))
        size = _LONG_BLOCK if strips >= _MANY_STRIPS else _SHORT_BLOCK
        shape = strips, (real.shape[1] + size - 1) // size
        tables = np.int32(size), media, beam, poses, sheets, seen, real, imag
        self._over_rows(kernels.march_kernel, shape, *tables, threads=_FEW_THREADS)

    def reflect(self, geometry, media, beam, poses, sheets, seen, reflected, real, imag) -> None:
        """What is seen on reflected paths."""
        tables = geometry, media, beam, poses, sheets, seen, reflected
        self._over(kernels.reflect_kernel, real.shape[0], *tables, threads=_FEW_THREADS)
        self._over_rows(kernels.reflected_kernel, real.shape, beam, reflected, real, imag)

    def receive(self, points, beam, display, poses, sheets, seen, real, imag, out_real, out_imag) -> None:
        """From echoes to baseband lines."""
        self._over_rows(kernels.pulse_kernel, real.shape, display, real, imag, out_real, out_imag)
        warps = (real.shape[0],), (kernels.WARP,)
        if points.shape[0]:
            self._run(kernels.points_kernel, *warps, points, beam, display, poses, sheets, seen, out_real, out_imag)
        self._run(kernels.walls_kernel, *warps, beam, display, sheets, seen, real, imag)
        self._over_rows(kernels.spread_kernel, real.shape, beam, real, imag, out_real, out_imag)

    def add_side_lobes(self, beam, lobes, real, imag, out_real, out_imag) -> None:
        """Baseband lines with what their neighbours see."""
        self._over_rows(kernels.side_lobes_kernel, real.shape, beam, lobes, real, imag, out_real, out_imag)

    def show(self, beam, display, frame_keys, real, imag, power, grey) -> None:
        """From baseband lines to grey levels."""
        self._over_rows(kernels.power_kernel, grey.shape, beam, display, frame_keys, real, imag, power)
        self._over_rows(kernels.grey_kernel, grey.shape, display, power, grey)

    def scan_convert(self, scanlines, pixels, polar, images) -> None:
        """From the polar grid to pixels."""
        shape = images.shape[0], pixels.address.size
        self._over_rows(kernels.scan_convert_kernel, shape, scanlines, pixels, polar, images)

    def scan_convert_map(self, scanlines, pixels, polar, scale, maps) -> None:
        """The same for maps, over their scale, as the bits of float16."""
        shape = maps.shape[0], pixels.address.size
        self._over_rows(kernels.scan_convert_map_kernel, shape, scanlines, pixels, polar, scale, maps)

    def attenuate(self, geometry, media, beam, poses, polar) -> None:
        """Integral attenuation on the polar grid."""
        tables = geometry, media, beam, poses, polar
        self._over(kernels.attenuate_kernel, polar.shape[0], *tables, threads=_FEW_THREADS)

    def every(self, polar, stride: int) -> DeviceArray:
        """Every ``stride``-th sample of each line."""
        out = self._work.array("every", (polar.shape[0], (polar.shape[1] + stride - 1) // stride), np.float32)
        self._over_rows(kernels.decimate_kernel, out.shape, np.int32(stride), polar, out)
        return out

    def value_of_rank(self, values, scanlines: int, rank: int, out) -> None:
        """Of each frame the value ≥ 0 that so many are smaller than, (frames,) float32, by its digits to base 256."""
        frames = out.size
        left, chosen = (self._work.array(name, frames, np.uint32) for name in ("left", "chosen"))
        counts = self._work.array("counts of digits", (frames, kernels.BINS), np.int32)
        self.clear(chosen)
        self.clear(counts)
        for shift in _DIGITS:
            digit, lines = np.int32(shift), np.int32(scanlines)
            self._over_rows(kernels.count_kernel, values.shape, lines, digit, values, chosen, counts)
            arguments = digit, np.int32(rank), left, chosen, counts, out
            self._over(kernels.choose_kernel, frames, *arguments, threads=_FEW_THREADS)

    def segment_bytes(self, vertices: int, height: int) -> int:
        """Memory that :meth:`segment` takes for a frame."""
        return vertices * 12 + height * (4 + self._room * 8)

    def segment(self, geometry, planes, mask, labels) -> None:
        """Label images (n, H, W) of the scene's cross-sections with n image planes; see :meth:`is_labelled`."""
        frames, height, width = labels.shape
        vertices, triangles = geometry.vertices.shape[0], geometry.triangles.shape[0]
        flat = self._work.array("flat", (frames, vertices, 3), np.float32)
        self._crossings = counts = self._work.array("crossings", (frames, height), np.int32)
        columns = self._work.array("columns", (frames, height, self._room), np.float32)
        surfaces = self._work.array("surfaces", (frames, height, self._room), np.int32)
        self.clear(counts)
        self._over_rows(kernels.flatten_kernel, (frames, vertices), geometry, planes, flat)
        self._over_rows(kernels.collect_kernel, (frames, triangles), geometry, flat, counts, columns, surfaces)
        self._over(kernels.sort_kernel, frames * height, counts, columns, surfaces, threads=_FEW_THREADS)
        shape = frames * height, width
        self._over_rows(kernels.label_kernel, shape, geometry, mask, counts, columns, surfaces, labels)

    def is_labelled(self) -> bool:
        """Whether the last :meth:`segment` had room for all crossings; if not, the next one has."""
        fullest = int(self.get(self._crossings).max())
        if fullest <= self._room:
            return True
        self._room = 2 ** math.ceil(math.log2(fullest))
        return False
