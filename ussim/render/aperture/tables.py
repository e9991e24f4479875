"""From settings to the tables that the stages of the aperture read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.special import ndtri

from ussim.probe.beam import elevation_sigmas_mm, lateral_sigma_mm
from ussim.probe.imaging import Imaging
from ussim.probe.pattern import window_share
from ussim.probe.probe import Probe
from ussim.probe.quality import Quality
from ussim.render.aperture.inputs import STRIP, ApertureBeam
from ussim.render.aperture.lattice import PLACE_MM
from ussim.render.tables import key_of, pulse_sigma_mm
from ussim.scene.point import PointTarget

_NODE_MM = 0.4  # along a scanline: shadows are smooth
_DEEPEST = 1.12  # lines reach so much deeper than is shown, at most: behind faster media the depths shown lie deeper
_PIECE_MM = 0.03  # a sheet's straight pieces stray so far from the beam at most
REACH = 1.9  # standard deviations of the beam within which scatterers count: at least 99.3 % of its power either way
_CROWDING = 1.6  # exponent by which rays crowd around the axis
_SCATTERERS_PER_CELL = 6  # cells of the lattice in a resolution cell, for developed speckle
_STEPS = 3  # levels of the lattice that double its pitch
_COARSEST = 6  # of these levels, counted from 0
_BLEND_MM = 4.0  # depth over which one level of the lattice takes over from another
_REFERENCE_MM = 0.1  # a tissue's scatter parameters are of the echo of so much depth
_PITCH_FACTOR = 2.0  # finest pitch of the lattice over ``scatter_pitch_mm``
WALL_DB = 10.0  # of walls over their reflection coefficient, by eye
_DIFFUSE_SHARE = 0.01
_STEEPEST_ELEVATION = 0.25  # rad: elements of full height are directive
_WIDEST_SPREAD = 24  # scanlines
_LEAST_SPREAD = 0.04  # of a wall's echo on the scanline that meets it: less is left out
_LEAST_PATHS = 1  # that leave a strong mirror
_RAYS_PER_PATH = 4
_RAYS_PER_WALL_LINE = 4
_MOST_WALL_LINES = 7  # as many as high quality has: the limit it nears with more rays looks at the same walls
_LATEST = 1.2  # of what a round wavefront comes late beside a scanline: its width varies between nodes
_BELOW_NOISE_DB = 10.0  # echoes on reflected paths that are left out


def _sheets(layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the sheets of the layers lie, (layers,), and where one layer ends and the next begins, (layers − 1,).

    In standard deviations σ of the elevational beam's amplitude. Its power, a Gaussian of σ/√2, is cut into parts of
    equal weight; a sheet lies at the root mean square of its part, so that together they are as wide as the beam.
    """
    edges = ndtri(np.arange(1, layers) / layers)
    low, high = np.append(-np.inf, edges), np.append(edges, np.inf)
    bell_low, bell_high = (np.exp(-0.5 * np.square(x)) / math.sqrt(2 * math.pi) for x in (low, high))
    with np.errstate(invalid="ignore"):
        tail = np.nan_to_num(low * bell_low) - np.nan_to_num(high * bell_high)
    root = np.sqrt(1 + tail * layers)
    root[layers // 2] = 0
    return np.sign(np.arange(layers) - layers // 2) * root / math.sqrt(2), edges / math.sqrt(2)


def _pieces(sheet_mm: np.ndarray) -> np.ndarray:
    """Nodes at which the straight pieces of all sheets begin, and the last node; as few as _PIECE_MM allows.

    Each piece costs a ray a look-up of its own, and the beam is straight but for its waist.
    """
    number = np.arange(sheet_mm.shape[1])

    def is_straight(first: int, last: int) -> bool:
        along = (number[first : last + 1] - first) / (last - first)
        begin, end = sheet_mm[:, first, None], sheet_mm[:, last, None]
        return bool(np.abs(begin + (end - begin) * along - sheet_mm[:, first : last + 1]).max() <= _PIECE_MM)

    begins = [0]
    while begins[-1] < number[-1]:
        first, beyond = begins[-1] + 1, int(number[-1]) + 1
        while beyond - first > 1:
            middle = (first + beyond) // 2
            first, beyond = (middle, beyond) if is_straight(begins[-1], middle) else (first, middle)
        begins.append(first)
    return np.array(begins, np.int32)


def _aperture(probe: Probe, rays: int, depths: np.ndarray) -> dict[str, np.ndarray]:
    """The rays of the aperture: where they start, how they run, what they weigh, as the fields of ``ApertureBeam``.

    Convex and linear arrays: N strata of the tangent of the tilt, denser around zero, since deep points are seen at
    small angles. Phased arrays: N strata of the face.
    """
    count = len(depths)
    strata = np.linspace(-1, 1, rays + 1)
    bounds = np.sign(strata) * np.abs(strata) ** _CROWDING
    middle = (strata[1:] + strata[:-1]) / 2
    middle = np.sign(middle) * np.abs(middle) ** _CROWDING
    radius, steepest = probe.apex_radius_mm, 1 / (2 * probe.f_number)
    is_phased = radius == 0 and probe.linear_pitch_mm == 0

    def offset_mm(tangent: np.ndarray) -> np.ndarray:
        """Where on the face, off the axis of the point, a ray starts that passes it; (depths, n)."""
        if is_phased:
            return np.broadcast_to(tangent * probe.aperture_mm / 2, (count, len(tangent)))
        tilt = np.arctan(tangent * steepest)
        if radius == 0:
            return depths[:, None] * np.tan(tilt)
        return radius * (tilt - np.arcsin(radius * np.sin(tilt) / (radius + depths[:, None])))

    def weights(half_mm: np.ndarray, apodisation: str) -> np.ndarray:
        """Share of the aperture, weighed with its window, that each stratum covers, (N, depths)."""
        share = window_share(offset_mm(bounds) / half_mm[:, None], apodisation)
        covered = np.diff(share, axis=1) + 1e-12 * (np.abs(middle) == np.abs(middle).min())
        return (covered / covered.sum(axis=1, keepdims=True)).T

    tilt = np.zeros(rays) if is_phased else np.arctan(middle * steepest)
    if is_phased:
        length, crossed = np.zeros((rays, count)), np.zeros((rays, count))
    elif radius == 0:
        length = depths / np.cos(tilt)[:, None]
        crossed = depths * np.tan(tilt)[:, None] / probe.linear_pitch_mm
    else:
        sine = radius * np.sin(tilt)[:, None]
        length = np.sqrt((radius + depths) ** 2 - sine**2) - radius * np.cos(tilt)[:, None]
        crossed = (tilt[:, None] - np.arcsin(sine / (radius + depths))) / probe.angular_pitch_rad
    leaning = tilt[:, None] + _line_starts(probe, np.arange(probe.scanlines))[0]
    transmit_mm, receive_mm = half_apertures_mm(probe, depths)
    transmit, receive = weights(transmit_mm, "rectangular"), weights(receive_mm, probe.apodisation)
    of_use = (transmit + receive) > 1e-9
    return {
        "element_mm": middle * probe.aperture_mm / 2 if is_phased else np.zeros(rays),
        "ray_direction": np.stack([np.sin(leaning), np.cos(leaning)], axis=-1),
        "ray_line": crossed,
        "ray_length_mm": length,
        "ray_end": count - of_use[:, ::-1].argmax(axis=1),
        "transmit": transmit,
        "receive": receive,
    }


def _line_starts(probe: Probe, lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles of scanlines to the probe's axis, (n,) [rad], and the table :func:`line_start` reads, (n, 4)."""
    u = lines - (probe.scanlines - 1) / 2
    angle, radius = u * probe.angular_pitch_rad, probe.apex_radius_mm
    sin, cos = np.sin(angle), np.cos(angle)
    return angle, np.stack([u * probe.linear_pitch_mm + radius * sin, radius * (cos - 1), sin, cos], axis=1)


def half_apertures_mm(probe: Probe, depths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the transmit and half the receive aperture [mm] for depths of any shape."""
    widest = probe.aperture_mm / 2
    transmit = min(widest, probe.focus_mm / probe.f_number / 2)
    receive = np.minimum(widest, np.maximum(np.asarray(depths, float), 1e-3) / probe.f_number / 2)
    return np.full_like(receive, transmit), receive


def _levels(finest_mm: float, cell_mm3: np.ndarray, node_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Pitch of each level of the lattice (V,) [mm], and the amplitude it enters with at each node (V, J).

    The pitch follows the resolution cell, so that each holds enough scatterers for speckle and not many more. Where
    one level ends and the next begins, the two are blended in power.
    """
    wanted = np.cbrt(cell_mm3 / _SCATTERERS_PER_CELL)
    number = np.clip(np.floor(_STEPS * np.log2(np.maximum(wanted, finest_mm) / finest_mm)), 0, _COARSEST)
    used = np.unique(number)
    power = np.stack([(number == level).astype(float) for level in used])
    smooth = uniform_filter1d(power, max(1, round(_BLEND_MM / node_mm)), axis=1, mode="nearest")
    return finest_mm * 2 ** (used / _STEPS), np.sqrt(np.where(smooth < 1e-6, 0, smooth))


def wall_lines_of(probe: Probe, quality: Quality) -> int:
    """Lines of a scanline that look for walls: PLACE_MM apart where the scanlines are widest, or as near as allowed."""
    wanted = math.ceil(float(probe.line_pitch_mm(np.array([0.0, probe.depth_mm])).max()) / PLACE_MM)
    return (min(wanted, _MOST_WALL_LINES, max(1, quality.rays // _RAYS_PER_WALL_LINE)) - 1) // 2 * 2 + 1


def _rough_gain(spread: np.ndarray, line_pitch_mm: np.ndarray, sheet_mm: np.ndarray, wall_lines: int = 1) -> np.ndarray:
    """Amplitude factor that keeps a rough wall equally bright for any number of lines and layers, (J,).

    Echoes of two places Δ apart have one phase with probability 1 − Δ/PLACE_MM, and then add up in amplitude; else
    they add up in power.

    Args:
        spread: Weights of neighbouring scanlines, (2·W + 1, J).
        line_pitch_mm: Distance of scanlines, (J,).
        sheet_mm: Elevation of the layers, (L, J); each enters with a weight of 1/√L.
        wall_lines: Of a scanline; they share its weight.
    """
    weights = np.repeat(spread, wall_lines, axis=0) / wall_lines
    pitch_mm = line_pitch_mm / wall_lines
    above = np.abs(sheet_mm[:, None] - sheet_mm)
    power = np.square(weights).sum(axis=0)
    for step in range(1, min(len(weights), math.ceil(PLACE_MM / pitch_mm.min()))):
        alike = np.maximum(1 - step * pitch_mm / PLACE_MM, 0)
        power += 2 * alike * (weights[step:] * weights[:-step]).sum(axis=0)
    return 1 / np.sqrt(power * np.maximum(1 - above / PLACE_MM, 0).sum(axis=(0, 1)) / len(sheet_mm))


def point_table(points: Sequence[PointTarget]) -> np.ndarray:
    """Position in the scene [mm] and amplitude of every point, (P, 4) float32."""
    rows = [(*point.position_mm, 10 ** (point.strength_db / 20)) for point in points]
    return np.array(rows, np.float32).reshape(-1, 4)


def reach(probe: Probe, fastest: float) -> tuple[float, int]:
    """How deep lines reach [mm], and their nodes; ``fastest`` as of :func:`aperture_table`."""
    reach_mm = probe.depth_mm * min(max(fastest, 1.0), _DEEPEST)
    return reach_mm, max(16, math.ceil(reach_mm / _NODE_MM) + 1)


def aperture_table(probe: Probe, imaging: Imaging, quality: Quality, seed: int, fastest: float = 1.0) -> ApertureBeam:
    """Scanlines, sheets, aperture and lattice of a probe at a quality.

    Args:
        probe, imaging, quality: Settings.
        seed: Root of the scatterers.
        fastest: Largest speed of sound of the scene's media over 1540 m/s: how much deeper lines reach than is shown.
    """
    f32, i32 = np.float32, np.int32
    reach_mm, nodes = reach(probe, fastest)
    node_mm = reach_mm / (nodes - 1)
    depths = np.arange(nodes) * node_mm
    on_lens, in_focus = elevation_sigmas_mm(probe.wavelength_mm, probe.elevation_aperture_mm, probe.elevation_focus_mm)
    along = depths / probe.elevation_focus_mm
    elevational = np.hypot(on_lens * (1 - along), in_focus * along)
    lateral = lateral_sigma_mm(
        depths, probe.wavelength_mm, probe.aperture_mm, probe.f_number, probe.focus_mm, probe.apodisation
    )
    place, edges = _sheets(quality.layers)
    axial = pulse_sigma_mm(probe)
    pitch, blend = _levels(
        _PITCH_FACTOR * imaging.scatter_pitch_mm, (2 * math.pi) ** 1.5 * lateral * elevational * axial, node_mm
    )
    # Power of uniform tissue: scatterers per mm³ × the square of the beam, integrated over its cross-section.
    gain = blend * np.sqrt(pitch[:, None] ** 3 / (_REFERENCE_MM * math.pi * lateral * elevational))
    present = blend > 0
    receive_angle = np.minimum(half_apertures_mm(probe, depths)[1] / np.maximum(depths, 1e-3), 1 / (2 * probe.f_number))
    height_angle = np.minimum(probe.elevation_aperture_mm / 2 / np.maximum(depths, 1e-3), _STEEPEST_ELEVATION)
    line_pitch = np.maximum(probe.line_pitch_mm(depths), 1e-3)
    spread_reach = int(min(math.ceil(2.5 * (lateral / line_pitch).max()), probe.scanlines - 1, _WIDEST_SPREAD))
    spread = np.exp(-0.5 * (np.arange(-spread_reach, spread_reach + 1)[:, None] * line_pitch / lateral) ** 2)
    spread[spread < _LEAST_SPREAD] = 0
    spread /= spread.sum(axis=0)
    sheet = place[:, None] * elevational
    pieces = _pieces(sheet)
    wall_lines = wall_lines_of(probe, quality)
    beside = (np.arange(probe.scanlines * wall_lines) - wall_lines // 2) / wall_lines
    rays = _aperture(probe, quality.rays, depths)
    begins = np.arange(0, probe.scanlines, STRIP)
    late = _LATEST * (REACH * lateral) ** 2 / (2 * np.maximum(1, depths))  # of a round wavefront
    earliest = (depths + late >= depths[:, None]).argmax(axis=1)
    as_f32 = {name: np.ascontiguousarray(values, f32) for name, values in rays.items() if name != "ray_end"}
    return ApertureBeam(
        scanlines=i32(probe.scanlines),
        layers=i32(quality.layers),
        rays=i32(quality.rays),
        samples=i32(probe.axial_samples),
        nodes=i32(nodes),
        angular_pitch_rad=f32(probe.angular_pitch_rad),
        linear_pitch_mm=f32(probe.linear_pitch_mm),
        apex_radius_mm=f32(probe.apex_radius_mm),
        sample_mm=f32(probe.sample_mm),
        node_mm=f32(node_mm),
        salt=key_of("scatter", seed),
        turns_per_mm=f32(2 / probe.wavelength_mm),
        wavelength_mm=f32(probe.wavelength_mm),
        interface_gain=f32(10 ** ((imaging.interface_gain_db + WALL_DB) / 20)),
        diffuse_share=f32(_DIFFUSE_SHARE),
        max_segments=i32(imaging.max_segments),
        max_reflections=i32(imaging.max_reflections),
        reflected_paths=i32(max(_LEAST_PATHS, quality.rays // _RAYS_PER_PATH)),
        reference_mm=f32(_REFERENCE_MM),
        echo_gain=f32(math.sqrt(axial / probe.axial_sigma_mm)),
        least_strength=f32(10 ** ((imaging.noise_db - _BELOW_NOISE_DB) / 20)),
        pieces=i32(len(pieces) - 1),
        piece_node=pieces,
        sheet_mm=sheet.astype(f32),
        sheet_edge=(edges * np.abs(edges)).astype(f32),
        ray_end=rays["ray_end"].astype(i32),
        wall_lines=i32(wall_lines),
        wall_line_starts=_line_starts(probe, beside)[1].astype(f32),
        lines=_line_starts(probe, np.arange(probe.scanlines))[1].astype(f32),
        strips=_line_starts(probe, begins + (np.minimum(STRIP, probe.scanlines - begins) - 1) / 2)[1].astype(f32),
        **as_f32,
        across=(-0.5 / lateral**2).astype(f32),
        slice=(-0.5 / elevational**2).astype(f32),
        half_width_mm=(REACH * lateral).astype(f32),
        half_slice_mm=(REACH * elevational).astype(f32),
        late_mm=late.astype(f32),
        earliest_node=earliest.astype(i32),
        scatter_gain=gain.astype(f32),
        pitch_mm=pitch.astype(f32),
        level_begin=present.argmax(axis=1).astype(i32),
        level_end=(nodes - present[:, ::-1].argmax(axis=1)).astype(i32),
        face_lateral=(receive_angle**2 / 6).astype(f32),
        face_elevational=(height_angle**2 / 6).astype(f32),
        wall_spread=spread.astype(f32),
        rough_gain=_rough_gain(spread, line_pitch, sheet, wall_lines).astype(f32),
        random_gain=_rough_gain(spread, line_pitch, np.zeros((1, nodes))).astype(f32),
    )
