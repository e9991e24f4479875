"""Probes: scanlines, beam widths and the geometry of the image they make.

A scanline is named by a real number u, its index from 0 to ``scanlines − 1``. Its ray starts on the
transducer's face and, in the probe's frame (x lateral, y elevational, z axial, origin at the centre of the face),

    θ = (u − (scanlines − 1)/2)·angular_pitch,   x0 = (u − (scanlines − 1)/2)·linear_pitch
    origin = (x0 + R·sin θ, 0, R·cos θ − R),     direction = (sin θ, 0, cos θ)

which is a convex array (R > 0), a phased array (R = 0) or, with no angle, a linear array.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ussim.errors import UssimError
from ussim.settings import validated

SPEED_ASSUMED_M_S = 1540.0
"""Speed of sound by which a scanner turns time into depth."""


class Probe(BaseModel):
    """What every probe has.

    Attributes:
        frequency_mhz: Centre frequency.
        bandwidth: Fractional −6 dB two-way bandwidth.
        depth_mm: Displayed depth along a scanline.
        scanlines: Lines of one image.
        axial_samples: Samples along a line; the spacing is ``depth_mm / axial_samples``.
        focus_mm: Depth of the transmit focus.
        aperture_mm: Widest active aperture, transmit and receive.
        f_number: Smallest F-number of the dynamic receive aperture.
        apodisation: Window over the elements of the receive aperture; transmit drives all of its alike. A window
            lowers the side lobes and widens the beam. ``gaussian``: a beam as wide as the ``rectangular``
            aperture's, without side lobes.
        elevation_aperture_mm: Height of the elements.
        elevation_focus_mm: Focus of the acoustic lens.
        image_height, image_width: Pixels of the scan-converted image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    frequency_mhz: Annotated[float, Field(ge=0.5, le=40)] = 8.0
    bandwidth: Annotated[float, Field(gt=0.05, le=1.5)] = 0.6
    depth_mm: Annotated[float, Field(ge=5, le=500)] = 150.0
    scanlines: Annotated[int, Field(ge=8, le=4096)] = 256
    axial_samples: Annotated[int, Field(ge=64, le=65536)] = 3072
    focus_mm: Annotated[float, Field(gt=1, le=500)] = 70.0
    aperture_mm: Annotated[float, Field(gt=0.5, le=200)] = 16.0
    f_number: Annotated[float, Field(ge=0.5, le=20)] = 2.0
    apodisation: Literal["gaussian", "rectangular", "hamming", "hann"] = "hamming"
    elevation_aperture_mm: Annotated[float, Field(gt=0.5, le=100)] = 12.0
    elevation_focus_mm: Annotated[float, Field(gt=1, le=500)] = 70.0
    image_height: Annotated[int, Field(ge=16, le=8192)] = 1000
    image_width: Annotated[int, Field(ge=16, le=8192)] = 1386

    # Geometry that a subclass fills in ------------------------------------------------------------
    @property
    def apex_radius_mm(self) -> float:
        """Radius R of the arc on which rays start; 0 for phased and linear arrays."""
        return 0.0

    @property
    def angular_pitch_rad(self) -> float:
        """Angle between neighbouring scanlines."""
        return 0.0

    @property
    def linear_pitch_mm(self) -> float:
        """Distance between neighbouring scanlines on a flat face."""
        return 0.0

    @property
    def face_width_mm(self) -> float:
        """Width of the face, along it if it is curved."""
        return (self.linear_pitch_mm + self.apex_radius_mm * self.angular_pitch_rad) * self.scanlines

    # Derived --------------------------------------------------------------------------------------
    @property
    def wavelength_mm(self) -> float:
        """Wavelength at the assumed speed of sound."""
        return SPEED_ASSUMED_M_S / self.frequency_mhz / 1000

    @property
    def sample_mm(self) -> float:
        """Axial sample spacing."""
        return self.depth_mm / self.axial_samples

    @property
    def sample_depths_mm(self) -> np.ndarray:
        """Depth of each sample along its line [mm], shape (axial_samples,)."""
        return np.arange(self.axial_samples) * self.sample_mm

    @property
    def axial_sigma_mm(self) -> float:
        """Standard deviation of the pulse's Gaussian envelope; its −6 dB width is 0.441·c/(B·f0)."""
        width_mm = 0.441 * SPEED_ASSUMED_M_S / 1000 / (self.bandwidth * self.frequency_mhz)
        return width_mm / (2 * math.sqrt(2 * math.log(2)))

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the image [px]."""
        return self.image_height, self.image_width

    def _extent_mm(self) -> tuple[float, float, float]:
        """Half width, top z and bottom z of the imaged region [mm]."""
        half = self.angular_pitch_rad * self.scanlines / 2
        reach = self.apex_radius_mm + self.depth_mm
        half_width = reach * math.sin(min(half, math.pi / 2)) + self.linear_pitch_mm * self.scanlines / 2
        top = self.apex_radius_mm * (math.cos(half) - 1)
        return half_width, top, self.depth_mm

    @property
    def mm_per_pixel(self) -> float:
        """Side of the (square) pixel [mm]."""
        half_width, top, bottom = self._extent_mm()
        return max(2 * half_width / self.image_width, (bottom - top) / self.image_height)

    @property
    def image_origin_mm(self) -> tuple[float, float]:
        """(x, z) of the centre of pixel (0, 0) in the probe frame [mm]."""
        _, top, bottom = self._extent_mm()
        side = self.mm_per_pixel
        slack = self.image_height * side - (bottom - top)
        return -(self.image_width - 1) / 2 * side, top + (0.5 * side) - slack / 2

    def pixel_grid_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """x and z of every pixel centre [mm], each of shape (height, width)."""
        x0, z0 = self.image_origin_mm
        x = x0 + np.arange(self.image_width) * self.mm_per_pixel
        z = z0 + np.arange(self.image_height) * self.mm_per_pixel
        return np.meshgrid(x, z)

    def pixel_lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Scanline coordinate u and depth [mm] of every pixel, each of shape (height, width)."""
        x, z = self.pixel_grid_mm()
        centre = (self.scanlines - 1) / 2
        if self.linear_pitch_mm > 0:
            return x / self.linear_pitch_mm + centre, z
        theta = np.arctan2(x, z + self.apex_radius_mm)
        return theta / self.angular_pitch_rad + centre, np.hypot(x, z + self.apex_radius_mm) - self.apex_radius_mm

    def mask(self) -> np.ndarray:
        """1 inside the imaged sector, 0 outside; uint8 of shape (height, width)."""
        u, depth = self.pixel_lines()
        inside = (u >= -0.5) & (u <= self.scanlines - 0.5) & (depth >= 0) & (depth <= self.depth_mm)
        return inside.astype(np.uint8)

    def scanline_rays(self, u: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Origins [mm] and unit directions of scanlines in the probe frame, each of shape (n, 3)."""
        u = np.arange(self.scanlines) if u is None else np.asarray(u, float)
        offset = u - (self.scanlines - 1) / 2
        theta = offset * self.angular_pitch_rad
        zero = np.zeros_like(theta)
        radius = self.apex_radius_mm
        origin = np.stack(
            [offset * self.linear_pitch_mm + radius * np.sin(theta), zero, radius * (np.cos(theta) - 1)],
            axis=-1,
        )
        return origin, np.stack([np.sin(theta), zero, np.cos(theta)], axis=-1)

    def line_pitch_mm(self, depth_mm: np.ndarray) -> np.ndarray:
        """Distance between neighbouring scanlines at a depth [mm]."""
        return self.linear_pitch_mm + (self.apex_radius_mm + np.asarray(depth_mm)) * self.angular_pitch_rad


class ConvexProbe(Probe):
    """Curved array; the default reproduces the paper's 1000 × 1386 image of 150 mm and 70° isotropically."""

    kind: Literal["convex"] = "convex"
    radius_mm: Annotated[float, Field(ge=5, le=200)] = 40.0
    field_of_view_deg: Annotated[float, Field(ge=5, le=170)] = 70.0

    @property
    def apex_radius_mm(self) -> float:
        """Radius of the curved face."""
        return self.radius_mm

    @property
    def angular_pitch_rad(self) -> float:
        """Angle between neighbouring scanlines."""
        return math.radians(self.field_of_view_deg) / self.scanlines


class LinearProbe(Probe):
    """Flat array with parallel scanlines."""

    kind: Literal["linear"] = "linear"
    width_mm: Annotated[float, Field(ge=5, le=300)] = 50.0
    depth_mm: Annotated[float, Field(ge=5, le=500)] = 60.0
    focus_mm: Annotated[float, Field(gt=1, le=500)] = 30.0
    elevation_aperture_mm: Annotated[float, Field(gt=0.5, le=100)] = 5.0
    elevation_focus_mm: Annotated[float, Field(gt=1, le=500)] = 25.0
    image_width: Annotated[int, Field(ge=16, le=8192)] = 834

    @property
    def linear_pitch_mm(self) -> float:
        """Distance between neighbouring scanlines."""
        return self.width_mm / self.scanlines


class PhasedProbe(Probe):
    """Small flat array whose scanlines fan out from one point (sector scan)."""

    kind: Literal["phased"] = "phased"
    field_of_view_deg: Annotated[float, Field(ge=5, le=170)] = 80.0
    aperture_mm: Annotated[float, Field(gt=0.5, le=200)] = 18.0
    image_width: Annotated[int, Field(ge=16, le=8192)] = 1286

    @property
    def angular_pitch_rad(self) -> float:
        """Angle between neighbouring scanlines."""
        return math.radians(self.field_of_view_deg) / self.scanlines

    @property
    def face_width_mm(self) -> float:
        """The aperture: a phased array uses all of its face for every line."""
        return self.aperture_mm


KINDS: dict[str, type[Probe]] = {"convex": ConvexProbe, "linear": LinearProbe, "phased": PhasedProbe}


def make_probe(kind: str = "convex", **fields: Any) -> Probe:
    """Build a probe from its kind and settings, as they stand in a store's attributes.

    Raises:
        UssimError: If the kind is unknown or a setting is out of range.
    """
    if kind not in tuple(KINDS):  # it may be anything, also what has no hash
        raise UssimError(f"probe.kind = {kind!r}: must be one of {', '.join(KINDS)}")
    return validated(KINDS[kind], fields, "probe.")
