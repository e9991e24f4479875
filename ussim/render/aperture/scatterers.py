"""The scatterers of a scanline, each once, at its own place, with the weight of the beam there.

Cells of the world-fixed lattice inside the beam's cross-section are enumerated slab by slab along the axis of the
lattice that the line follows closest. A scatterer's medium and amplitude come from the sheet nearest to it, its
range from that sheet's time of flight. Since a scatterer enters with the beam's amplitude where it lies, speckle
stays with the tissue when the probe moves.

The work is cut into blocks of samples, each of which adds only what falls into it, in the order of the whole: on a CPU
a block is a line, on a GPU what one thread does. Cells are worked out in lists as long as there is room for, which
changes no bit.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.lattice import cell_hash, cell_place, fluctuation, gauss, of_axis
from ussim.render.aperture.ray_starts import line_angle, point_in_scene, to_scene
from ussim.render.physics.scatter import phasor, whole

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_TINY = np.float32(1e-6)
_SHALLOW = np.float32(1e-3)
_FUZZ_MM = np.float32(3)  # a fuzzy wall's scatterers lie no further behind it
# Rows of the lists of cells: lattice indices and sample; depth, displayed depth, echo, elevation and scanlines beside,
# of which depth and elevation end up as the real and the imaginary part of the echo.
COLUMN, ROW, SLOT = 0, 1, 2
AT, SHOWN, ECHO, STEEP, BESIDE = 0, 1, 2, 3, 4


@device
def march_block(index, first, last, media, beam, poses, sheets, seen, real, imag, cells, hashes, work):
    """Sum the scatterers of scanline ``index`` (frame × scanlines + line) in its samples ``first`` … ``last − 1``.

    ``cells`` (3, n) int32, ``hashes`` (n,) uint32 and ``work`` (5, n) float32 are lists of n cells, at least one.
    """
    for sample in range(first, last):
        real[index, sample] = _ZERO
        imag[index, sample] = _ZERO
    line = index % beam.scanlines
    pose = poses[index // beam.scanlines]
    theta, along = line_angle(beam, line)
    sin, cos = np.float32(math.sin(theta)), np.float32(math.cos(theta))
    ox, oy, oz = point_in_scene(pose, along + beam.apex_radius_mm * sin, _ZERO, beam.apex_radius_mm * (cos - _ONE))
    dx, dy, dz = to_scene(pose, sin, _ZERO, cos)
    ax, ay, az = to_scene(pose, cos, _ZERO, -sin)
    ex, ey, ez = pose[0, 1], pose[1, 1], pose[2, 1]
    # Name the axes of the lattice so that the line follows m closest and, of the others, the slice p: rows, which run
    # along p, are long then.
    if abs(dx) >= abs(dy) and abs(dx) >= abs(dz):
        axis_m = 0
        axis_p = 1 if abs(ey) >= abs(ez) else 2
    elif abs(dy) >= abs(dz):
        axis_m = 1
        axis_p = 2 if abs(ez) >= abs(ex) else 0
    else:
        axis_m = 2
        axis_p = 0 if abs(ex) >= abs(ey) else 1
    axis_q = 3 - axis_m - axis_p
    om, op, oq = of_axis(axis_m, ox, oy, oz), of_axis(axis_p, ox, oy, oz), of_axis(axis_q, ox, oy, oz)
    dm, dp, dq = of_axis(axis_m, dx, dy, dz), of_axis(axis_p, dx, dy, dz), of_axis(axis_q, dx, dy, dz)
    am, ap, aq = of_axis(axis_m, ax, ay, az), of_axis(axis_p, ax, ay, az), of_axis(axis_q, ax, ay, az)
    em, ep, eq = of_axis(axis_m, ex, ey, ez), of_axis(axis_p, ex, ey, ez), of_axis(axis_q, ex, ey, ez)
    # In a slab of cells, a step of 1 mm across or in elevation goes so far along p and q, and along the line.
    apz, epz = -am / dm, -em / dm
    axp, axq = ap + apz * dp, aq + apz * dq
    exp_, exq = ep + epz * dp, eq + epz * dq
    det = axp * exq - exp_ * axq
    for level in range(beam.pitch_mm.size):
        march_level(
            level, axis_m, axis_p, axis_q, index, first, last, media, beam, sheets, seen, real, imag,
            cells, hashes, work,
            om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq, apz, epz, axp, axq, exp_, exq, det,
        )  # fmt: skip


@device
def march_level(
    level, axis_m, axis_p, axis_q, index, first, last, media, beam, sheets, seen, real, imag,
    cells, hashes, work,
    om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq, apz, epz, axp, axq, exp_, exq, det,
):  # fmt: skip
    """Add the scatterers of one level of the lattice."""
    pitch = beam.pitch_mm[level]
    inverse = _ONE / pitch
    central = index * beam.layers + beam.layers // 2
    low_node = first_node_shown(sheets.shown_mm[central], beam.nodes, np.float32(first) * beam.sample_mm)
    high_node = first_node_shown(sheets.shown_mm[central], beam.nodes, np.float32(last) * beam.sample_mm)
    low_node = max(low_node - 4, beam.level_begin[level])
    high_node = min(high_node + 4, beam.level_end[level])
    if low_node >= high_node:
        return
    # Cells beside the line lie higher or lower along it than the middle of their slab.
    margin = pitch
    for node in (low_node, high_node - 1):
        margin = max(margin, abs(apz) * beam.half_width_mm[node] + abs(epz) * beam.half_slice_mm[node] + pitch)
    near = np.float32(low_node) * beam.node_mm - margin
    far = np.float32(high_node) * beam.node_mm + margin
    forward = dm > _ZERO
    begin = whole((om + (near if forward else far) * dm) * inverse)
    end = whole((om + (far if forward else near) * dm) * inverse)
    march_cells(
        axis_m, axis_p, axis_q, begin, end, forward, margin, level, beam.salt, pitch, inverse, beam.sample_mm,
        beam.node_mm,
        beam.turns_per_mm, om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq, apz, epz, axp, axq, exp_, exq, det,
        beam.half_width_mm, beam.half_slice_mm, beam.scatter_gain, beam.across, beam.slice, beam.sheet_edge,
        sheets.medium, sheets.fuzz_mm, sheets.loud, sheets.shown_mm, seen, np.int32(index * beam.layers),
        np.int32(index % beam.scanlines), beam.scanlines, beam.layers, beam.linear_pitch_mm, beam.apex_radius_mm,
        beam.angular_pitch_rad,
        media.scatter_density, media.scatter_mean, media.scatter_std, first, last, real, imag, index,
        cells, hashes, work,
    )  # fmt: skip


@device
def march_cells(
    axis_m, axis_p, axis_q, begin, end, forward, margin, level, salt, pitch, inverse, sample_mm, node_mm, turns_per_mm,
    om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq, apz, epz, axp, axq, exp_, exq, det,
    half_width_mm, half_slice_mm, scatter_gain, across_of, slice_of, sheet_edge,
    media, fuzz_mm, loud, shown_mm, seen, sheets_before, line, lines, layers, linear_pitch_mm, radius_mm,
    angular_pitch_rad,
    densities, means, deviations, first, last, real, imag, index,
    cells, hashes, work,
):  # fmt: skip
    """Add the echoes of the cells of slabs ``begin`` … ``end`` that fall into the block.

    The hot loop: its arguments are spelled out, because a call with tables costs more than ten cells, and the cells of
    a slab are listed first and worked out together, so that the arithmetic vectorises.
    """
    nodes = shown_mm.shape[1]
    per_node, per_sample = _ONE / node_mm, _ONE / sample_mm
    for slab in range(end - begin + 1):
        m = begin + slab if forward else end - slab
        depth = ((np.float32(m) + _HALF) * pitch - om) / dm
        node = min(max(np.int32(depth * per_node), np.int32(0)), np.int32(nodes - 2))
        if depth < -margin:
            continue
        wide, high = half_width_mm[node], half_slice_mm[node]
        lines_per_mm = _ONE / max(_TINY, linear_pitch_mm + (radius_mm + max(depth, _ZERO)) * angular_pitch_rad)
        tallness = abs(apz) * wide + abs(epz) * high + pitch
        if is_silent(
            depth - tallness - _FUZZ_MM, depth + tallness, wide * lines_per_mm, line, lines, layers, sheets_before,
            per_sample, loud,
        ):  # fmt: skip
            continue
        cp, cq = op + depth * dp, oq + depth * dq
        reach_q = wide * abs(axq) + high * abs(exq)
        shift_wide, half_wide = row_bounds(wide, exp_, exq, det)
        shift_high, half_high = row_bounds(high, axp, axq, det)
        q_first = whole((cq - reach_q) * inverse)
        q_last = whole((cq + reach_q) * inverse)
        # The beam changes slowly: within a slab, linearly.
        gain, narrow, thin = scatter_gain[level, node], across_of[node], slice_of[node]
        gain_step = (scatter_gain[level, node + 1] - gain) * per_node
        narrow_step, thin_step = (across_of[node + 1] - narrow) * per_node, (slice_of[node + 1] - thin) * per_node
        from_node = depth - np.float32(node) * node_mm
        gain, narrow, thin = (
            gain + gain_step * from_node,
            narrow + narrow_step * from_node,
            thin + thin_step * from_node,
        )
        count = 0
        for q in range(q_first, q_last + 1):
            v = (np.float32(q) + _HALF) * pitch - cq
            lo = max(shift_wide * v - half_wide, shift_high * v - half_high)
            hi = min(shift_wide * v + half_wide, shift_high * v + half_high)
            if lo > hi:
                continue
            p_first = whole((cp + lo) * inverse + _HALF)
            p_last = whole((cp + hi) * inverse - _HALF)
            for p in range(p_first, p_last + 1):
                cells[COLUMN, count] = p
                cells[ROW, count] = q
                count += 1
                if count == hashes.size:
                    add_cells(
                        count, axis_m, axis_p, axis_q, m, cells, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq,
                        em, ep, eq, depth, gain, gain_step, narrow, narrow_step, thin, thin_step, lines_per_mm,
                        per_node, per_sample, turns_per_mm, sheet_edge, media, fuzz_mm, shown_mm, seen, sheets_before,
                        line, lines, layers, densities, means, deviations, first, last, real, imag, index, hashes, work,
                    )  # fmt: skip
                    count = 0
        add_cells(
            count, axis_m, axis_p, axis_q, m, cells, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq,
            em, ep, eq, depth, gain, gain_step, narrow, narrow_step, thin, thin_step, lines_per_mm,
            per_node, per_sample, turns_per_mm, sheet_edge, media, fuzz_mm, shown_mm, seen, sheets_before,
            line, lines, layers, densities, means, deviations, first, last, real, imag, index, hashes, work,
        )  # fmt: skip


@device
def add_cells(
    count, axis_m, axis_p, axis_q, m, cells, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq,
    em, ep, eq, depth, gain, gain_step, narrow, narrow_step, thin, thin_step, lines_per_mm,
    per_node, per_sample, turns_per_mm, sheet_edge, media, fuzz_mm, shown_mm, seen, sheets_before,
    line, lines, layers, densities, means, deviations, first, last, real, imag, index, hashes, work,
):  # fmt: skip
    """Add the echoes of the listed cells of a slab that fall into the block."""
    place_cells(
        count, axis_m, axis_p, axis_q, m, cells, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq, em, ep, eq,
        depth, gain, gain_step, narrow, narrow_step, thin, thin_step,
        lines_per_mm, hashes, work,
    )  # fmt: skip
    look_up_cells(
        count, hashes, work, per_node, per_sample, sheet_edge, media, fuzz_mm, shown_mm,
        seen, sheets_before, line, lines, layers, densities, means, deviations,
    )  # fmt: skip
    turn_cells(count, work, turns_per_mm, per_sample, cells)
    for k in range(count):
        sample = cells[SLOT, k]
        if sample >= first and sample < last:
            real[index, sample] += work[AT, k]
            imag[index, sample] += work[STEEP, k]


@device
def is_silent(low_mm, high_mm, beside, line, lines, layers, sheets_before, per_sample, loud):
    """Whether nothing scatters between two depths, on any sheet of a line and of those so many scanlines beside it."""
    last = loud.shape[1] - 1
    first = min(max(np.int32(low_mm * per_sample) - 1, 0), last)
    end = min(max(np.int32(high_mm * per_sample) + 1, 0), last)
    near = np.int32(beside + _ONE)
    for step in range(max(-near, -line), min(near + 1, lines - line)):
        for layer in range(layers):
            sheet = sheets_before + step * layers + layer
            before = loud[sheet, first - 1] if first > 0 else 0
            if loud[sheet, end] > before:
                return False
    return True


@device
def place_cells(
    count, axis_m, axis_p, axis_q, m, cells, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq, em, ep, eq,
    depth, gain, gain_step, narrow, narrow_step, thin, thin_step, lines_per_mm, hashes, work,
):  # fmt: skip
    """Where the scatterers of the listed cells of a slab lie in the beam.

    Writes depth, longer way of the round wavefront, beam amplitude and elevation; no branch and no table, so that it
    vectorises.
    """
    for k in range(count):
        p, q = cells[COLUMN, k], cells[ROW, k]
        h = cell_hash(m, axis_m, p, axis_p, q, axis_q, salt, level)
        jx, jy, jz = cell_place(h)
        jm, jp, jq = of_axis(axis_m, jx, jy, jz), of_axis(axis_p, jx, jy, jz), of_axis(axis_q, jx, jy, jz)
        um = (jm - _HALF) * pitch
        up = (np.float32(p) + jp) * pitch - cp
        uq = (np.float32(q) + jq) * pitch - cq
        along = um * dm + up * dp + uq * dq
        across = um * am + up * ap + uq * aq
        slice_ = um * em + up * ep + uq * eq
        thinness = thin + thin_step * along
        exponent = (narrow + narrow_step * along) * across * across + thinness * slice_ * slice_
        hashes[k] = h
        work[AT, k] = depth + along
        # The wavefront is round about the middle of the line's own aperture.
        work[SHOWN, k] = _HALF * across * across / max(_ONE, depth + along)
        work[ECHO, k] = max(_ZERO, gain + gain_step * along) * bell_of(exponent)
        work[STEEP, k] = slice_ * abs(slice_) * np.float32(-2) * thinness
        work[BESIDE, k] = across * lines_per_mm


@device
def look_up_cells(
    count, hashes, work, per_node, per_sample, sheet_edge, media, fuzz_mm, shown_mm,
    seen, sheets_before, line, lines, layers, densities, means, deviations,
):  # fmt: skip
    """What the scatterers are made of and how they are seen: their displayed depth and their echo."""
    nodes = np.uint32(shown_mm.shape[1] - 2)
    samples = np.uint32(media.shape[1] - 1)
    for k in range(count):
        depth = work[AT, k]
        if depth < _ZERO:
            work[ECHO, k] = _ZERO
            continue
        # Of the scanline and the layer that are nearest: outlines are then as sharp across the lines as the beam is.
        beside = whole(work[BESIDE, k] + _HALF)
        beside = min(max(beside, -line), lines - 1 - line)
        sheet = np.uint32(sheets_before + beside * layers)
        for edge in range(sheet_edge.size):
            if work[STEEP, k] > sheet_edge[edge]:
                sheet = np.uint32(sheet + np.uint32(1))
        sample = min(np.uint32(depth * per_sample), samples)
        fuzz = fuzz_mm[sheet, sample]
        if fuzz > _ZERO:  # a fuzzy wall: each scatterer takes its own depth for it
            sample = min(sample, np.uint32(max(_ZERO, depth - fuzz * abs(gauss(hashes[k], 3))) * per_sample))
        medium = np.uint32(media[sheet, sample])
        density = densities[medium]
        place = depth * per_node
        node = min(np.uint32(place), nodes)
        share = place - np.float32(np.int32(node))
        shown = shown_mm[sheet, node]
        work[SHOWN, k] += shown + share * (shown_mm[sheet, np.uint32(node + np.uint32(1))] - shown)
        if density == _ZERO:
            work[ECHO, k] = _ZERO
            continue
        amplitude = seen[sheet, node]
        amplitude += share * (seen[sheet, np.uint32(node + np.uint32(1))] - amplitude)
        work[ECHO, k] *= amplitude * fluctuation(hashes[k], density, means[medium], deviations[medium])


@device
def turn_cells(count, work, turns_per_mm, per_sample, cells):
    """Sample and complex echo of the listed cells."""
    for k in range(count):
        re, im = phasor(work[SHOWN, k] * turns_per_mm)
        cells[SLOT, k] = np.int32(work[SHOWN, k] * per_sample + _HALF) if work[ECHO, k] != _ZERO else np.int32(-1)
        work[AT, k] = work[ECHO, k] * re
        work[STEEP, k] = work[ECHO, k] * im


@device
def row_bounds(reach, along_p, along_q, det):
    """Bounds of rows of cells in one extent of the beam, as (shift, half): p from shift·v − half to shift·v + half.

    An extent, across or in elevation, is (along_q·p − along_p·q)/det of the offsets p and q in a slab. A row that runs
    along the other extent is bounded by that alone; its ends are then outside anyway and weigh next to nothing.
    """
    steep = along_q if abs(along_q) > _SHALLOW else _SHALLOW
    return along_p / steep, abs(reach * det / steep)


@device
def bell_of(exponent):
    """exp(x) for −4 ≤ x ≤ 0 to 2e-4, by a series instead of a library call."""
    t = -exponent * np.float32(0.25)
    e = _ONE + t * (_ONE + t * (_HALF + t * (np.float32(1 / 6) + t * np.float32(1 / 24))))
    e = e * e
    return _ONE / (e * e)


@device
def first_node_shown(shown, nodes, depth):
    """First node that is displayed at or behind a depth."""
    low, high = 0, nodes
    while low < high:
        middle = (low + high) // 2
        if shown[middle] < depth:
            low = middle + 1
        else:
            high = middle
    return low
