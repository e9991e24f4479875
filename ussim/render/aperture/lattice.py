"""A world-fixed lattice whose cells hash to at most one point scatterer each, on several levels of pitch.

A cell's scatterer is present with probability ``density`` and sits anywhere in its cell; nothing is stored. Only the
fluctuation about the medium's mean echoes (a uniform medium is silent), so the backscattered power of a cell is
``density·std² + density·(1 − density)·mean²``.
"""

from __future__ import annotations

import numpy as np

from ussim.jit import device
from ussim.render.physics.random import bell, mix
from ussim.render.physics.scatter import whole

PLACE_MM = 0.1
"""Size of the cells within which a wall is rough in one and the same way."""
_UNIT_24 = np.float32(2.0**-24)
_UNIT_10 = np.float32(2.0**-10)


@device
def of_axis(axis, x, y, z):
    """The component of an axis, 0 to 2."""
    return x if axis == 0 else (y if axis == 1 else z)


@device
def cell_hash(m, axis_m, p, axis_p, q, axis_q, salt, level):
    """Hash of a cell of the lattice, uint32, the same in whatever order its three indices and their axes are given.

    ``salt`` separates seeds, ``level`` lattices of other pitch.
    """
    one, two, three = np.uint32(0x8DA6B343), np.uint32(0xD8163841), np.uint32(0xCB1AB31F)
    h = np.uint32(np.uint32(m) * of_axis(axis_m, one, two, three))
    h = np.uint32(h ^ np.uint32(np.uint32(p) * of_axis(axis_p, one, two, three)))
    h = np.uint32(h ^ np.uint32(np.uint32(q) * of_axis(axis_q, one, two, three)))
    return mix(np.uint32(np.uint32(h ^ salt) + np.uint32(np.uint32(level) * np.uint32(0x9E3779B1))))


@device
def cell_place(h):
    """Where the scatterer sits in its cell along x, y and z: three numbers in [0, 1)."""
    p = np.uint32(np.uint32(h ^ np.uint32(0xA511E9B3)) * np.uint32(0x2C1B3C6D))
    p = np.uint32(p ^ np.uint32(p >> np.uint32(14)))
    return (
        np.float32(np.int32(np.uint32(p & np.uint32(1023)))) * _UNIT_10,
        np.float32(np.int32(np.uint32(np.uint32(p >> np.uint32(10)) & np.uint32(1023)))) * _UNIT_10,
        np.float32(np.int32(np.uint32(np.uint32(p >> np.uint32(20)) & np.uint32(1023)))) * _UNIT_10,
    )


@device
def gauss(h, number):
    """Nearly standard normal number of a cell, one for each ``number``."""
    g = np.uint32(np.uint32(h * np.uint32(0x9E3779B1)) + np.uint32(np.uint32(number) * np.uint32(0x7F4A7C15)))
    return bell(np.uint32(g ^ np.uint32(g >> np.uint32(15))))


@device
def fluctuation(h, density, mean, std):
    """Reflectivity of a cell about its medium's mean: ``mean`` ± ``std`` where there is a scatterer.

    Only the sign is random. Few scatterers that lie at random and are not all there have sums with heavier tails than
    Rayleigh speckle has; every spread of their sizes would add to that.
    """
    present = np.float32(np.int32(np.uint32(h >> np.uint32(8)))) * _UNIT_24 < density
    is_positive = np.uint32(np.uint32(h * np.uint32(0x9E3779B1)) >> np.uint32(31)) == np.uint32(0)
    drawn = mean + (std if is_positive else -std)
    return (drawn if present else np.float32(0)) - density * mean


@device
def place_key(x, y, z):
    """Key of a place in the scene, the same for all that lies within the same cell of ``PLACE_MM``."""
    cells = np.float32(1 / PLACE_MM)
    return cell_hash(whole(x * cells), 0, whole(y * cells), 1, whole(z * cells), 2, np.uint32(0x5BD1E995), 0)
