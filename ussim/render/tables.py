"""From settings to the flat tables that the kernels read."""

from __future__ import annotations

import hashlib
import math
from weakref import WeakKeyDictionary

import numpy as np
from scipy.special import ndtri

from ussim.probe.beam import elevation_sigmas_mm, lateral_sigma_mm
from ussim.probe.imaging import Imaging
from ussim.probe.probe import SPEED_ASSUMED_M_S, Probe
from ussim.probe.quality import Quality
from ussim.render.bvh import build_bvh
from ussim.render.kernels.inputs import Beam, Display, Geometry, Media, Pixels
from ussim.render.normals import surface_normals
from ussim.scene.scene import Scene

# Elevational layers stand at equal distances over ± 1 of this unit, the geometric mean of the beam's standard
# deviations on the lens and in the focus, weighted by a Gaussian. Taps within a layer keep the rest of the beam.
_LAYER_REACH = 1.0
_LAYER_WEIGHT_SIGMA = 0.85
_TAP_SHARE = 0.7
_SAMPLES_PER_SIGMA = 0.6
_GAIN_DEPTHS = 48  # depths at which the crowding of taps is worked out
# Roberts' R3 sequence: the reciprocal powers of the root of x⁴ = x + 1 spread points evenly in the unit cube.
_R3 = 1 / 1.2207440846057594759 ** np.arange(1, 4)


def key_of(*parts: object) -> np.uint32:
    """32-bit key of anything that prints the same everywhere."""
    digest = hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=4).digest()
    return np.uint32(int.from_bytes(digest, "little"))


_built: WeakKeyDictionary[Scene, Geometry] = WeakKeyDictionary()


def geometry_table(scene: Scene) -> Geometry:
    """Return the tree and the per-triangle tables of a scene, built once for each scene object."""
    if scene not in _built:
        _built[scene] = _build_geometry(scene)
    return _built[scene]


def _build_geometry(scene: Scene) -> Geometry:
    bvh = build_bvh(scene.vertices_mm, scene.triangles)
    normals, corner_normals = surface_normals(scene.vertices_mm, scene.triangles)
    return Geometry(
        *bvh,
        normals=normals,
        corner_normals=corner_normals,
        vertices=np.ascontiguousarray(scene.vertices_mm, np.float32),
        triangles=np.ascontiguousarray(scene.triangles, np.int32),
        triangle_surface=np.ascontiguousarray(scene.triangle_surface, np.int32),
        surface_medium=np.ascontiguousarray(scene.surface_media, np.int32),
    )


def media_table(scene: Scene, probe: Probe, imaging: Imaging, seed: int) -> Media:
    """Acoustics of a scene's media at the probe's frequency."""

    def column(values) -> np.ndarray:
        return np.array([values(tissue) for tissue in scene.media], np.float32)

    # dB/cm one way → dB/mm two ways
    loss = column(lambda t: t.attenuation_db_cm(probe.frequency_mhz) * imaging.attenuation_scale * 2 / 10)
    ratio = column(lambda t: t.speed_m_s / SPEED_ASSUMED_M_S)
    # A silent medium is skipped as a whole: no scatterers, or nothing that fluctuates.
    density = column(
        lambda t: t.scatter_density if t.scatter_std > 0 or (0 < t.scatter_density < 1 and t.scatter_mean > 0) else 0
    )
    per_sample = (loss * ratio * probe.sample_mm)[:, None].astype(np.float64)
    return Media(
        speed_ratio=ratio,
        impedance_mrayl=column(lambda t: t.impedance_mrayl),
        loss_db_per_mm=loss,
        roughness_exponent=column(lambda t: t.roughness_exponent),
        thickness_mm=column(lambda t: t.thickness_mm),
        scatter_density=density,
        scatter_mean=column(lambda t: t.scatter_mean),
        scatter_std=column(lambda t: t.scatter_std),
        salt=np.array([key_of("scatter", seed, tissue.name) for tissue in scene.media], np.uint32),
        decay=(10 ** (-per_sample * np.arange(probe.axial_samples) / 20)).astype(np.float32),
    )


def _draws(layer_key: int, count: int) -> np.ndarray:
    """(count, 3) evenly spread points of the unit cube, a different set for every layer; none is 0 or 1."""
    start = np.random.default_rng(0x0055_5313 + 2 * abs(layer_key) + (layer_key > 0)).random(3)
    points = (start + np.arange(1, count + 1)[:, None] * _R3) % 1.0
    return np.clip(points, 1e-4, 1 - 1e-4)


def _taps_and_rays(layer_key: int, taps: int, rays: int) -> tuple[np.ndarray, np.ndarray]:
    """Start (lateral, lens, focus) of every tap (taps, 3) and of every ray (rays, 3).

    A ray that carries several taps runs in their midst; rays beyond the number of taps share them in turn.
    """
    u = _draws(layer_key, taps)
    tap = np.stack([u[:, 0] - 0.5, _TAP_SHARE * ndtri(u[:, 1]), _TAP_SHARE * ndtri(u[:, 2])], axis=1)
    ray = np.stack([tap[ray % taps :: rays].mean(axis=0) for ray in range(rays)])
    return tap, ray


def _tap_gain(
    probe: Probe, pitch_mm: float, lateral_mm: np.ndarray, elevation_mm: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Amplitude factor that keeps uniform speckle equally bright where taps crowd, (axial_samples,) float32.

    Two taps Δ apart share a lattice cell with probability Π(1 − |Δ|/pitch) per axis, and then add up in amplitude.

    Args:
        probe: Gives the depths.
        pitch_mm: Pitch of the scatterer lattice.
        lateral_mm, elevation_mm: Place of every tap at a few depths, (depths, taps).
        weight: Weight of every tap, (taps,); the squares sum to 1.
    """

    def shared(place: np.ndarray) -> np.ndarray:
        return np.maximum(1 - np.abs(place[:, :, None] - place[:, None, :]) / pitch_mm, 0)

    power = np.einsum("i,dij,j->d", weight, shared(lateral_mm) * shared(elevation_mm), weight)
    depths = np.linspace(0, probe.depth_mm, len(power))
    return np.interp(probe.sample_depths_mm, depths, 1 / np.sqrt(power)).astype(np.float32)


def beam_table(probe: Probe, imaging: Imaging, quality: Quality) -> Beam:
    """Scanlines, rays and taps of a probe at a quality."""
    layers, rays = quality.layers, quality.rays
    taps = quality.taps
    keys = np.arange(layers) - (layers - 1) // 2
    offsets = np.linspace(-_LAYER_REACH, _LAYER_REACH, layers) if layers > 1 else np.zeros(1)
    weight = np.exp(-0.5 * (offsets / _LAYER_WEIGHT_SIGMA) ** 2)
    sigma_aperture, sigma_focus = elevation_sigmas_mm(
        probe.wavelength_mm, probe.elevation_aperture_mm, probe.elevation_focus_mm
    )
    drawn = [_taps_and_rays(int(key), taps, rays) for key in keys]
    tap_start = np.stack([tap for tap, _ in drawn])
    layer_offset_mm = offsets * math.sqrt(sigma_aperture * sigma_focus)
    incoherent = weight / np.sqrt((weight**2).sum())

    depths = np.linspace(0, probe.depth_mm, _GAIN_DEPTHS)[:, None, None]
    along = depths / probe.elevation_focus_mm
    across = tap_start[:, :, 0] * np.maximum(probe.line_pitch_mm(depths), 1e-6)
    lens, focus = tap_start[:, :, 1] * sigma_aperture, tap_start[:, :, 2] * sigma_focus
    elevation = layer_offset_mm[:, None] + lens * (1 - along) + focus * along
    every = (_GAIN_DEPTHS, layers * taps)
    gain = _tap_gain(
        probe, imaging.scatter_pitch_mm, across.reshape(every), elevation.reshape(every),
        np.repeat(incoherent / math.sqrt(taps), taps),
    )  # fmt: skip
    f32, i32 = np.float32, np.int32
    return Beam(
        scanlines=i32(probe.scanlines),
        layers=i32(layers),
        rays=i32(rays),
        taps=i32(taps),
        samples=i32(probe.axial_samples),
        angular_pitch_rad=f32(probe.angular_pitch_rad),
        linear_pitch_mm=f32(probe.linear_pitch_mm),
        apex_radius_mm=f32(probe.apex_radius_mm),
        depth_mm=f32(probe.depth_mm),
        sample_mm=f32(probe.sample_mm),
        turns_per_mm=f32(2 / probe.wavelength_mm),
        wavelength_mm=f32(probe.wavelength_mm),
        sigma_aperture_mm=f32(sigma_aperture),
        sigma_focus_mm=f32(sigma_focus),
        elevation_focus_mm=f32(probe.elevation_focus_mm),
        lobe_exponent=f32(imaging.lobe_exponent),
        acceptance_rad=f32(imaging.acceptance_rad),
        interface_gain=f32(10 ** (imaging.interface_gain_db / 20)),
        max_reflections=i32(imaging.max_reflections),
        max_segments=i32(imaging.max_segments),
        cells_per_mm=f32(1 / imaging.scatter_pitch_mm),
        pitch_mm=f32(imaging.scatter_pitch_mm),
        layer_key=keys.astype(np.int32),
        layer_offset_mm=layer_offset_mm.astype(np.float32),
        incoherent_weight=incoherent.astype(np.float32),
        coherent_weight=(weight / weight.sum()).astype(np.float32),
        ray_start=np.stack([ray for _, ray in drawn]).astype(np.float32),
        tap_start=tap_start.astype(np.float32),
        tap_gain=gain,
    )


def pulse_sigma_mm(probe: Probe) -> float:
    """Standard deviation of the pulse's envelope [mm]; samples far apart stretch it, or echoes would fall between."""
    return max(probe.axial_sigma_mm, _SAMPLES_PER_SIGMA * probe.sample_mm)


def display_table(probe: Probe, imaging: Imaging, tgc_db: np.ndarray) -> Display:
    """Pulse, lateral beam, gain and grey scale.

    A scatterer is seen by every sample inside its cell and by every tap within the pitch of the scanlines;
    those boxes have variances of pitch²/12, which the Gaussians give up so that the widths come out right.
    """
    pitch = imaging.scatter_pitch_mm
    sigma = pulse_sigma_mm(probe)
    narrowed = math.sqrt(max(sigma**2 - pitch**2 / 12, (0.3 * sigma) ** 2)) / probe.sample_mm
    half = max(1, math.ceil(3.5 * narrowed))
    pulse = np.exp(-0.5 * (np.arange(-half, half + 1) / narrowed) ** 2)
    # A cell is met by n samples in a row, n = ⌊a⌋ or ⌊a⌋ + 1 with mean a = pitch/spacing, whose pulses add up. Its
    # echo shall carry the energy of one pulse, σ·√π, whatever the spacing.
    low, share = divmod(pitch / probe.sample_mm, 1)
    energy = sum(
        chance * (np.convolve(pulse, np.ones(int(n))) ** 2).sum()
        for n, chance in ((low, 1 - share), (low + 1, share))
        if n > 0
    )
    pulse *= math.sqrt(probe.axial_sigma_mm * math.sqrt(math.pi) / (energy * probe.sample_mm))

    depths = probe.sample_depths_mm
    line_pitch = np.maximum(probe.line_pitch_mm(depths), 1e-3)
    beam = lateral_sigma_mm(depths, probe.wavelength_mm, probe.aperture_mm, probe.f_number, probe.focus_mm)
    in_lines = np.sqrt(np.maximum((beam / line_pitch) ** 2 - 1 / 12, 1e-4))
    in_lines = np.minimum(in_lines, probe.scanlines / 8)
    reach = min(math.ceil(3 * in_lines.max()), probe.scanlines - 1)
    lateral = np.exp(-0.5 * (np.arange(-reach, reach + 1)[:, None] / in_lines) ** 2)
    lateral /= np.sqrt((lateral**2).sum(axis=0))  # uniform speckle keeps its power at every depth

    gain = np.minimum(tgc_db, imaging.tgc_limit_db) - imaging.reference_db + imaging.dynamic_range_db
    return Display(
        pulse=pulse.astype(np.float32),
        pulse_sigma_mm=np.float32(sigma),
        lateral=np.ascontiguousarray(lateral, np.float32),
        gain_db=gain.astype(np.float32),
        grey_per_db=np.float32(255 / imaging.dynamic_range_db),
        half_window=np.int32(round((probe.mm_per_pixel / probe.sample_mm - 1) / 2)),
        noise=np.float32(10 ** (imaging.noise_db / 20) / math.sqrt(2)),
    )


def pixel_table(probe: Probe) -> Pixels:
    """Where every pixel of the sector lies on the polar grid."""
    u, depth = probe.pixel_lines()
    address = np.flatnonzero(probe.mask().ravel())
    u = np.clip(u.ravel()[address], 0, probe.scanlines - 1)
    sample = np.clip(depth.ravel()[address] / probe.sample_mm, 0, probe.axial_samples - 1)
    line = np.minimum(u.astype(np.int32), probe.scanlines - 2)
    below = np.minimum(sample.astype(np.int32), probe.axial_samples - 2)
    return Pixels(
        address=address.astype(np.int32),
        line=line,
        sample=below,
        across=(u - line).astype(np.float32),
        along=(sample - below).astype(np.float32),
    )
