"""Kernels as programs of a GPU: compiled by numba-cuda for the types they are given, kept on disk.

They are compiled without fast-math and without fusing products into sums, so that they compute what the CPU does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numba.cuda.extending
import numpy as np
from cuda.bindings import nvjitlink
from numba import types
from numba.cuda.compiler import compile_cuda, kernel_fixup
from numba.np.numpy_support import from_dtype

from ussim.files import write_bytes
from ussim.jit import code_folder
from ussim.render.backends.cuda.gpu import DeviceArray
from ussim.render.physics import intersect

# The traversal tests its lanes in vector instructions on a CPU, and here one by one.
for _lanes in (intersect.lowest_bit, intersect.boxes_hit, intersect.triangles_hit):
    numba.cuda.extending.overload(_lanes, target="cuda", strict=False)(lambda *_types, _same=_lanes: _same)


class Packed(NamedTuple):
    """An argument as a kernel takes it.

    Attributes:
        type: Numba's type of it.
        slots: (n,) uint64, each value in its first bytes.
    """

    type: Any
    slots: np.ndarray


def pack(value: Any) -> Packed:
    """An argument of a kernel: an array on the device, a number of NumPy, or a named tuple of them."""
    if isinstance(value, DeviceArray):
        strides = np.cumprod((value.dtype.itemsize, *value.shape[:0:-1]))[::-1]
        kind = types.Array(from_dtype(value.dtype), len(value.shape), "C")
        fields = [0, 0, value.size, value.dtype.itemsize, value.pointer, *value.shape, *strides]
        return Packed(kind, np.array(fields, np.uint64))
    if isinstance(value, tuple):
        parts = [pack(field) for field in value]
        kind = types.BaseTuple.from_types([part.type for part in parts], type(value))
        return Packed(kind, np.concatenate([part.slots for part in parts]))
    if not isinstance(value, np.number):
        raise TypeError(f"{value!r}: kernels take arrays on the device and numbers of NumPy")
    slot = np.zeros(1, np.uint64)
    slot.view(value.dtype)[0] = value
    return Packed(from_dtype(value.dtype), slot)


class Program(NamedTuple):
    """A compiled kernel.

    Attributes:
        name: Of the kernel within it.
        code: For the GPU (cubin).
    """

    name: str
    code: bytes


def program_of(kernel: Callable[..., None], kinds: tuple, capability: tuple[int, int]) -> Program:
    """The program of a kernel for argument types and a compute capability, from the disk if it was compiled before."""
    described = f"{version('numba-cuda')} {version('cuda-bindings')} {kinds}"
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    folder = code_folder(Path(__file__))
    file = folder / f"{kernel.__name__}-sm_{capability[0]}{capability[1]}-{digest}.cubin" if folder else None
    kept = _kept(file) if file else None
    if kept:
        return kept
    name, ptx = ptx_of(kernel, kinds, capability)
    code = _assemble(ptx, capability)
    if file:  # others may compile the same: what is there is whole, whoever was last
        write_bytes(file, f"{name} {hashlib.sha256(code).hexdigest()}\n".encode() + code)
    return Program(name, code)


def _kept(file: Path) -> Program | None:
    """The program in a file; None if it is not there or damaged."""
    try:
        head, _, code = file.read_bytes().partition(b"\n")
        name, digest = head.decode().split()
    except (OSError, ValueError):
        return None
    return Program(name, code) if hashlib.sha256(code).hexdigest() == digest else None


def ptx_of(kernel: Callable[..., None], kinds: tuple, capability: tuple[int, int]) -> tuple[str, str]:
    """Name of a kernel and its program in the GPU's virtual instructions (PTX)."""
    compiled = compile_cuda(
        kernel, types.void, kinds, cc=capability, fastmath=False, nvvm_options={"opt": 3, "fma": 0}
    )  # fmt: skip
    library = compiled.library
    function = library.get_function(compiled.fndesc.llvm_func_name)
    kernel_fixup(function, False)
    return function.name, "\n".join(library.get_asm_strs(cc=capability))


def _assemble(ptx: str, capability: tuple[int, int]) -> bytes:
    """The code of a program for a processor."""
    linker = nvjitlink.create(1, [f"-arch=sm_{capability[0]}{capability[1]}"])
    try:
        data = ptx.encode() + b"\0"
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, data, len(data), "kernel")
        nvjitlink.complete(linker)
        code = bytearray(nvjitlink.get_linked_cubin_size(linker))
        nvjitlink.get_linked_cubin(linker, code)
    finally:
        nvjitlink.destroy(linker)
    return bytes(code)
