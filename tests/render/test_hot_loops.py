"""The loops that most of a frame's time goes into vectorise, and stay in 32 bits.

Numba makes an int64 of the sum of two int32, and a loop that turned such a sum into a float took twice as long.
"""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest
from numba import float32, int32, int64, uint32

from ussim.jit import CPU_OPTIONS
from ussim.render.aperture.scatterers import place_cells, place_echoes
from ussim.render.kernels.receive import decibels

FLOATS, WHOLES = float32[:, ::1], int32[:, ::1]
TYPES = {
    **{name: int64 for name in ("count", "axis_m", "axis_p", "axis_q", "m", "level", "begin", "lines")},
    **{name: int32 for name in ("last_node", "last_sample", "line_before", "scanlines", "layers", "at_once")},
    **{"salt": uint32, "hashes": uint32[::1], "cells": WHOLES, "slots": WHOLES, "work": FLOATS},
    **{"echoes": float32[:, :, ::1], "power": float32[::1], "gain": float32[::1], "grey": float32[::1]},
}


def show(power, gain, grey):
    for n in range(power.size):
        grey[n] = decibels(power[n]) + gain[n]


@pytest.mark.parametrize(
    "function", [place_cells.py_func, place_echoes.py_func, show], ids=["cells", "echoes", "grey levels"]
)
def test_loop_vectorises_in_32_bits(function):
    code = function.__code__
    fresh = numba.njit(**CPU_OPTIONS)(function)
    fresh.compile(tuple(TYPES.get(name, float32) for name in code.co_varnames[: code.co_argcount]))
    llvm = fresh.inspect_llvm(fresh.signatures[0])
    assert re.search(r"fmul <\d+ x float>", llvm)
    assert not re.search(r"sitofp <\d+ x i64>", llvm)


def test_decibels_are_ten_logarithms_of_any_normal_power():
    power = np.concatenate([np.geomspace(1e-30, 1e30, 20001), [1, 2**0.5, 0.5**0.5, np.nextafter(1, 0)]]).astype("f4")
    found = np.array([decibels(p) for p in power])
    np.testing.assert_allclose(found, 10 * np.log10(power.astype(float)), rtol=0, atol=4e-5)
