"""From settings to the flat tables that the kernels read."""

from __future__ import annotations

import hashlib
import math
from weakref import WeakKeyDictionary

import numpy as np

from ussim.probe.imaging import Imaging
from ussim.probe.probe import SPEED_ASSUMED_M_S, Probe
from ussim.render.bvh import build_bvh
from ussim.render.kernels.inputs import Display, Geometry, Media, Pixels
from ussim.render.normals import normal_fields, surface_normals
from ussim.scene.scene import Scene

_SAMPLES_PER_SIGMA = 0.6
_NOISE_SHOWN_DB = 9.0


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
        normal_fields=normal_fields(scene.vertices_mm, scene.triangles, corner_normals),
        vertices=np.ascontiguousarray(scene.vertices_mm, np.float32),
        triangles=np.ascontiguousarray(scene.triangles, np.int32),
        triangle_surface=np.ascontiguousarray(scene.triangle_surface, np.int32),
        surface_medium=np.ascontiguousarray(scene.surface_media, np.int32),
    )


def media_table(scene: Scene, probe: Probe, imaging: Imaging) -> Media:
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
    return Media(
        speed_ratio=ratio,
        impedance_mrayl=column(lambda t: t.impedance_mrayl),
        loss_db_per_mm=loss,
        roughness_exponent=column(lambda t: t.roughness_exponent),
        thickness_mm=column(lambda t: t.thickness_mm),
        scatter_density=density,
        scatter_mean=column(lambda t: t.scatter_mean),
        scatter_std=column(lambda t: t.scatter_std),
    )


def pulse_sigma_mm(probe: Probe) -> float:
    """Standard deviation of the pulse's envelope [mm]; samples far apart stretch it, or echoes would fall between."""
    return max(probe.axial_sigma_mm, _SAMPLES_PER_SIGMA * probe.sample_mm)


def display_table(
    probe: Probe, imaging: Imaging, tgc_db: np.ndarray, operator_gain_db: np.ndarray | float = 0.0
) -> Display:
    """Pulse, gain and grey scale.

    A scatterer is put into the nearest sample; that box has a variance of spacing²/12, which the pulse gives up so
    that its width comes out right.
    """
    sigma = pulse_sigma_mm(probe)
    narrowed = math.sqrt(max(sigma**2 - probe.sample_mm**2 / 12, (0.3 * sigma) ** 2)) / probe.sample_mm
    half = max(1, math.ceil(3.5 * narrowed))
    pulse = np.exp(-0.5 * (np.arange(-half, half + 1) / narrowed) ** 2)
    # One echo carries the energy of one pulse, σ·√π, whatever the spacing.
    pulse *= math.sqrt(probe.axial_sigma_mm * math.sqrt(math.pi) / ((pulse**2).sum() * probe.sample_mm))
    # Gain lifts the receiver's noise so far above black at most, or what lies below penetration would turn white.
    black_db = imaging.reference_db - imaging.dynamic_range_db
    limit_db = min(imaging.tgc_limit_db, max(0.0, black_db - imaging.noise_db + _NOISE_SHOWN_DB))
    gain = np.minimum(tgc_db, limit_db) + operator_gain_db - black_db
    return Display(
        pulse=pulse.astype(np.float32),
        pulse_sigma_mm=np.float32(sigma),
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
