"""Runs the CUDA backend, and the kernels that it compiles, on a machine without a GPU.

What a kernel is compiled to for a GPU comes from LLVM code that numba-cuda makes. Here the same code, linked with
NVIDIA's own library of functions, is compiled for the host too, and a driver of our own (``driver.c``) calls it for
each thread of a launch. All else, from the packing of arguments to streams and graphs, is as on a GPU. What cannot be
seen this way: threads that run at the same time, and what the last step makes of the code.

Import this before anything that imports llvmlite, in a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Today's LLVM, which compiles for the host, reads opaque pointers only.
assert "llvmlite" not in sys.modules, "llvmlite reads this when it is imported"
os.environ["LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS"] = "0"


def load_driver() -> ctypes.CDLL:
    """Build the driver and load it, so that whoever asks for ``libcuda.so.1`` gets it."""
    file = Path(tempfile.mkdtemp()) / "libcuda.so.1"
    source = Path(__file__).with_name("driver.c")
    command = ["cc", "-O2", "-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-o", str(file), str(source), "-ldl"]
    subprocess.run(command, check=True)
    driver = ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
    driver.stub_limit.argtypes, driver.stub_used.restype = [ctypes.c_size_t], ctypes.c_size_t
    return driver


def install() -> ctypes.CDLL:
    """Load the driver, and compile for it what numba-cuda compiles from now on."""
    driver = load_driver()
    from support.stub_gpu import host

    host.compile_too(driver)
    return driver


def install_counting() -> dict[str, ctypes.Array]:
    """As :func:`install`, with kernels that count what they do; returns the counts by the name of a kernel."""
    driver = load_driver()
    from support.stub_gpu import host

    return host.compile_too(driver, counting=True)
