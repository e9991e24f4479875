"""The scatterers of an image, each at its own place, with the weight of each scanline's beam there.

Scanlines are taken in strips of neighbours, since each scatterer is seen by several of them. Cells of the world-fixed
lattice inside a strip and its slice are enumerated slab by slab along the axis of the lattice that its middle follows
closest. What a scatterer is made of and what of it is seen is looked up once, on the scanline and the layer nearest to
it; then it is added to every scanline of the strip whose beam holds it, with the beam's amplitude and phase there. So
speckle stays with the tissue when the probe moves.

The work is cut into blocks of samples of a strip, each of which adds only what falls into it, in the order of the
whole: on a CPU a block is a strip, on a GPU what one thread does. Cells are worked out in lists as long as there is
room for, which changes no bit.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.inputs import STRIP
from ussim.render.aperture.lattice import cell_hash, cell_place, fluctuation, gauss, of_axis
from ussim.render.aperture.ray_starts import line_start, point_in_scene, to_scene
from ussim.render.aperture.tables import REACH
from ussim.render.physics.scatter import phasor, whole

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_TINY = np.float32(1e-6)
_SHALLOW = np.float32(1e-3)
_FUZZ_MM = np.float32(3)  # a fuzzy wall's scatterers lie no further behind it
_WIDE = np.float32(0.25)  # square of the tangent of the angle to the middle of a strip, at most
_CLOSE_NODES = np.int32(2)  # what lies between nodes, and rounding
_CLOSE_MM = np.float32(0.1)  # the same within a sample
_OUTSIDE = np.float32(-0.5 * REACH**2)  # exponent of the lateral beam where it ends
# Rows of the lists of cells: lattice indices, in whose stead come node and sample; the first scanline of the strip that
# sees the scatterer; the sheet to look it up on. Of their numbers: place among the scanlines of the strip, depth,
# elevation, share of the node behind; then what the echoes need of what was looked up.
COLUMN, ROW, LINE, SHEET = 0, 1, 2, 3
NODE, SAMPLE = 0, 1
BESIDE, AT, SLICE, ECHO, FLAT, NARROW, SHOWN, ROUND, PITCH = 0, 1, 2, 3, 4, 5, 6, 7, 8
SHARE = ECHO
INTEGERS, NUMBERS = 4, 9
REAL, IMAG = 0, 1


@device
def strips_of(scanlines):
    """How many strips the scanlines of an image make."""
    return (scanlines + np.int32(STRIP - 1)) // np.int32(STRIP)


@device
def march_block(index, first, last, media, beam, poses, sheets, seen, real, imag, cells, hashes, work, slots, echoes):
    """Sum the scatterers of strip ``index`` (frame × strips + strip) in its samples ``first`` … ``last − 1``.

    ``cells`` (INTEGERS, n) int32, ``hashes`` (n,) uint32 and ``work`` (NUMBERS, n) float32 are lists of n cells, at
    least one; ``slots`` (STRIP, n) int32 and ``echoes`` (2, STRIP, n) float32 are those of their echoes.
    """
    strips = strips_of(beam.scanlines)
    frame, begin = index // strips, (index % strips) * np.int32(STRIP)
    count = min(np.int32(STRIP), beam.scanlines - begin)
    for line in range(frame * beam.scanlines + begin, frame * beam.scanlines + begin + count):
        for sample in range(first, last):
            real[line, sample] = _ZERO
            imag[line, sample] = _ZERO
    pose = poses[frame]
    x, z, sin, cos = line_start(beam.strips, index % strips)
    ox, oy, oz = point_in_scene(pose, x, _ZERO, z)
    dx, dy, dz = to_scene(pose, sin, _ZERO, cos)
    ax, ay, az = to_scene(pose, cos, _ZERO, -sin)
    ex, ey, ez = pose[0, 1], pose[1, 1], pose[2, 1]
    # Name the axes of the lattice so that the strip follows m closest and, of the others, the slice p: rows, which run
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
    low_node, high_node = nodes_of(frame, begin, count, first, last, beam, sheets)
    for level in range(beam.pitch_mm.size):
        march_level(
            level, max(low_node, beam.level_begin[level]), min(high_node, beam.level_end[level]), frame, begin, count,
            axis_m, axis_p, axis_q, om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq,
            first, last, media, beam, sheets, seen, real, imag, cells, hashes, work, slots, echoes,
        )  # fmt: skip


@device
def nodes_of(frame, begin, count, first, last, beam, sheets):
    """Nodes between which what is displayed in a block lies, on whichever of the scanlines it looks things up."""
    low, high = beam.nodes, np.int32(0)
    near = np.int32(beam.wall_spread.shape[0] // 2 + 1)  # scanlines that the beam reaches to either side
    for line in range(max(begin - near, 0), min(begin + count + near, beam.scanlines)):
        for layer in range(beam.layers):
            shown = sheets.shown_mm[(frame * beam.scanlines + line) * beam.layers + layer]
            low = min(low, first_node_shown(shown, beam.nodes, np.float32(first) * beam.sample_mm))
            high = max(high, first_node_shown(shown, beam.nodes, np.float32(last) * beam.sample_mm))
    low = max(low - _CLOSE_NODES, 0)
    return np.int32(beam.earliest_node[low]), np.int32(high + _CLOSE_NODES)


@device
def march_level(
    level, low_node, high_node, frame, begin, count,
    axis_m, axis_p, axis_q, om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq,
    first, last, media, beam, sheets, seen, real, imag, cells, hashes, work, slots, echoes,
):  # fmt: skip
    """Add the scatterers of one level of the lattice that lie between two nodes."""
    if low_node >= high_node:
        return
    pitch = beam.pitch_mm[level]
    inverse = _ONE / pitch
    half_lines = _HALF * np.float32(count - 1)
    # In a slab of cells, a step of 1 mm across or in elevation goes so far along the strip's middle.
    apz, epz = -am / dm, -em / dm
    # Cells beside the middle lie higher or lower along it than the middle of their slab.
    margin, rise = pitch, _ZERO
    for step in range(4):  # at either end of the block, then at either end of the slabs that reach it
        further = np.int32(margin / beam.node_mm) + 1 if step > 1 else 0
        node = low_node - further if step % 2 == 0 else high_node - 1 + further
        node = min(max(np.int32(node), np.int32(0)), np.int32(beam.nodes - 1))
        to_apex = beam.apex_radius_mm + np.float32(node) * beam.node_mm
        apart = beam.linear_pitch_mm + to_apex * beam.angular_pitch_rad
        wide = beam.half_width_mm[node] + half_lines * apart + pitch
        tallness = abs(apz) * wide + abs(epz) * beam.half_slice_mm[node] + pitch + pitch
        rise = max(rise, _HALF * wide * wide / max(_ONE, to_apex))  # a fan's scanlines end on a circle
        margin = max(margin, tallness + rise)
    near = np.float32(low_node) * beam.node_mm - margin
    far = np.float32(high_node) * beam.node_mm + margin
    # A scatterer counts for the node closest to it, lies anywhere in its cell, and a fan's scanlines end further up.
    low_mm = np.float32(low_node - 1) * beam.node_mm - pitch - rise
    high_mm = np.float32(high_node + 1) * beam.node_mm + pitch
    forward = dm > _ZERO
    slab_begin = whole((om + (near if forward else far) * dm) * inverse)
    slab_end = whole((om + (far if forward else near) * dm) * inverse)
    march_cells(
        axis_m, axis_p, axis_q, slab_begin, slab_end, forward, margin, low_mm, high_mm, level, beam.salt, pitch,
        inverse, half_lines,
        beam.sample_mm, beam.node_mm, beam.turns_per_mm, om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq, apz, epz,
        beam.half_width_mm, beam.half_slice_mm, beam.scatter_gain, beam.across, beam.slice, beam.late_mm,
        beam.sheet_edge, sheets.medium, sheets.fuzz_mm, sheets.loud, sheets.shown_mm, seen,
        frame * beam.scanlines, begin, count, beam.scanlines, beam.layers,
        beam.linear_pitch_mm, beam.apex_radius_mm, beam.angular_pitch_rad,
        media.scatter_density, media.scatter_mean, media.scatter_std, first, last, real, imag,
        cells, hashes, work, slots, echoes,
    )  # fmt: skip


@device
def march_cells(
    axis_m, axis_p, axis_q, slab_begin, slab_end, forward, margin, low_mm, high_mm, level, salt, pitch, inverse,
    half_lines, sample_mm, node_mm, turns_per_mm, om, op, oq, dm, dp, dq, am, ap, aq, em, ep, eq, apz, epz,
    half_width_mm, half_slice_mm, scatter_gain, across_of, slice_of, late_mm, sheet_edge,
    media, fuzz_mm, loud, shown_mm, seen,
    line_before, begin, lines, scanlines, layers, linear_pitch_mm, radius_mm, angular_pitch_rad,
    densities, means, deviations, first, last, real, imag,
    cells, hashes, work, slots, echoes,
):  # fmt: skip
    """Add the echoes of the cells of the slabs ``slab_begin`` … ``slab_end`` that fall into the block.

    The hot loop: its arguments are spelled out, because a call with tables costs more than ten cells, and the cells of
    a slab are listed first and worked out together, so that the arithmetic vectorises.
    """
    nodes = np.int32(shown_mm.shape[1])
    per_node, per_sample = _ONE / node_mm, _ONE / sample_mm
    # In a slab, a step of 1 mm across or in elevation goes so far along p and q.
    axp, axq = ap + apz * dp, aq + apz * dq
    exp_, exq = ep + epz * dp, eq + epz * dq
    det = axp * exq - exp_ * axq
    # And a step of 1 mm along p or q so far along the strip.
    along_p, along_q = (apz * exq - epz * axq) / det, (epz * axp - apz * exp_) / det
    # A scatterer lies so far from the middle of its cell, across the strip.
    loose = _HALF * pitch * (abs(am) + abs(ap) + abs(aq))
    for slab in range(slab_end - slab_begin + 1):
        m = slab_begin + slab if forward else slab_end - slab
        depth = ((np.float32(m) + _HALF) * pitch - om) / dm
        if depth < -margin:
            continue
        # The strip and its slice are as wide as where they are widest within the slab.
        wide, high, reach = _ZERO, _ZERO, _ZERO
        tallness = _ZERO
        for step in range(3):
            at = depth if step == 0 else (depth - tallness if step == 1 else depth + tallness)
            node = min(max(np.int32(at * per_node + _HALF), np.int32(0)), nodes - np.int32(1))
            apart = linear_pitch_mm + (radius_mm + np.float32(node) * node_mm) * angular_pitch_rad
            wide = max(wide, half_width_mm[node] + half_lines * apart + loose)
            high = max(high, half_slice_mm[node])
            reach = max(reach, half_width_mm[node] / max(_TINY, apart))
            if step == 0:
                tallness = abs(apz) * wide + abs(epz) * high + pitch
        if is_silent(
            depth - tallness - _FUZZ_MM, depth + tallness, line_before, begin, lines, reach, scanlines, layers,
            per_sample, loud,
        ):  # fmt: skip
            continue
        reach = min(reach, np.float32(scanlines))
        at_once = min(np.int32(reach + reach) + np.int32(1), lines)
        cp, cq = op + depth * dp, oq + depth * dq
        reach_q = wide * abs(axq) + high * abs(exq)
        shift_wide, half_wide = row_bounds(wide, exp_, exq, det)
        shift_high, per_high = row_bounds(_ONE, axp, axq, det)
        half_high = high * per_high
        # Rows are those in the strip, of them those that come near the block.
        lean = abs(along_p) * (wide * abs(axp) + high * abs(exp_))
        q_near, q_far = span_of(along_q, low_mm - depth - lean, high_mm - depth + lean, reach_q)
        q_first, q_last = whole((cq + q_near) * inverse), whole((cq + q_far) * inverse)
        count = np.int64(0)
        # Rows that run along the slice are cut off where it ends at their own depth.
        per_q = _ONE / axq if abs(axq) > _HALF else _ZERO
        for q in range(q_first, q_last + 1):
            v = (np.float32(q) + _HALF) * pitch - cq
            if per_q != _ZERO:
                at, lean = depth + apz * v * per_q, abs(epz) * high
                near = min(max(np.int32((at - lean) * per_node), np.int32(0)), nodes - np.int32(1))
                far = min(max(np.int32((at + lean) * per_node + _ONE), np.int32(0)), nodes - np.int32(1))
                half_high = max(half_slice_mm[near], half_slice_mm[far]) * per_high
            lo = max(shift_wide * v - half_wide, shift_high * v - half_high)
            hi = min(shift_wide * v + half_wide, shift_high * v + half_high)
            p_near, p_far = span_of(along_p, low_mm - depth - along_q * v, high_mm - depth - along_q * v, max(-lo, hi))
            lo, hi = max(lo, p_near), min(hi, p_far)
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
                        count, axis_m, axis_p, axis_q, m, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq, em, ep,
                        eq, depth, half_lines, reach, at_once, linear_pitch_mm, radius_mm, angular_pitch_rad,
                        per_node, per_sample, turns_per_mm, scatter_gain, across_of, slice_of, late_mm, sheet_edge,
                        media, fuzz_mm, shown_mm, seen, line_before, begin, lines, scanlines, layers,
                        densities, means, deviations, first, last, real, imag, cells, hashes, work, slots, echoes,
                    )  # fmt: skip
                    count = np.int64(0)
        add_cells(
            count, axis_m, axis_p, axis_q, m, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq, em, ep,
            eq, depth, half_lines, reach, at_once, linear_pitch_mm, radius_mm, angular_pitch_rad,
            per_node, per_sample, turns_per_mm, scatter_gain, across_of, slice_of, late_mm, sheet_edge,
            media, fuzz_mm, shown_mm, seen, line_before, begin, lines, scanlines, layers,
            densities, means, deviations, first, last, real, imag, cells, hashes, work, slots, echoes,
        )  # fmt: skip


@device
def add_cells(
    count, axis_m, axis_p, axis_q, m, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq, em, ep,
    eq, depth, half_lines, reach, at_once, linear_pitch_mm, radius_mm, angular_pitch_rad,
    per_node, per_sample, turns_per_mm, scatter_gain, across_of, slice_of, late_mm, sheet_edge,
    media, fuzz_mm, shown_mm, seen, line_before, begin, lines, scanlines, layers,
    densities, means, deviations, first, last, real, imag, cells, hashes, work, slots, echoes,
):  # fmt: skip
    """Add the echoes of the listed cells of a slab that fall into the block."""
    place_cells(
        count, axis_m, axis_p, axis_q, m, cells, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq, em, ep, eq,
        depth, half_lines, reach, linear_pitch_mm, radius_mm, angular_pitch_rad, per_node, per_sample,
        np.int32(shown_mm.shape[1] - 2), np.int32(media.shape[1] - 1), line_before, begin, lines, scanlines, layers,
        hashes, work,
    )  # fmt: skip
    count = look_up_cells(
        count, level, cells, hashes, work, per_sample, scatter_gain, across_of, slice_of, sheet_edge,
        media, fuzz_mm, shown_mm, seen, densities, means, deviations,
        np.float32(first) / per_sample - _CLOSE_MM, np.float32(last) / per_sample + _CLOSE_MM, late_mm,
    )  # fmt: skip
    place_echoes(
        count, at_once, work, linear_pitch_mm, radius_mm, angular_pitch_rad, turns_per_mm, per_sample, cells, slots,
        echoes,
    )  # fmt: skip
    for k in range(count):
        nearest = cells[LINE, k]
        row = line_before + begin + nearest
        for step in range(min(at_once, lines - nearest)):
            sample = slots[step, k]
            if sample >= first and sample < last:
                real[row + step, sample] += echoes[REAL, step, k]
                imag[row + step, sample] += echoes[IMAG, step, k]


@device
def is_silent(low_mm, high_mm, line_before, begin, lines, reach, scanlines, layers, per_sample, loud):
    """Whether nothing scatters between two depths, on any sheet of the strip's scanlines and of those in its reach."""
    end = loud.shape[1] - 1
    first = min(max(np.int32(low_mm * per_sample) - 1, 0), end)
    last = min(max(np.int32(high_mm * per_sample) + 1, 0), end)
    near = np.int32(reach + _ONE)
    for line in range(max(begin - near, 0), min(begin + lines + near, scanlines)):
        for layer in range(layers):
            sheet = (line_before + line) * layers + layer
            before = loud[sheet, first - 1] if first > 0 else 0
            if loud[sheet, last] > before:
                return False
    return True


@device
def place_cells(
    count, axis_m, axis_p, axis_q, m, cells, level, salt, pitch, cp, cq, dm, dp, dq, am, ap, aq, em, ep, eq,
    depth, half_lines, reach, linear_pitch_mm, radius_mm, angular_pitch_rad, per_node, per_sample,
    last_node, last_sample, line_before, begin, lines, scanlines, layers, hashes, work,
):  # fmt: skip
    """Where the scatterers of the listed cells of a slab lie: depth, elevation and place among the strip's scanlines.

    And where to look them up: node, sample (−1 if no scanline sees it) and first sheet of the scanline nearest
    to it. No branch and no table, so that it vectorises.
    """
    is_fan = angular_pitch_rad > _ZERO
    per_line = _ONE / (angular_pitch_rad if is_fan else linear_pitch_mm)
    for k in range(count):
        p, q = cells[COLUMN, k], cells[ROW, k]
        h = cell_hash(m, axis_m, p, axis_p, q, axis_q, salt, level)
        jx, jy, jz = cell_place(h)
        jm, jp, jq = of_axis(axis_m, jx, jy, jz), of_axis(axis_p, jx, jy, jz), of_axis(axis_q, jx, jy, jz)
        um = (jm - _HALF) * pitch
        up = (np.float32(p) + jp) * pitch - cp
        uq = (np.float32(q) + jq) * pitch - cq
        along = depth + um * dm + up * dp + uq * dq
        across = um * am + up * ap + uq * aq
        hashes[k] = h
        work[SLICE, k] = um * em + up * ep + uq * eq
        # About the centre of a fan: the arctangent by its series, since a strip is narrow.
        to_apex = radius_mm + along
        tangent = across / to_apex if is_fan else _ZERO
        squared = tangent * tangent
        angle = tangent * (_ONE + squared * (np.float32(-1 / 3) + squared * np.float32(1 / 5)))
        radial = np.float32(math.sqrt(to_apex * to_apex + across * across)) - radius_mm
        place = half_lines + (angle if is_fan else across) * per_line
        # Behind the face, or before the tip of a fan, nothing is seen.
        at = radial if is_fan and to_apex > _ZERO else along
        first_line = np.int32(whole(place - reach) + np.int32(1))
        is_seen = at >= _ZERO and squared < _WIDE and first_line < np.int32(lines) and place + reach >= _ZERO
        shallow = max(at, _ZERO)
        node = min(np.int32(shallow * per_node), last_node)
        sample = min(np.int32(shallow * per_sample), last_sample)
        nearest = min(max(np.int32(begin + whole(place + _HALF)), np.int32(0)), np.int32(scanlines - np.int32(1)))
        work[AT, k] = at
        work[BESIDE, k] = place
        work[SHARE, k] = shallow * per_node - np.float32(node)
        cells[NODE, k] = node
        cells[SAMPLE, k] = sample if is_seen else np.int32(-1)
        cells[LINE, k] = first_line
        cells[SHEET, k] = np.int32(np.int32(line_before + nearest) * layers)


@device
def look_up_cells(
    count, level, cells, hashes, work, per_sample, scatter_gain, across_of, slice_of, sheet_edge,
    media, fuzz_mm, shown_mm, seen, densities, means, deviations, first_mm, last_mm, late_mm,
):  # fmt: skip
    """What the scatterers are made of and how they are seen; those that echo move to the front, and are counted."""
    kept = 0
    for k in range(count):
        if cells[SAMPLE, k] < 0:
            continue
        node, sample, sheet = np.uint32(cells[NODE, k]), np.uint32(cells[SAMPLE, k]), np.uint32(cells[SHEET, k])
        share, slice_ = work[SHARE, k], work[SLICE, k]
        behind = np.uint32(node + np.uint32(1))
        closest = behind if share > _HALF else node
        thinness = slice_of[closest]
        # Of the scanline and the layer that are nearest: outlines are then as sharp across the lines as the beam is.
        for edge in range(sheet_edge.size):
            if slice_ * abs(slice_) * np.float32(-2) * thinness > sheet_edge[edge]:
                sheet = np.uint32(sheet + np.uint32(1))
        depth = work[AT, k]
        fuzz = fuzz_mm[sheet, sample]
        if fuzz > _ZERO:  # a fuzzy wall: each scatterer takes its own depth for it
            sample = min(sample, np.uint32(max(_ZERO, depth - fuzz * abs(gauss(hashes[k], 3))) * per_sample))
        medium = np.uint32(media[sheet, sample])
        density = densities[medium]
        if density == _ZERO:
            continue
        echo = scatter_gain[level, closest] * fluctuation(hashes[k], density, means[medium], deviations[medium])
        amplitude, shown = seen[sheet, node], shown_mm[sheet, node]
        amplitude += share * (seen[sheet, behind] - amplitude)
        work[ECHO, kept] = echo * amplitude
        shown += share * (shown_mm[sheet, behind] - shown)
        work[SHOWN, kept] = shown
        work[FLAT, kept] = thinness * slice_ * slice_
        work[NARROW, kept] = across_of[closest]
        work[BESIDE, kept] = work[BESIDE, k]
        work[AT, kept] = depth
        cells[LINE, kept] = max(cells[LINE, k], np.int32(0))
        is_near = shown + late_mm[closest] > first_mm and shown < last_mm
        kept += 1 if echo != _ZERO and is_near else 0  # no branch: half of them, at random, would be mispredicted
    return kept


@device
def place_echoes(
    count, at_once, work, linear_pitch_mm, radius_mm, angular_pitch_rad, turns_per_mm, per_sample, cells, slots, echoes
):  # fmt: skip
    """Sample and complex echo of the listed cells on each of the scanlines that see them."""
    is_fan = angular_pitch_rad > _ZERO
    line, at, beside, pitch, curve = cells[LINE], work[AT], work[BESIDE], work[PITCH], work[ROUND]
    echo, flat, narrow, shown = work[ECHO], work[FLAT], work[NARROW], work[SHOWN]
    for k in range(count):
        to_apex = radius_mm + at[k]
        pitch[k] = linear_pitch_mm + to_apex * angular_pitch_rad
        # The wavefront is round about the middle of a line's own aperture; the strip's depths are about its apex.
        curve[k] = _HALF / max(_ONE, at[k]) - (_HALF / max(_ONE, to_apex) if is_fan else _ZERO)
    for step in range(at_once):
        slot, real, imag = slots[step], echoes[REAL, step], echoes[IMAG, step]
        further = np.int32(step)
        for k in range(count):
            across = (beside[k] - np.float32(np.int32(line[k] + further))) * pitch[k]
            squared = across * across
            exponent = narrow[k] * squared
            seen_mm = shown[k] + curve[k] * squared
            re, im = phasor(seen_mm * turns_per_mm)
            weight = echo[k] * bell_of(flat[k] + exponent)
            slot[k] = np.int32(seen_mm * per_sample + _HALF) if exponent > _OUTSIDE else np.int32(-1)
            real[k] = weight * re
            imag[k] = weight * im


@device
def row_bounds(reach, along_p, along_q, det):
    """Bounds of rows of cells in one extent of the beam, as (shift, half): p from shift·v − half to shift·v + half.

    An extent, across or in elevation, is (along_q·p − along_p·q)/det of the offsets p and q in a slab. A row that runs
    along the other extent is bounded by that alone; its ends are then outside anyway and weigh next to nothing.
    """
    steep = along_q if abs(along_q) > _SHALLOW else _SHALLOW
    return along_p / steep, abs(reach * det / steep)


@device
def span_of(slope, low, high, reach):
    """Where slope·x lies between two bounds, within ± ``reach``: (first, last), turned round if nowhere."""
    if abs(slope) < _SHALLOW:
        is_somewhere = low <= reach * _SHALLOW and high >= -reach * _SHALLOW
        return (-reach, reach) if is_somewhere else (reach, -reach)
    one, other = low / slope, high / slope
    return max(-reach, min(one, other)), min(reach, max(one, other))


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
