"""What the kernels read: flat named tuples of float32 and int32, the same on the CPU and on a GPU.

Numba accepts a flat named tuple as an argument of a parallel loop and of a CUDA kernel; nested ones fail.
"Depth" is always the displayed one: two-way time × 1540 m/s / 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Array = Any  # numpy array on the CPU, device array on a GPU


class Geometry(NamedTuple):
    """A scene's triangles: the tree's arrays and what each triangle belongs to."""

    boxes: Array
    children: Array
    corners: Array
    primitives: Array
    normals: Array  # (T, 3) float32, outward unit normals
    corner_normals: Array  # (T, 3, 3) float32, smooth unit normals at each triangle's corners
    vertices: Array  # (V, 3) float32, mm
    triangles: Array  # (T, 3) int32
    triangle_surface: Array  # (T,) int32, bit index of the triangle's surface
    surface_medium: Array  # (S,) int32, index into Media


class Media(NamedTuple):
    """Acoustic properties by medium index, each (M,) float32 unless said otherwise."""

    speed_ratio: Array  # speed of sound over the assumed 1540 m/s
    impedance_mrayl: Array
    loss_db_per_mm: Array  # two-way attenuation per mm of path, at the probe's frequency
    roughness_exponent: Array
    thickness_mm: Array
    scatter_density: Array
    scatter_mean: Array
    scatter_std: Array
    salt: Array  # (M,) uint32, separates the media's scatterers
    decay: Array  # (M, J), amplitude after n samples of depth


class Beam(NamedTuple):
    """Scanlines, rays and taps of one probe at one quality."""

    scanlines: int
    layers: int
    rays: int
    taps: int
    samples: int
    angular_pitch_rad: float
    linear_pitch_mm: float
    apex_radius_mm: float
    depth_mm: float
    sample_mm: float
    turns_per_mm: float  # phase of the carrier per mm of depth, 2·f0/c0
    wavelength_mm: float
    sigma_aperture_mm: float
    sigma_focus_mm: float
    elevation_focus_mm: float
    lobe_exponent: float
    acceptance_rad: float
    interface_gain: float
    max_reflections: int
    max_segments: int
    cells_per_mm: float
    pitch_mm: float
    layer_key: Array  # (L,) int32, number of the layer counted from the central one
    layer_offset_mm: Array  # (L,) elevational offset
    incoherent_weight: Array  # (L,) squares sum to 1
    coherent_weight: Array  # (L,) sum to 1
    ray_start: Array  # (L, N, 3) lateral, lens, focus: see LATERAL below
    tap_start: Array  # (L, K, 3) the same for the taps
    tap_gain: Array  # (J,) amplitude factor where taps crowd


# Where a ray or a tap runs within the beam: laterally in scanline pitches off its scanline, elevationally from
# a point on the lens (in sigma_aperture) to one in the focus (in sigma_focus).
LATERAL, LENS, FOCUS = 0, 1, 2


class Paths(NamedTuple):
    """What tracing leaves behind. P paths, ordered frame, scanline, layer, ray; room for M segments each."""

    amplitude: Array  # (P, M) float32, two-way amplitude at a segment's FIRST sample
    span: Array  # (P, M, SPAN_FIELDS) int32
    segment_count: Array  # (P,) int32
    echo: Array  # (P, M, ECHO_FIELDS) float32
    echo_count: Array  # (P,) int32
    tap_line: Array  # (frames × scanlines × layers × taps, 6) float32: o and d of a tap's points o + d·depth


# The medium of a segment and the samples it scatters in, FIRST … LAST − 1.
MEDIUM, FIRST, LAST = 0, 1, 2
SPAN_FIELDS = 3

# Fields of an interface echo.
COHERENT_DEPTH, ROUGH_DEPTH, COHERENT_AMPLITUDE, ROUGH_AMPLITUDE = 0, 1, 2, 3
ECHO_FIELDS = 4


class Display(NamedTuple):
    """From baseband lines to grey levels."""

    pulse: Array  # (2·W + 1,) axial pulse for scatterers, sampled
    pulse_sigma_mm: float
    lateral: Array  # (2·V + 1, J) weights of the neighbouring scanlines at every depth
    gain_db: Array  # (J,) time-gain compensation, minus the level that is black
    grey_per_db: float
    half_window: int  # samples on either side that a pixel averages
    noise: float  # standard deviation of the real and of the imaginary part


class Pixels(NamedTuple):
    """The pixels of the sector, in row order: where each lies between four polar samples."""

    address: Array  # (Q,) int32, index into the flattened image
    line: Array  # (Q,) int32
    sample: Array  # (Q,) int32
    across: Array  # (Q,) float32, fraction of the way to the next line
    along: Array  # (Q,) float32, fraction of the way to the next sample
