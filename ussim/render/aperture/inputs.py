"""What the stages of the aperture read and leave behind; see :mod:`ussim.render.kernels.inputs`."""

from __future__ import annotations

from typing import NamedTuple

from ussim.render.kernels.inputs import Array

STRIP = 16
"""Neighbouring scanlines that scatterers are summed for together."""


class ApertureBeam(NamedTuple):
    """Scanlines, sheets, aperture and lattice of one probe at one quality.

    What varies slowly with depth is tabulated at J nodes, ``node_mm`` apart along a scanline.
    """

    scanlines: int
    layers: int
    rays: int
    samples: int
    nodes: int
    angular_pitch_rad: float
    linear_pitch_mm: float
    apex_radius_mm: float
    sample_mm: float
    node_mm: float
    salt: int  # uint32, separates the lattices of different seeds
    turns_per_mm: float  # phase of the carrier per mm of depth, 2·f0/c0
    wavelength_mm: float
    interface_gain: float
    diffuse_share: float  # of a wall's power, into all directions
    max_segments: int
    max_reflections: int
    reflected_paths: int  # that leave a strong mirror
    reference_mm: float  # a tissue's scatter parameters are of the echo of so much depth
    echo_gain: float  # of a wall that enters before the pulse does
    least_strength: float  # of an echo on a reflected path: what is weaker drowns in the receiver's noise
    pieces: int  # straight pieces of which a sheet off the plane consists
    piece_node: Array  # (pieces + 1,) int32, node at which each of them begins, and the last one
    sheet_mm: Array  # (L, J) elevation of each layer's sheet
    sheet_edge: Array  # (L − 1,) between the sheets: (elevation/σ)² with the sign of the elevation
    wall_lines: int  # lines of a scanline that look for walls, odd: the middle one is the scanline itself
    wall_line_starts: Array  # (scanlines·wall_lines, 4) as ``lines``
    lines: Array  # (scanlines, 4) where each begins, x and z [mm]; sine and cosine of its angle to the probe's axis
    strips: Array  # the same of the middle of each strip of scanlines that the scatterers are summed in
    element_mm: Array  # (N,) phased arrays: where a ray starts on the face; 0 otherwise
    ray_direction: Array  # (N, scanlines, 2) sine and cosine of a ray's angle to the probe's axis
    ray_line: Array  # (N, J) scanlines that a ray has crossed at each node
    ray_length_mm: Array  # (N, J) and how long it is there
    ray_end: Array  # (N,) int32, nodes at which a ray is of use
    transmit: Array  # (N, J) weights of the rays through a point, sum 1
    receive: Array  # (N, J) the same on the way back
    across: Array  # (J,) −½/σ² of the lateral beam [1/mm²]
    slice: Array  # (J,) −½/σ² of the elevational beam [1/mm²]
    half_width_mm: Array  # (J,) lateral reach of the scatterers that count
    half_slice_mm: Array  # (J,) elevational reach
    late_mm: Array  # (J,) how much later, at most, a scatterer is seen than one on the scanline at its depth
    earliest_node: Array  # (J,) int32, the first node from which something is seen as late as at this one
    scatter_gain: Array  # (V, J) per level of the lattice: makes uniform tissue equally bright at all depths
    pitch_mm: Array  # (V,) of each level of the lattice
    level_begin: Array  # (V,) first node of a level
    level_end: Array  # (V,) node behind its last
    face_lateral: Array  # (J,) tilts of a wall that send sound from aperture to aperture: variance [rad²]
    face_elevational: Array  # (J,) the same for the height of the elements
    wall_spread: Array  # (2·W + 1, J) share of a wall's echo that its neighbouring scanlines receive, sum 1
    rough_gain: Array  # (J,) what makes the sum of a rough wall's echoes as strong as one of them
    random_gain: Array  # (J,) the same for echoes on reflected paths, of one layer


class Sheets(NamedTuple):
    """What lies on the straight scanlines of every sheet. B = frames × scanlines × layers, in this order.

    K wall lines look for the walls of each of them: the scanline is the middle one.
    """

    medium: Array  # (B, S) int32, at every sample of depth
    fuzz_mm: Array  # (B, S) float32, thickness of the last wall before it
    loud: Array  # (B, S) int32, how many samples down to this one lie in a medium that scatters
    shown_mm: Array  # (B, J) float32, displayed depth of every node: time of flight × 1540 m/s / 2
    wall: Array  # (B·K, M, WALL_FIELDS) float32
    wall_count: Array  # (B·K,) int32
    around: Array  # (B,) uint64, the surfaces around where the line begins on the face
    hit: Array  # (B, M, 6) float32, where the scanline meets the wall and its direction there, in the scene
    hit_triangle: Array  # (B, M) int32
    hit_inside: Array  # (B, M) uint64, the surfaces around the scanline before the wall


class Reflected(NamedTuple):
    """Echoes that came back over mirrors, of each scanline alone: before the lateral beam and the pulse.

    Arrays of (frames × scanlines, samples) float32 hold nothing of use outside of a line's span.
    """

    span: Array  # (frames × scanlines, 2) int32, first sample and the one behind the last
    real: Array
    imag: Array
    energy: Array  # (frames × scanlines, bins) float32, of what has a random phase


# Fields of a wall: where it lies along its line, where its echoes are shown, how strong they are, what it reflects.
WALL_DEPTH, COHERENT_SHOWN, ROUGH_SHOWN, COHERENT_AMPLITUDE, ROUGH_AMPLITUDE, REFLECTANCE, SLANT = 0, 1, 2, 3, 4, 5, 6
WALL_FIELDS = 7
