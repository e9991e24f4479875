"""Side lobes: a line receives, faintly, what its neighbours see at the same depth.

Beyond the main lobe of the aperture's pattern (:mod:`ussim.probe.pattern`) each line adds the complex lines some way
beside it, with weights whose power is the pattern's there. Their signs are random but fixed, so that what comes through
the side lobes belongs to the tissue and moves with it, and opposite on the two sides, so that a plane wall stays as
bright. By turns they are real and imaginary: neighbours, which are alike, add up in power.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ussim.jit import device
from ussim.probe.beam import FWHM_PER_SIGMA, lateral_sigma_mm
from ussim.probe.pattern import two_way_power
from ussim.probe.probe import Probe
from ussim.render.aperture.tables import REACH
from ussim.render.kernels.inputs import Array
from ussim.render.tables import key_of

_EDGE = 1.8  # standard deviations at which a Gaussian main lobe ends: it has fallen to −14 dB
_CLOSE, _FAR = 12, 12  # lobes on either side that are taken one by one, and groups of lobes beyond them
_FLANK = 3  # nearest neighbours, on the main lobe's flank: all imaginary, since real ones would shift the lobe
_GROWTH = 1.15  # of the groups' distance
_DEPTHS = 32  # at which the pattern is computed
_NODES = 256
_NEAREST_MM = 2.0  # the paraxial approximation ends somewhere before
_POINTS = 800  # across the pattern
_ROUNDS = 30
_TINY = 1e-200
_NONE = np.float32(0)


class SideLobes(NamedTuple):
    """What every line adds of the lines K steps beside it."""

    offset: Array  # (K,) int32, scanlines
    turned: Array  # (K,) int32, 1 where the weight is imaginary
    weight: Array  # (K, S) float32, of the line on the right; that on the left has −weight
    kept: Array  # (S,) float32, weight of the line itself: uniform tissue stays as bright
    silence: Array  # (S,) float32, zeros: the lines beyond the ends of the image


@lru_cache(maxsize=16)
def side_lobe_table(probe: Probe) -> SideLobes | None:
    """The side lobes of a probe; None if its beam has none."""
    if probe.apodisation == "gaussian":
        return None

    def beam(depths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviation of the main lobe and distance of the scanlines [mm]."""
        sigma = lateral_sigma_mm(
            depths, probe.wavelength_mm, probe.aperture_mm, probe.f_number, probe.focus_mm, probe.apodisation
        )
        return sigma, np.maximum(probe.line_pitch_mm(depths), 1e-3)

    depths = np.geomspace(min(_NEAREST_MM, probe.depth_mm / 2), probe.depth_mm, _DEPTHS)
    sigma, pitch = beam(depths)
    offset = _offsets(float((FWHM_PER_SIGMA * sigma / pitch).min()), probe.scanlines)
    number = np.arange(len(offset))
    turned = (number < _FLANK) | (number % 2 == 0)
    sign = np.array([1.0 - 2.0 * (key_of("side lobe", k) & 1) for k in number])
    phase = np.where(turned, 1j, 1) * sign
    power = [_lobe_power(probe, *place, offset, phase) for place in zip(depths, sigma, pitch, strict=True)]

    nodes = np.linspace(0, probe.depth_mm, _NODES)
    weight = np.sqrt([np.interp(nodes, depths, row) for row in np.transpose(power)])
    sigma, pitch = beam(nodes)
    kept = _kept(offset, phase[:, None] * weight, pitch / sigma)
    shown = probe.sample_depths_mm
    over_depth = [np.interp(shown, nodes, row) for row in (*(kept * sign[:, None] * weight), kept)]
    return SideLobes(
        offset=offset.astype(np.int32),
        turned=turned.astype(np.int32),
        weight=np.ascontiguousarray(over_depth[:-1], np.float32),
        kept=over_depth[-1].astype(np.float32),
        silence=np.zeros(probe.axial_samples, np.float32),
    )


def _offsets(lines_per_lobe: float, scanlines: int) -> np.ndarray:
    """Distances [scanlines] at which neighbours stand for all: a lobe apart, farther away some lobes."""
    lobes = np.append(np.arange(1, _CLOSE + 1), _CLOSE * _GROWTH ** np.arange(1, _FAR + 1))
    offset = np.unique(np.round(lobes * max(1, int(lines_per_lobe))).astype(int))
    return offset[: max(2, np.searchsorted(offset, scanlines))]


def _lobe_power(
    probe: Probe, depth_mm: float, sigma_mm: float, pitch_mm: float, offset: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    """Power of each neighbour, (K,), so that their Gaussian main lobes together are the pattern beyond the line's own.

    A mixture of known places and widths, fitted by expectation and maximisation (Richardson 1972, Lucy 1974), with
    weights of 1/√power, or the faint lobes would be lost beside the flank of the main one. Where neighbours see a place
    in phase they add up in amplitude; that they cancel elsewhere does not count, or they would grow without bound.
    """
    place_mm = offset * pitch_mm
    apart_mm = np.gradient(place_mm)
    beside_mm = np.linspace(0, place_mm[-1] + apart_mm[-1] / 2, _POINTS)
    own = np.where(beside_mm < REACH * sigma_mm, np.exp(-np.square(beside_mm / sigma_mm)), 0)
    pattern = two_way_power(probe, beside_mm, depth_mm)
    wanted = np.where(beside_mm > _EDGE * sigma_mm, np.maximum(pattern - own, 0), 0)
    wide_mm = np.maximum(sigma_mm / math.sqrt(2), apart_mm / 4)[:, None]
    away = (beside_mm - place_mm[:, None]) / wide_mm
    lobe = np.where(np.abs(away) < math.sqrt(2) * REACH, np.exp(-0.5 * away**2), 0)
    lobe /= np.maximum(lobe.sum(axis=1, keepdims=True), _TINY)
    weight = 1 / np.sqrt(np.maximum(pattern, own))
    wave = np.sqrt(lobe)
    total = lobe @ weight
    power = np.full(len(offset), wanted.mean())
    for _ in range(_ROUNDS):
        real, imag = (part * np.sqrt(power) @ wave for part in (phase.real, phase.imag))
        seen = np.maximum(power @ lobe, real**2 + imag**2)
        power *= (lobe @ (weight * wanted / np.maximum(seen, _TINY))) / total
    return power * beside_mm[1] / (sigma_mm * math.sqrt(math.pi))


def _kept(offset: np.ndarray, weight: np.ndarray, pitch_in_sigma: np.ndarray) -> np.ndarray:
    """Amplitude that keeps uniform tissue as bright, (depths,): lines close to each other have some of it in common.

    Args:
        offset: (K,) scanlines.
        weight: (K, depths) complex, of the lines on one side; on the other they are −weight.
        pitch_in_sigma: (depths,) distance of the scanlines.
    """
    place, both = np.concatenate([offset, -offset]), np.concatenate([weight, -weight])
    common = np.exp(-np.square((place[:, None] - place)[..., None] * pitch_in_sigma) / 4)
    return 1 / np.sqrt(1 + np.einsum("id,ijd,jd->d", both, common, both.conj()).real)


@device
def add_side_lobes(index, first, last, scanlines, lobes, in_real, in_imag, out_real, out_imag):
    """Write the samples ``first`` … ``last − 1`` of a line with what its neighbours see."""
    line = index % scanlines
    kept = lobes.kept[first:last]
    for n in range(last - first):
        out_real[index, first + n] = kept[n] * in_real[index, first + n]
        out_imag[index, first + n] = kept[n] * in_imag[index, first + n]
    real, imag = out_real[index, first:last], out_imag[index, first:last]
    for k in range(lobes.offset.size):
        weight = lobes.weight[k, first:last]
        has_left, has_right = line >= lobes.offset[k], line + lobes.offset[k] < scanlines
        left, right = index - lobes.offset[k], index + lobes.offset[k]
        left_re = in_real[left, first:last] if has_left else lobes.silence[first:last]
        left_im = in_imag[left, first:last] if has_left else lobes.silence[first:last]
        right_re = in_real[right, first:last] if has_right else lobes.silence[first:last]
        right_im = in_imag[right, first:last] if has_right else lobes.silence[first:last]
        if lobes.turned[k] != 0:
            add_difference(real, weight, left_im, right_im)
            add_difference(imag, weight, right_re, left_re)
        else:
            add_difference(real, weight, right_re, left_re)
            add_difference(imag, weight, right_im, left_im)


@device
def with_side_lobes(index, sample, scanlines, lobes, in_real, in_imag):
    """One sample of what :func:`add_side_lobes` writes: (real, imaginary)."""
    line = index % scanlines
    real, imag = lobes.kept[sample] * in_real[index, sample], lobes.kept[sample] * in_imag[index, sample]
    for k in range(lobes.offset.size):
        offset, weight = lobes.offset[k], lobes.weight[k, sample]
        left_re, left_im, right_re, right_im = _NONE, _NONE, _NONE, _NONE
        if line >= offset:
            left_re, left_im = in_real[index - offset, sample], in_imag[index - offset, sample]
        if line + offset < scanlines:
            right_re, right_im = in_real[index + offset, sample], in_imag[index + offset, sample]
        if lobes.turned[k] != 0:
            real += weight * (left_im - right_im)
            imag += weight * (right_re - left_re)
        else:
            real += weight * (right_re - left_re)
            imag += weight * (right_im - left_im)
    return real, imag


@device
def add_difference(out, weights, plus, minus):
    """out += weights · (plus − minus), element by element."""
    for n in range(out.size):
        out[n] += weights[n] * (plus[n] - minus[n])
