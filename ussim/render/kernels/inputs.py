"""What the kernels read: flat named tuples of float32 and int32, the same on the CPU and on a GPU.

Numba accepts a flat named tuple as an argument of a parallel loop and of a CUDA kernel; nested ones fail.
"Depth" is always the displayed one: two-way time × 1540 m/s / 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Array = Any  # numpy array on the CPU, device array on a GPU


class Geometry(NamedTuple):
    """A scene's triangles: the tree's arrays and what each triangle belongs to."""

    boxes: Array
    children: Array
    corners: Array
    primitives: Array
    normals: Array  # (T, 3) float32, outward unit normals
    normal_fields: Array  # (T, 16) float32, smooth normals: see :func:`ussim.render.normals.normal_fields`
    vertices: Array  # (V, 3) float32, mm
    triangles: Array  # (T, 3) int32
    triangle_surface: Array  # (T,) int32, bit index of the triangle's surface
    surface_medium: Array  # (S,) int32, index into Media


class Media(NamedTuple):
    """Acoustic properties by medium index, each (M,) float32 unless said otherwise."""

    speed_ratio: Array  # speed of sound over the assumed 1540 m/s
    impedance_mrayl: Array
    loss_db_per_mm: Array  # two-way attenuation per mm of path, at the probe's frequency
    roughness_exponent: Array
    thickness_mm: Array
    scatter_density: Array
    scatter_mean: Array
    scatter_std: Array


class Display(NamedTuple):
    """From baseband lines to grey levels."""

    pulse: Array  # (2·W + 1,) axial pulse for scatterers, sampled
    pulse_sigma_mm: float
    gain_db: Array  # (J,) time-gain compensation, minus the level that is black
    grey_per_db: float
    half_window: int  # samples on either side that a pixel averages
    noise: float  # standard deviation of the real and of the imaginary part


class Pixels(NamedTuple):
    """The pixels of the sector, in row order: where each lies between four polar samples."""

    address: Array  # (Q,) int32, index into the flattened image
    line: Array  # (Q,) int32
    sample: Array  # (Q,) int32
    across: Array  # (Q,) float32, fraction of the way to the next line
    along: Array  # (Q,) float32, fraction of the way to the next sample
