"""What reflected paths look at: tissue beside them and the walls that they meet, shown at the time of flight.

A curved mirror spreads the tube of rays: one-way intensity falls by (width between flat walls)/(width) per axis. Facets
of rough mirrors spread the beam by a variance V at the distance that is looked at; of what lies in a beam of standard
deviation w the share 1/√(1 + V/w²) per axis comes back in power. A mirror smaller than the aperture is there for a
share of the elements only, there and back: what is L behind it is seen by way of ± a·L of it, a being half the angle
of the aperture.

Tissue is sampled once in every slab of a world-fixed lattice that a path goes through, a lattice of its own for each
path and place on its first mirror: paths that run through the same tissue add up in power. What keeps its phase is
averaged over paths, layers and scanlines; all else adds up in power.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.lattice import cell_hash, cell_place, fluctuation
from ussim.render.aperture.sheets import facing_share
from ussim.render.physics.interface import coherent_fraction
from ussim.render.physics.medium import amplitude_after
from ussim.render.physics.random import normal, uniform
from ussim.render.physics.scatter import phasor, whole

PATH_PITCH_MM = 0.2
"""Pitch of the lattices that reflected paths go through."""
_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_HALF = np.float32(0.5)
_FOUR_PI = np.float32(4 * math.pi)
_SIX = np.float32(6)
_THINNEST_MM = np.float32(1e-3)
_LEVEL = 64  # of the lattices of the paths: apart from those of the scatterers that are seen directly
_STRIDE = 8  # cells between which amplitudes are interpolated
_BLOCK = 32  # samples that share the weights of the lateral beam


@device
def beam_share(gone, wu, wv, blur, across, slice_, behind, left, right, useful):
    """Two-way amplitude that curved, rough and small mirrors leave.

    Args:
        gone: Length of the whole way [mm], which is the width of the tube between flat walls.
        wu, wv: Its widths.
        blur: Variance of what facets spread [mm²].
        across, slice_: −½/σ² of the beam at this depth, lateral and elevational.
        behind, left, right: Way from the first mirror on [mm], and how far it reaches to either side of the scanline.
        useful: Variance of the tilts within the aperture, a²/6.
    """
    bent = gone * gone / (wu * wv)
    spread = (_ONE - _TWO * across * blur) * (_ONE - _TWO * slice_ * blur)
    half = max(_THINNEST_MM, behind * np.float32(math.sqrt(_SIX * useful)))
    used = _HALF * (min(left, half) + min(right, half)) / half
    return bent * used * used / np.float32(math.sqrt(np.float32(math.sqrt(spread))))


@device
def see_wall(
    index, strength, chance, layers, even, gone, shown, wu, wv, blur, blur_slope, behind, left, right,
    r, exponent, thickness, key, tilt_u, tilt_v, cos_i,
    wavelength_mm, diffuse_share, least_strength, turns_per_mm, sample_mm, node_mm,
    face_lateral, face_elevational, across, slice_, rough_gain, real, imag,
):  # fmt: skip
    """Write the echo of a wall that a path meets, as :func:`ussim.render.aperture.sheets.write_wall` has it.

    Args:
        index: Scanline.
        strength, chance, layers, even: Two-way amplitude of the path with the gain of walls, its probability, number of
            layers, share of the power that keeps its phase.
        gone, shown, wu, wv, blur, blur_slope: As :func:`ussim.render.aperture.reflect.follow_path` has them.
        behind, left, right: As :func:`beam_share` has them.
        r, exponent, thickness, key: Reflection coefficient of the wall, its roughness, thickness [mm] and key.
        tilt_u, tilt_v, cos_i: Components of its smooth normal across the path, lateral and elevational, and against it.
        wavelength_mm, diffuse_share, least_strength, turns_per_mm, sample_mm, node_mm, face_lateral, face_elevational,
            across, slice_, rough_gain: Of the beam.
        real, imag: Where to write.
    """
    node = min(across.size - 1, np.int32(gone / node_mm))
    strength *= r * beam_share(gone, wu, wv, blur, across[node], slice_[node], behind, left, right, face_lateral[node])
    if abs(strength) < least_strength * min(_ONE, chance):
        return
    facets = _ONE / (exponent + _ONE)
    lateral, elevational = np.float32(math.atan2(tilt_u, cos_i)), np.float32(math.atan2(tilt_v, cos_i))
    share = facing_share(lateral, face_lateral[node], facets)
    share *= facing_share(elevational, face_elevational[node], facets)
    # Over facets the ways differ in length by a variance whose phase this is.
    turned = _FOUR_PI * blur_slope / wavelength_mm
    coherent = even * coherent_fraction(thickness, wavelength_mm) / (_ONE + turned * turned)
    a = strength * share * np.float32(math.sqrt(coherent)) / (chance * layers)
    samples = real.shape[1]
    place = shown / sample_mm
    sample = np.int32(place)
    if abs(a) > least_strength and sample + 1 < samples:
        re, im = phasor(shown * turns_per_mm)
        late = place - np.float32(sample)
        real[index, sample] += a * (_ONE - late) * re
        imag[index, sample] += a * (_ONE - late) * im
        real[index, sample + 1] += a * late * re
        imag[index, sample + 1] += a * late * im

    power = share * (_ONE - coherent) + diffuse_share * cos_i * cos_i
    a = strength * rough_gain[node] * np.float32(math.sqrt(power / (chance * layers)))
    if abs(a) > least_strength:
        shown = shown + abs(normal(key, 0)) * thickness + _HALF * wavelength_mm * (uniform(key, 2) - _HALF)
        sample = np.int32(shown / sample_mm + _HALF)
        if sample < samples:
            re, im = phasor(shown * turns_per_mm)
            real[index, sample] += a * re
            imag[index, sample] += a * im


@device
def see_tissue(
    index, x, y, z, dx, dy, dz, s, weight, loss, gone, shown, slowness, wu, qu, wv, qv,
    blur, blur_slope, slopes, behind, left, right, density, mean, std, salt, turns_per_mm, per_sample, per_node,
    across, slice_, face_lateral, rough_gain, real, imag,
):  # fmt: skip
    """Write the echoes of the scatterers along ``s`` mm of a path, one in each slab of the lattice.

    The hot loop: its arguments are spelled out, because a call with tables costs more than ten scatterers.
    """
    if abs(dx) >= abs(dy) and abs(dx) >= abs(dz):
        om, dm = x, dx
    elif abs(dy) >= abs(dz):
        om, dm = y, dy
    else:
        om, dm = z, dz
    pitch = np.float32(PATH_PITCH_MM)
    inverse = _ONE / pitch
    spacing = pitch / abs(dm)
    # The first slab whose middle lies ahead; middles are at pitch·(m + ½).
    place = om * inverse - _HALF
    first = np.float32(whole(place)) + (_ONE if dm > _ZERO else _ZERO)
    way = (first - place) * pitch / dm
    weight *= np.float32(math.sqrt(_ONE / abs(dm)))
    count = np.int32((s - way) / spacing) + 1 if s > way else 0
    samples = real.shape[1]
    factor, growth = _ZERO, _ZERO
    for k in range(count):
        t = way + np.float32(k) * spacing
        if k % _STRIDE == 0:
            ahead = t + np.float32(_STRIDE) * spacing
            node = min(np.int32((gone + t) * per_node), across.size - 1)
            factor = rough_gain[node] * amplitude_after(loss, t) * beam_share(
                gone + t, wu + qu * t, wv + qv * t, blur + t * (_TWO * blur_slope + slopes * t),
                across[node], slice_[node], behind + t, left, right, face_lateral[node],
            )  # fmt: skip
            node = min(np.int32((gone + ahead) * per_node), across.size - 1)
            then = rough_gain[node] * amplitude_after(loss, ahead) * beam_share(
                gone + ahead, wu + qu * ahead, wv + qv * ahead,
                blur + ahead * (_TWO * blur_slope + slopes * ahead), across[node], slice_[node],
                behind + ahead, left, right, face_lateral[node],
            )  # fmt: skip
            growth = (then - factor) / np.float32(_STRIDE)
        px, py, pz = x + t * dx, y + t * dy, z + t * dz
        cx, cy, cz = whole(px * inverse), whole(py * inverse), whole(pz * inverse)
        h = cell_hash(cx, 0, cy, 1, cz, 2, salt, _LEVEL)
        jx, jy, jz = cell_place(h)
        along = (
            ((np.float32(cx) + jx) * pitch - px) * dx
            + ((np.float32(cy) + jy) * pitch - py) * dy
            + ((np.float32(cz) + jz) * pitch - pz) * dz
        )
        at = shown + (t + along) * slowness
        sample = np.int32(at * per_sample + _HALF)
        if sample < samples:
            a = weight * factor * fluctuation(h, density, mean, std)
            re, im = phasor(at * turns_per_mm)
            real[index, sample] += a * re
            imag[index, sample] += a * im
        factor += growth


@device
def add_reflected(index, begin, end, beam, reflected, real, imag):
    """Add to samples ``begin`` … ``end − 1`` of a scanline what it and its neighbours see on reflected paths.

    ``index`` is frame × scanlines + line. Neighbours count as the lateral beam has them.
    """
    line = index % beam.scanlines
    reach = beam.wall_spread.shape[0] // 2
    for step in range(max(-reach, -line), min(reach + 1, beam.scanlines - line)):
        beside = index + step
        first, last = max(begin, reflected.span[beside, 0]), min(end, reflected.span[beside, 1])
        for block in range(first // _BLOCK, (last + _BLOCK - 1) // _BLOCK):
            middle = np.float32(block * _BLOCK + _BLOCK // 2) * beam.sample_mm
            weight = beam.wall_spread[reach + step, min(np.int32(middle / beam.node_mm), np.int32(beam.nodes - 1))]
            if weight > _ZERO:
                for sample in range(max(first, block * _BLOCK), min(last, (block + 1) * _BLOCK)):
                    real[index, sample] += weight * reflected.real[beside, sample]
                    imag[index, sample] += weight * reflected.imag[beside, sample]
