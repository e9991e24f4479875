"""A GPU on which nothing runs: what the CUDA backend would launch, on a machine without one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from ussim.render.backends.cuda import backend as cuda_backend
from ussim.render.backends.cuda.compiler import Program
from ussim.render.backends.cuda.gpu import DeviceArray


class Launch(NamedTuple):
    """What was launched: a kernel, the types it was given, blocks and threads of a block."""

    kernel: Any
    kinds: tuple
    grid: tuple[int, ...]
    block: tuple[int, ...]


class DryGpu:
    """Stands for :class:`ussim.render.backends.cuda.gpu.Gpu`; arrays hold nothing."""

    name, compute_capability, driver_version = "dry", (9, 0), 12090
    memory_bytes = (80 << 30, 80 << 30)

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.kernels: dict[str, tuple[Any, tuple]] = {}

    def program_of(self, kernel: Any, kinds: tuple, capability: tuple[int, int]) -> Program:
        name = f"{kernel.__name__} {kinds}"
        self.kernels[name] = kernel, kinds
        return Program(name, b"")

    def load(self, code: bytes, name: str) -> str:
        return name

    def launch(self, function: str, grid: tuple, block: tuple, slots: np.ndarray) -> None:
        self.launches.append(Launch(*self.kernels[function], grid, block))

    def empty(self, shape: Any, dtype: Any) -> DeviceArray:
        return DeviceArray(0, shape, dtype, None)

    def put(self, values: np.ndarray, into: DeviceArray | None = None) -> DeviceArray:
        return self.empty(values.shape, values.dtype)

    def clear(self, array: DeviceArray) -> None: ...

    def fetch(self, array: DeviceArray) -> Any:
        return lambda: np.zeros(array.shape, array.dtype)

    def wait(self) -> None: ...

    def close(self) -> None: ...


def dry_backend(patch: pytest.MonkeyPatch) -> tuple[cuda_backend.CudaBackend, DryGpu]:
    """The CUDA backend on a GPU of this kind."""
    gpu = DryGpu()
    patch.setattr(cuda_backend, "why_unavailable", lambda: None)
    patch.setattr(cuda_backend, "Gpu", lambda: gpu)
    patch.setattr(cuda_backend, "program_of", gpu.program_of)
    return cuda_backend.CudaBackend(), gpu
