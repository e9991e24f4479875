"""The stages as CUDA kernels: which thread does what. What is done is that of the CPU."""

from __future__ import annotations

import numpy as np
from numba import cuda, float32, int32, uint32

from ussim.render.aperture.gather import gather_span
from ussim.render.aperture.inputs import STRIP
from ussim.render.aperture.points import add_points
from ussim.render.aperture.reflect import trace_reflected
from ussim.render.aperture.reverberate import add_reflected
from ussim.render.aperture.scatterers import INTEGERS, NUMBERS, march_block, strips_of
from ussim.render.aperture.sheets import trace_sheet
from ussim.render.aperture.side_lobes import with_side_lobes
from ussim.render.aperture.transmit import trace_ray
from ussim.render.aperture.walls import spread_walls, write_walls
from ussim.render.bvh import STACK_SIZE
from ussim.render.kernels.maps import (
    attenuate_line,
    crossing_column,
    label_at,
    outline_segment,
    rows_spanned,
    sort_crossings,
    to_image,
)
from ussim.render.kernels.receive import grey_sample, power_sample, pulse_sample
from ussim.render.kernels.scan_convert import polar_at, to_grey, to_half

WARP = 32
"""Threads that share a line in :func:`points_kernel` and :func:`walls_kernel`."""
BINS = 256
"""Of the histogram by which :func:`choose_kernel` finds a value of a given rank."""
FIRST_DIGIT = 24
"""Where the highest eight bits of a float begin."""
_LIST = 4  # cells of the lattice that one thread works out together


def sheets_kernel(geometry, media, beam, poses, sheets):
    """One thread per wall line."""
    index = cuda.grid(1)
    if index < sheets.wall_count.size:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        trace_sheet(index, geometry, media, beam, poses, sheets, stack, stack_t)


def rays_kernel(geometry, media, beam, poses, sheets, passed):
    """One thread per ray."""
    path = cuda.grid(1)
    bundle, line = path // passed.shape[2], path % passed.shape[2]
    if bundle < passed.shape[0]:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        trace_ray(path, geometry, media, beam, poses, sheets, passed[bundle, :, line], stack, stack_t)


def gather_kernel(beam, passed, seen):
    """One thread per node of a line."""
    index = cuda.grid(1)
    line, node = index % passed.shape[2], index // passed.shape[2] % passed.shape[1]
    row = index // (passed.shape[2] * passed.shape[1])
    if row * beam.rays < passed.shape[0]:
        sums = cuda.local.array((4, 1), float32)
        gather_span(row, node, line, line + 1, beam, passed, sums, seen)


def march_kernel(size, media, beam, poses, sheets, seen, real, imag):
    """One thread per block of ``size`` samples of a strip of scanlines."""
    index, block = cuda.grid(2)
    first = block * size
    if first < real.shape[1] and index < poses.shape[0] * strips_of(beam.scanlines):
        cells = cuda.local.array((INTEGERS, _LIST), int32)
        hashes = cuda.local.array(_LIST, uint32)
        work = cuda.local.array((NUMBERS, _LIST), float32)
        slots = cuda.local.array((STRIP, _LIST), int32)
        echoes = cuda.local.array((2, STRIP, _LIST), float32)
        last = min(real.shape[1], first + size)
        march_block(
            index, first, last, media, beam, poses, sheets, seen, real, imag, cells, hashes, work, slots, echoes
        )


def reflect_kernel(geometry, media, beam, poses, sheets, seen, reflected):
    """One thread per scanline: its echoes add up in a fixed order."""
    index = cuda.grid(1)
    if index < reflected.span.shape[0]:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        trace_reflected(index, geometry, media, beam, poses, sheets, seen, reflected, stack, stack_t)


def reflected_kernel(beam, reflected, real, imag):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < real.shape[1] and index < real.shape[0]:
        add_reflected(index, sample, sample + 1, beam, reflected, real, imag)


def pulse_kernel(display, iq_real, iq_imag, out_real, out_imag):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < iq_real.shape[1] and index < iq_real.shape[0]:
        out_real[index, sample], out_imag[index, sample] = pulse_sample(index, sample, display, iq_real, iq_imag)


def points_kernel(points, beam, display, poses, sheets, seen, out_real, out_imag):
    """A warp per scanline, each thread its share of the samples: echoes add up in a fixed order."""
    index, lane = cuda.blockIdx.x, cuda.threadIdx.x
    add_points(index, points, beam, display, poses, sheets, seen, out_real, out_imag, lane, WARP)


def walls_kernel(beam, display, sheets, seen, real, imag):
    """A warp per scanline, as :func:`points_kernel`."""
    index, lane = cuda.blockIdx.x, cuda.threadIdx.x
    write_walls(index, beam, display, sheets, seen, real, imag, lane, WARP)


def spread_kernel(beam, beside_real, beside_imag, real, imag):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < real.shape[1] and index < real.shape[0]:
        spread_walls(index, sample, sample + 1, beam, beside_real, beside_imag, real, imag)


def side_lobes_kernel(beam, lobes, real, imag, out_real, out_imag):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < real.shape[1] and index < real.shape[0]:
        out_real[index, sample], out_imag[index, sample] = with_side_lobes(
            index, sample, beam.scanlines, lobes, real, imag
        )


def power_kernel(beam, display, frame_keys, real, imag, power):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < power.shape[1] and index < power.shape[0]:
        power[index, sample] = power_sample(
            index, sample, beam, display, frame_keys, real[index, sample], imag[index, sample]
        )


def grey_kernel(display, power, grey):
    """One thread per sample."""
    index, sample = cuda.grid(2)
    if sample < grey.shape[1] and index < grey.shape[0]:
        grey[index, sample] = grey_sample(index, sample, display, power)


def scan_convert_kernel(scanlines, pixels, polar, images):
    """One thread per pixel of the sector and frame."""
    frame, pixel = cuda.grid(2)
    if pixel < pixels.address.size and frame < images.shape[0]:
        images[frame, pixels.address[pixel]] = to_grey(polar_at(pixel, frame, scanlines, pixels, polar))


def scan_convert_map_kernel(scanlines, pixels, polar, scale, maps):
    """One thread per pixel of the sector and frame."""
    frame, pixel = cuda.grid(2)
    if pixel < pixels.address.size and frame < maps.shape[0]:
        maps[frame, pixels.address[pixel]] = to_half(polar_at(pixel, frame, scanlines, pixels, polar) / scale[frame])


def attenuate_kernel(geometry, media, beam, poses, polar):
    """One thread per scanline."""
    index = cuda.grid(1)
    if index < polar.shape[0]:
        stack = cuda.local.array(STACK_SIZE, int32)
        stack_t = cuda.local.array(STACK_SIZE, float32)
        attenuate_line(index, geometry, media, beam, poses, polar, stack, stack_t)


def decimate_kernel(stride, polar, out):
    """One thread per kept sample."""
    index, sample = cuda.grid(2)
    if sample < out.shape[1] and index < out.shape[0]:
        out[index, sample] = polar[index, sample * stride]


def count_kernel(scanlines, shift, values, chosen, counts):
    """One thread per value ≥ 0: count those whose higher bits are the ones chosen so far, by their next eight bits.

    Bits of floats that are not negative are ordered as they are.
    """
    index, sample = cuda.grid(2)
    if sample < values.shape[1] and index < values.shape[0]:
        frame = index // scanlines
        bits = np.uint32(np.float32(values[index, sample]).view(np.int32))
        digit = np.uint32(bits >> np.uint32(shift))
        if np.uint32(digit >> np.uint32(8)) == np.uint32(chosen[frame] >> np.uint32(8)):
            cuda.atomic.add(counts, (frame, np.uint32(digit & np.uint32(BINS - 1))), 1)


def choose_kernel(shift, rank, left, chosen, counts, scale):
    """One thread per frame: the next eight bits of the value of a rank.

    ``left`` is its rank among the values that share the bits found so far. ``chosen`` then holds those bits, moved to
    where the next eight are to be added; at last ``scale`` is the value.
    """
    frame = cuda.grid(1)
    if frame < scale.size:
        digit, behind = 0, np.int32(left[frame]) if shift < FIRST_DIGIT else rank
        while digit < BINS - 1 and behind >= counts[frame, digit]:
            behind -= counts[frame, digit]
            digit += 1
        for k in range(BINS):
            counts[frame, k] = 0
        left[frame] = behind
        bits = np.uint32(chosen[frame] | np.uint32(digit))
        chosen[frame] = np.uint32(bits << np.uint32(8))
        if shift == 0:
            scale[frame] = np.int32(bits).view(np.float32)


def flatten_kernel(geometry, planes, flat):
    """One thread per vertex and frame."""
    frame, vertex = cuda.grid(2)
    if vertex < flat.shape[1] and frame < flat.shape[0]:
        to_image(vertex, geometry, planes[frame], flat[frame])


def collect_kernel(geometry, flat, counts, columns, surfaces):
    """One thread per triangle and frame: append its crossings to the rows it spans, as far as there is room."""
    frame, triangle = cuda.grid(2)
    if triangle >= geometry.triangles.shape[0] or frame >= flat.shape[0]:
        return
    found, u1, v1, u2, v2 = outline_segment(triangle, geometry, flat[frame])
    if found:
        first, last = rows_spanned(v1, v2, counts.shape[1])
        for row in range(first, last):
            slot = cuda.atomic.add(counts, (frame, row), 1)
            if slot < columns.shape[2]:
                columns[frame, row, slot] = crossing_column(row, u1, v1, u2, v2)
                surfaces[frame, row, slot] = geometry.triangle_surface[triangle]


def sort_kernel(counts, columns, surfaces):
    """One thread per row of an image."""
    index = cuda.grid(1)
    frame, row = index // counts.shape[1], index % counts.shape[1]
    if frame < counts.shape[0]:
        sort_crossings(columns[frame, row], surfaces[frame, row], 0, min(counts[frame, row], columns.shape[2]))


def label_kernel(geometry, mask, counts, columns, surfaces, labels):
    """One thread per pixel."""
    index, column = cuda.grid(2)
    frame, row = index // labels.shape[1], index % labels.shape[1]
    if column < labels.shape[2] and frame < labels.shape[0]:
        label = np.uint8(0)
        if mask[row, column] != 0:
            count = min(counts[frame, row], columns.shape[2])
            label = label_at(row, column, columns[frame, row], surfaces[frame, row], 0, count, geometry)
        labels[frame, row, column] = label
