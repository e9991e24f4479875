"""What reflected paths look at: tissue beside them and the walls that they meet, shown at the time of flight.

A curved mirror spreads the tube of rays: one-way intensity falls by (width between flat walls)/(width) per axis. Facets
of rough mirrors spread the beam by a variance V at the distance that is looked at; of what lies in a beam of standard
deviation w the share 1/√(1 + V/w²) per axis comes back in power. A mirror smaller than the aperture is there for a
share of the elements only, there and back: what is L behind it is seen by way of ± a·L of it, a being half the angle
of the aperture.

What keeps its phase is averaged over paths, layers and scanlines. Of all else, the paths of a scanline add up their
energy over depth; the echoes that carry it are those of a world-fixed lattice where the image shows them, one lattice
for all paths. So both qualities see the same speckle, and more paths change how bright it is, not what it is.
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.aperture.beside import add_beside, behind_beside, first_beside
from ussim.render.aperture.lattice import PLACE_MM, cell_hash, cell_place, fluctuation
from ussim.render.aperture.ray_starts import line_start, point_in_scene, to_scene
from ussim.render.aperture.sheets import facing_share
from ussim.render.physics.functions import arctangent
from ussim.render.physics.interface import coherent_fraction
from ussim.render.physics.medium import amplitude_after
from ussim.render.physics.random import normal
from ussim.render.physics.scatter import phasor, whole

BIN_MM = 0.2
"""Depth over which energy is summed."""
_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_HALF = np.float32(0.5)
_FOUR_PI = np.float32(4 * math.pi)
_SIX = np.float32(6)
_THINNEST_MM = np.float32(1e-3)
_LEVEL = 64  # of the lattice: apart from those of the scatterers that are seen directly
_STRIDE = 8  # bins between which amplitudes are interpolated


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
    face_lateral, face_elevational, across, slice_, real, imag, energy,
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
            across, slice_: Of the beam.
        real, imag, energy: Where to write.
    """
    node = min(across.size - 1, np.int32(gone / node_mm))
    strength *= r * beam_share(gone, wu, wv, blur, across[node], slice_[node], behind, left, right, face_lateral[node])
    if abs(strength) < least_strength * min(_ONE, chance):
        return
    facets = _ONE / (exponent + _ONE)
    lateral, elevational = arctangent(tilt_u, cos_i), arctangent(tilt_v, cos_i)
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

    power = strength * strength * (share * (_ONE - coherent) + diffuse_share * cos_i * cos_i) / (chance * layers)
    slot = np.int32((shown + abs(normal(key, 0)) * thickness) * np.float32(1 / BIN_MM))
    if slot < energy.shape[1]:
        energy[index, slot] += power


@device
def see_tissue(
    index, s, power, loss, gone, shown, speed_ratio, wu, qu, wv, qv, blur, blur_slope, slopes, behind, left, right,
    per_node, across, slice_, face_lateral, energy,
):  # fmt: skip
    """Write the energy of ``s`` mm of tissue along a path, of so much ``power`` per mm at its beginning.

    The hot loop: its arguments are spelled out, because a call with tables costs more than ten bins.
    """
    width = np.float32(BIN_MM) * speed_ratio  # mm of path in a bin
    first = np.int32(shown * np.float32(1 / BIN_MM))
    begin = (np.float32(first) * np.float32(BIN_MM) - shown) * speed_ratio  # of the first bin, along the path
    last = min(np.int32((shown + s / speed_ratio) * np.float32(1 / BIN_MM)), np.int32(energy.shape[1] - 1))
    factor, growth = _ZERO, _ZERO
    for k in range(last - first + 1):
        low = begin + np.float32(k) * width
        if k % _STRIDE == 0:
            then = _ZERO
            for ahead in range(2):
                t = max(_ZERO, low + _HALF * width) + np.float32(ahead * _STRIDE) * width
                node = min(np.int32((gone + t) * per_node), np.int32(across.size - 1))
                factor = then
                then = amplitude_after(loss, t) * beam_share(
                    gone + t, wu + qu * t, wv + qv * t, blur + t * (_TWO * blur_slope + slopes * t),
                    across[node], slice_[node], behind + t, left, right, face_lateral[node],
                )  # fmt: skip
            growth = (then - factor) / np.float32(_STRIDE)
        energy[index, first + k] += power * factor * factor * (min(s, low + width) - max(_ZERO, low))
        factor += growth


@device
def scatter_energy(index, beam, pose, reflected):
    """Give the energy of scanline ``index`` to the scatterers of a lattice, one in each slab that the line crosses."""
    x, z, sin, cos = line_start(beam.lines, index % beam.scanlines)
    ox, oy, oz = point_in_scene(pose, x, _ZERO, z)
    dx, dy, dz = to_scene(pose, sin, _ZERO, cos)
    if abs(dx) >= abs(dy) and abs(dx) >= abs(dz):
        om, dm = ox, dx
    elif abs(dy) >= abs(dz):
        om, dm = oy, dy
    else:
        om, dm = oz, dz
    pitch = np.float32(PLACE_MM)
    inverse = _ONE / pitch
    spacing = pitch / abs(dm)
    share = spacing / np.float32(BIN_MM)  # of a bin's energy
    begin = np.float32(reflected.span[index, 0]) * beam.sample_mm
    end = np.float32(reflected.span[index, 1]) * beam.sample_mm
    # The first slab whose middle lies behind the beginning; middles are at pitch·(m + ½).
    place = (om + begin * dm) * inverse - _HALF
    begin += (np.float32(whole(place)) + (_ONE if dm > _ZERO else _ZERO) - place) * pitch / dm
    least = beam.least_strength * beam.least_strength
    for k in range(np.int32(max(_ZERO, end - begin) / spacing)):
        depth = begin + np.float32(k) * spacing
        power = share * reflected.energy[index, np.int32(depth * np.float32(1 / BIN_MM))]
        if power < least:
            continue
        x, y, z = ox + depth * dx, oy + depth * dy, oz + depth * dz
        cx, cy, cz = whole(x * inverse), whole(y * inverse), whole(z * inverse)
        h = cell_hash(cx, 0, cy, 1, cz, 2, beam.salt, _LEVEL)
        jx, jy, jz = cell_place(h)
        at = depth + (
            ((np.float32(cx) + jx) * pitch - x) * dx
            + ((np.float32(cy) + jy) * pitch - y) * dy
            + ((np.float32(cz) + jz) * pitch - z) * dz
        )
        sample = np.int32(at / beam.sample_mm + _HALF)
        if at >= _ZERO and sample < beam.samples:
            node = min(np.int32(depth / beam.node_mm), np.int32(beam.nodes - 1))
            a = beam.random_gain[node] * np.float32(math.sqrt(power)) * fluctuation(h, _ONE, _ZERO, _ONE)
            re, im = phasor(at * beam.turns_per_mm)
            reflected.real[index, sample] += a * re
            reflected.imag[index, sample] += a * im


@device
def add_reflected(index, begin, end, beam, reflected, real, imag):
    """Add to samples ``begin`` … ``end − 1`` of a scanline what it and its neighbours see on reflected paths.

    ``index`` is frame × scanlines + line. Neighbours count as the lateral beam has them.
    """
    for step in range(first_beside(index, beam), behind_beside(index, beam)):
        first, last = max(begin, reflected.span[index + step, 0]), min(end, reflected.span[index + step, 1])
        add_beside(index, step, first, last, beam, reflected.real, reflected.imag, real, imag)
