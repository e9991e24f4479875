"""The arrays that stages work on: prefixes of buffers, one a name, as large as the largest batch needed them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ussim.render.kernels.inputs import Array


class Workspace:
    """Keeps buffers from call to call.

    Args:
        backend: Where they lie.
    """

    def __init__(self, backend: Any):
        self._backend = backend
        self._buffers: dict[str, Array] = {}
        self.generation = 0
        """How many buffers were made so far: arrays are good for as long as it stays."""

    def array(self, name: str, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """An array at the beginning of the buffer of a name, with whatever was there.

        Earlier arrays of the name hold the same memory, or what was it.
        """
        size = math.prod(np.atleast_1d(shape)) * np.dtype(dtype).itemsize
        if name not in self._buffers or self._buffers[name].nbytes < size:
            self._buffers.pop(name, None)  # before the new one: two need twice the memory
            self.generation += 1
            self._buffers[name] = self._backend.empty(max(1, int(size)), np.uint8)
        return self._backend.view(self._buffers[name], shape, dtype)

    def clear(self) -> None:
        """Forget all buffers."""
        self._buffers.clear()
