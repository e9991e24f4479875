"""Elementary functions of our own, against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from ussim.render.kernels.scan_convert import to_half
from ussim.render.physics.functions import arctangent, cosine_and_sine, exponential, logarithm

EVERYWHERE = np.concatenate([np.geomspace(1e-37, 1e37, 4001), [1, 2**0.5, 0.5**0.5, np.nextafter(1, 0)]]).astype("f4")


def test_exponential_is_good_to_a_few_units_of_the_last_place():
    x = np.linspace(-86.9, 88, 20001, dtype=np.float32)
    found = np.array([exponential(v) for v in x], float)
    np.testing.assert_allclose(found, np.exp(x.astype(float)), rtol=3e-7)
    assert exponential(np.float32(0)) == 1
    assert exponential(np.float32(-88)) == 0
    assert np.isfinite(exponential(np.float32(1e6)))


def test_logarithm_is_good_to_a_few_units_of_the_last_place():
    found = np.array([logarithm(v) for v in EVERYWHERE], float)
    np.testing.assert_allclose(found, np.log(EVERYWHERE.astype(float)), rtol=3e-7, atol=2e-7)
    assert logarithm(np.float32(1)) == 0


def test_cosine_and_sine_of_a_turn_are_good_to_a_few_units_of_one():
    turns = np.linspace(0, 1, 20001, dtype=np.float32)
    found = np.array([cosine_and_sine(v) for v in turns], float)
    angle = 2 * np.pi * turns.astype(float)
    np.testing.assert_allclose(found, np.stack([np.cos(angle), np.sin(angle)], axis=1), rtol=0, atol=2e-7)


@pytest.mark.parametrize("radius", [1e-6, 1.0, 1e6])
def test_arctangent_is_that_of_the_right_half_plane(radius):
    angle = np.linspace(-np.pi / 2, np.pi / 2, 20001)
    y, x = np.float32(radius * np.sin(angle)), np.float32(np.maximum(radius * np.cos(angle), 0))
    found = np.array([arctangent(*point) for point in zip(y, x, strict=True)], float)
    np.testing.assert_allclose(found, np.arctan2(y.astype(float), x), rtol=3e-7, atol=1e-12)
    assert arctangent(np.float32(0), np.float32(0)) == 0


def test_half_precision_is_numpys():
    values = np.concatenate([np.geomspace(1e-9, 65504, 20001), [0, 1, 2**-24, 2**-25, 3 * 2**-25, 2**-14]]).astype("f4")
    bits = np.array([to_half(v) for v in values], np.uint16)
    np.testing.assert_array_equal(bits.view(np.float16), values.astype(np.float16))
    assert np.uint16(to_half(np.float32(1e9))).view(np.float16) == 65504
