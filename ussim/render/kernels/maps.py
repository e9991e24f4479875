"""The maps beside the image: cross-section of the surfaces (segmentation) and integral attenuation.

Both are undistorted geometry, without refraction: what lies where, and how much was lost on the straight way.

The cross-section is exact. Every triangle that straddles the image plane leaves a segment on it; each image
row collects where segments cross the row's centre line, sorts them and sweeps the row. A segment's ends are
computed from mesh edges in a fixed order of their vertices, so neighbouring triangles agree on them to the
last bit and the outlines are closed: every row meets each surface an even number of times.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.ray_starts import line_start, scene_ray
from ussim.render.kernels.hits import medium_of, next_interface, surfaces_around
from ussim.render.physics.functions import exponential

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_NEPER_PER_DB = np.float32(math.log(10) / 20)


@device
def to_image(vertex, geometry, plane, flat):
    """Write a vertex as (column, elevation [mm], row) in pixels of the image plane."""
    x = geometry.vertices[vertex, 0]
    y = geometry.vertices[vertex, 1]
    z = geometry.vertices[vertex, 2]
    for axis in range(3):
        flat[vertex, axis] = plane[axis, 0] * x + plane[axis, 1] * y + plane[axis, 2] * z + plane[axis, 3]


@device
def edge_point(flat, a, b):
    """Where the edge between two vertices on either side meets the plane: (column, row)."""
    if a > b:
        a, b = b, a
    t = flat[a, 1] / (flat[a, 1] - flat[b, 1])
    return flat[a, 0] + t * (flat[b, 0] - flat[a, 0]), flat[a, 2] + t * (flat[b, 2] - flat[a, 2])


@device
def outline_segment(triangle, geometry, flat):
    """Segment that a triangle leaves on the plane: (found, column 1, row 1, column 2, row 2)."""
    a = geometry.triangles[triangle, 0]
    b = geometry.triangles[triangle, 1]
    c = geometry.triangles[triangle, 2]
    above_a = flat[a, 1] >= _ZERO
    above_b = flat[b, 1] >= _ZERO
    above_c = flat[c, 1] >= _ZERO
    if above_a == above_b and above_b == above_c:
        return False, _ZERO, _ZERO, _ZERO, _ZERO
    if above_b == above_c:  # a is alone
        apex, one, two = a, b, c
    elif above_a == above_c:
        apex, one, two = b, c, a
    else:
        apex, one, two = c, a, b
    u1, v1 = edge_point(flat, apex, one)
    u2, v2 = edge_point(flat, apex, two)
    return True, u1, v1, u2, v2


@device
def rows_spanned(v1, v2, height):
    """Rows whose centre lies in (min, max] of two row coordinates, as a half-open range."""
    low = min(v1, v2)
    high = max(v1, v2)
    limit = np.float32(height)
    first = int(math.floor(min(max(low, np.float32(-1)), limit))) + 1
    last = int(math.floor(min(max(high, np.float32(-1)), limit))) + 1
    return max(first, 0), min(last, height)


@device
def crossing_column(row, u1, v1, u2, v2):
    """Column at which a segment crosses a row."""
    return u1 + (np.float32(row) - v1) / (v2 - v1) * (u2 - u1)


@device
def sort_crossings(columns, surfaces, begin, end):
    """Sort a row's crossings by column, then surface (insertion sort: they are few)."""
    for i in range(begin + 1, end):
        column = columns[i]
        surface = surfaces[i]
        j = i - 1
        while j >= begin and (columns[j] > column or (columns[j] == column and surfaces[j] > surface)):
            columns[j + 1] = columns[j]
            surfaces[j + 1] = surfaces[j]
            j -= 1
        columns[j + 1] = column
        surfaces[j + 1] = surface


@device
def label_at(row, column, columns, surfaces, begin, end, geometry):
    """Label of one pixel from its row's sorted crossings, as :func:`sweep_row` writes it inside the sector."""
    inside = np.uint64(0)
    k = begin
    while k < end and columns[k] <= np.float32(column):
        inside = np.uint64(inside ^ np.uint64(np.uint64(1) << np.uint64(surfaces[k])))
        k += 1
    return np.uint8(medium_of(geometry, inside) + 1) if k > begin else np.uint8(1)


@device
def sweep_row(row, columns, surfaces, begin, end, geometry, mask, labels):
    """Fill a row of the label image from its sorted crossings: medium index + 1, 0 outside the sector."""
    inside = np.uint64(0)
    k = begin
    label = np.uint8(1)  # background
    for column in range(mask.shape[1]):
        if k < end and columns[k] <= np.float32(column):
            while k < end and columns[k] <= np.float32(column):
                inside = np.uint64(inside ^ np.uint64(np.uint64(1) << np.uint64(surfaces[k])))
                k += 1
            label = np.uint8(medium_of(geometry, inside) + 1)
        labels[row, column] = label if mask[row, column] != 0 else np.uint8(0)


@device
def attenuate_line(index, geometry, media, beam, poses, polar, stack, stack_t):
    """Write a(z) = exp(−Σ α) along the straight axis of a scanline: one way, amplitude, no interface loss."""
    x, z, sin, cos = line_start(beam.lines, index % beam.scanlines)
    x, y, z, dx, dy, dz = scene_ray(poses[index // beam.scanlines], x, z, sin, cos, _ZERO, _ZERO)
    inside = surfaces_around(geometry, x, y, z, -dx, -dy, -dz, stack, stack_t)
    medium = medium_of(geometry, inside)
    skip = np.int32(-1)
    bottom = np.float32(beam.samples) * beam.sample_mm
    begin = _ZERO  # depth at which the medium begins
    nepers = _ZERO  # lost before it
    sample = 0
    while sample < beam.samples:
        s, triangle, _, after = next_interface(
            geometry, x, y, z, dx, dy, dz, begin, bottom, skip, inside, medium, stack, stack_t
        )
        end = s if triangle >= 0 else bottom
        rate = _HALF * media.loss_db_per_mm[medium] * _NEPER_PER_DB
        while sample < beam.samples and np.float32(sample) * beam.sample_mm < end:
            depth = np.float32(sample) * beam.sample_mm
            polar[index, sample] = exponential(-(nepers + rate * (depth - begin)))
            sample += 1
        if triangle < 0:
            break
        nepers = nepers + rate * (end - begin)
        inside = after
        medium = medium_of(geometry, inside)
        begin = end
        skip = triangle
