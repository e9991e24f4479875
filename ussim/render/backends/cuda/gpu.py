"""One NVIDIA GPU, through the driver's own interface: memory, copies, streams, launches, graphs.

A launch hands over addresses that were packed when the tables were made, so it costs some microseconds of Python.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import driver

from ussim.errors import UssimError

_STAGED_BYTES = 1 << 20
OLDEST_DRIVER = 12000
"""CUDA version that a driver must support, as it says it: compiled kernels run on any of the same or a later major."""


class GpuError(UssimError):
    """The GPU, or its driver, failed; what was written before is whole."""


class OutOfGpuMemory(GpuError):
    """There is less memory free on the GPU than was asked for."""


def check(result: tuple) -> Any:
    """What a call of the driver returns, without its status.

    Raises:
        OutOfGpuMemory: It found no memory.
        GpuError: It failed.
    """
    status, *values = result
    if status != driver.CUresult.CUDA_SUCCESS:
        if status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise OutOfGpuMemory(
                f"backend = 'cuda': the GPU has too little memory left ({status.name}); allowed here: cpu"
            )
        raise GpuError(f"backend = 'cuda': the GPU failed ({status.name}); --backend cpu does without it")
    return values[0] if len(values) == 1 else tuple(values)


class DeviceArray:
    """A C-contiguous array on the GPU; torch and others take it as it is (``__cuda_array_interface__``).

    Attributes:
        pointer: Its address on the device.
        shape, dtype: As of NumPy.
        owner: What keeps the memory.
    """

    __slots__ = ("dtype", "owner", "pointer", "shape")

    def __init__(self, pointer: int, shape: int | tuple[int, ...], dtype: Any, owner: Any):
        self.pointer, self.owner = pointer, owner
        self.shape = (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * self.dtype.itemsize

    def reshape(self, *shape: Any) -> DeviceArray:
        """The same elements in another shape, without a copy; −1 stands for what is left."""
        shape = shape[0] if isinstance(shape[0], tuple) else shape
        known = math.prod(n for n in shape if n >= 0)
        return DeviceArray(
            self.pointer, tuple(n if n >= 0 else self.size // known for n in shape), self.dtype, self.owner
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.pointer, False), "version": 3}


class Gpu:
    """The first GPU that is visible to this process, ``CUDA_VISIBLE_DEVICES`` says which.

    There is one: :func:`why_no_gpu` says so.
    """

    def __init__(self) -> None:
        self._device = check(driver.cuDeviceGet(0))
        self._context = check(driver.cuDevicePrimaryCtxRetain(self._device))
        self._thread: int | None = None
        self.enter()
        not_blocking = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        self.stream = check(driver.cuStreamCreate(not_blocking))
        self._copies = check(driver.cuStreamCreate(not_blocking))
        self._ready = check(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING))
        self._functions: dict[bytes, Any] = {}
        self._modules: list[Any] = []
        self._pinned: dict[int, list[int]] = {}
        # Two batches at most are on their way, of some small tables each: what drops out here has long been copied.
        self._staged: deque[np.ndarray] = deque(maxlen=64)
        self._allocations: weakref.WeakSet[_Allocation] = weakref.WeakSet()
        weakref.finalize(self, _leave, self._device, (self.stream, self._copies), self._ready, self._modules)

    def enter(self) -> None:
        """Make this GPU that of the calling thread."""
        if self._thread != threading.get_ident():
            check(driver.cuCtxSetCurrent(self._context))
            self._thread = threading.get_ident()

    # What it is -----------------------------------------------------------------------------------
    @property
    def name(self) -> str:
        """Its name."""
        return check(driver.cuDeviceGetName(256, self._device)).partition(b"\0")[0].decode(errors="replace")

    @property
    def compute_capability(self) -> tuple[int, int]:
        """Of the processor, for example (9, 0)."""
        kind = driver.CUdevice_attribute
        wanted = kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
        major, minor = (check(driver.cuDeviceGetAttribute(one, self._device)) for one in wanted)
        return major, minor

    @property
    def driver_version(self) -> int:
        """CUDA version of its driver, 12080 for 12.8."""
        return check(driver.cuDriverGetVersion())

    @property
    def memory_bytes(self) -> tuple[int, int]:
        """Memory: free, and in all."""
        self.enter()
        return check(driver.cuMemGetInfo())

    # Memory ---------------------------------------------------------------------------------------
    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> DeviceArray:
        """Uninitialised array.

        Raises:
            OutOfGpuMemory: There is no room for it.
        """
        self.enter()
        size = max(1, math.prod(np.atleast_1d(shape)) * np.dtype(dtype).itemsize)
        allocation = _Allocation(self, int(size))
        self._allocations.add(allocation)
        return DeviceArray(allocation.pointer, shape, dtype, allocation)

    def clear(self, array: DeviceArray) -> None:
        """Fill an array with zeros."""
        self.enter()
        check(driver.cuMemsetD8Async(array.pointer, 0, array.nbytes, self.stream))

    def put(self, values: np.ndarray, into: DeviceArray | None = None) -> DeviceArray:
        """Copy an array to the GPU, into one that is there if given; returns when the host's may change."""
        values = np.ascontiguousarray(values)
        array = self.empty(values.shape, values.dtype) if into is None else into
        self.enter()
        if values.nbytes <= _STAGED_BYTES:
            # From page-locked memory the copy takes its turn on the stream, and nothing waits.
            staged = self._pinned_array(values.nbytes)
            staged[:] = values.reshape(-1).view(np.uint8)
            self._staged.append(staged)
            check(driver.cuMemcpyHtoDAsync(array.pointer, staged.ctypes.data, values.nbytes, self.stream))
        else:
            check(driver.cuMemcpyHtoDAsync(array.pointer, values.ctypes.data, values.nbytes, self.stream))
            check(driver.cuStreamSynchronize(self.stream))
        return array

    def fetch(self, array: DeviceArray) -> Callable[[], np.ndarray]:
        """Start to copy an array to the host, beside what is launched from now on.

        The array must not be written before the copy is awaited. Its memory is page-locked, and used again once nobody
        holds the result.

        Returns:
            What waits for the copy, and returns it.
        """
        self.enter()
        host = self._pinned_array(array.nbytes)
        check(driver.cuEventRecord(self._ready, self.stream))
        check(driver.cuStreamWaitEvent(self._copies, self._ready, 0))
        check(driver.cuMemcpyDtoHAsync(host.ctypes.data, array.pointer, array.nbytes, self._copies))
        done = check(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING))
        check(driver.cuEventRecord(done, self._copies))

        def wait() -> np.ndarray:
            self.enter()
            try:
                check(driver.cuEventSynchronize(done))
            finally:
                driver.cuEventDestroy(done)
            return host.view(array.dtype).reshape(array.shape)

        return wait

    def wait(self) -> None:
        """Return when all that was launched and copied is done."""
        self.enter()
        check(driver.cuStreamSynchronize(self.stream))
        check(driver.cuStreamSynchronize(self._copies))

    def _pinned_array(self, size: int) -> np.ndarray:
        free = self._pinned.setdefault(size, [])
        address = free.pop() if free else int(check(driver.cuMemAllocHost(max(1, size))))
        buffer = (ctypes.c_ubyte * size).from_address(address)
        weakref.finalize(buffer, free.append, address)
        return np.frombuffer(buffer, np.uint8)

    def close(self) -> None:
        """Give all memory back, arrays that are still held included."""
        self.enter()
        driver.cuStreamSynchronize(self.stream)
        driver.cuStreamSynchronize(self._copies)
        for allocation in list(self._allocations):
            allocation.free()
        self._staged.clear()
        for free in self._pinned.values():
            while free:
                driver.cuMemFreeHost(free.pop())

    # Work -----------------------------------------------------------------------------------------
    def load(self, code: bytes, name: str) -> Any:
        """The kernel of a name in a compiled program (cubin)."""
        if code not in self._functions:
            self.enter()
            module = check(driver.cuModuleLoadData(code))
            self._modules.append(module)
            self._functions[code] = check(driver.cuModuleGetFunction(module, name.encode()))
        return self._functions[code]

    def launch(self, function: Any, grid: tuple[int, ...], block: tuple[int, ...], slots: np.ndarray) -> None:
        """Launch a kernel.

        Args:
            function: Of :meth:`load`.
            grid: Blocks, up to three axes.
            block: Threads of a block, likewise.
            slots: (arguments,) uint64, the value of each in its first bytes.
        """
        self.enter()
        addresses = slots.ctypes.data + 8 * np.arange(slots.size, dtype=np.uint64)
        three = (*grid, *(1,) * (3 - len(grid)), *block, *(1,) * (3 - len(block)))
        check(driver.cuLaunchKernel(function, *three, 0, self.stream, addresses.ctypes.data, 0))

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what some code launches on the stream as a graph, without running it.

        The code may neither allocate nor wait. The graph uses the arrays that the launches were given.

        Returns:
            What launches all of it at once.
        """
        self.enter()
        relaxed = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        check(driver.cuStreamBeginCapture(self.stream, relaxed))
        try:
            work()
        finally:
            ended = driver.cuStreamEndCapture(self.stream)
        graph = check(ended)
        program = check(driver.cuGraphInstantiate(graph, 0))
        check(driver.cuGraphDestroy(graph))

        def replay() -> None:
            self.enter()
            check(driver.cuGraphLaunch(program, self.stream))

        weakref.finalize(replay, driver.cuGraphExecDestroy, program)
        return replay


def _leave(device: Any, streams: tuple, event: Any, modules: list[Any]) -> None:
    """Give back what a GPU was used with; at the end of a process the driver may be gone before."""
    for stream in streams:
        driver.cuStreamDestroy(stream)
    driver.cuEventDestroy(event)
    for module in modules:
        driver.cuModuleUnload(module)
    driver.cuDevicePrimaryCtxRelease(device)


class _Allocation:
    """Memory of the GPU, given back with its last array."""

    def __init__(self, gpu: Gpu, size: int):
        self._gpu = gpu
        self.pointer = int(check(driver.cuMemAlloc(size)))

    def free(self) -> None:
        if self.pointer:
            self._gpu.enter()
            driver.cuMemFree(self.pointer)
            self.pointer = 0

    def __del__(self) -> None:
        if getattr(self, "pointer", 0):
            self.free()


def why_no_gpu() -> str | None:
    """Reason why there is no GPU that can be used, None if there is one."""
    try:
        (status,) = driver.cuInit(0)
    except RuntimeError:  # of the bindings: there is no driver to load
        return "no NVIDIA driver was found"
    if status == driver.CUresult.CUDA_ERROR_NO_DEVICE:
        return "no NVIDIA GPU was found"
    if status != driver.CUresult.CUDA_SUCCESS:
        return f"the NVIDIA driver does not start ({status.name})"
    version = check(driver.cuDriverGetVersion())
    if version < OLDEST_DRIVER:
        return (
            f"the NVIDIA driver supports CUDA {version // 1000}.{version % 1000 // 10}, "
            f"{OLDEST_DRIVER // 1000}.{OLDEST_DRIVER % 1000 // 10} or later is needed"
        )
    if check(driver.cuDeviceGetCount()) == 0:
        return "no NVIDIA GPU was found"
    return None
