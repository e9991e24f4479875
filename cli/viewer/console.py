"""The knobs of a scanner: what a user sets, as one value that never changes in place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ussim.probe.imaging import Imaging
from ussim.probe.probe import ConvexProbe, Probe
from ussim.settings import apply_values

TGC_SLIDERS = 8
TGC_DB = 15.0
"""Each slider adds or takes so much."""
GAIN_DB = 20.0


@dataclass(frozen=True)
class Console:
    """Settings of the scanner.

    Attributes:
        depth_mm, frequency_mhz, focus_mm: Of the probe.
        dynamic_range_db: Of the display.
        gain_db: Added at every depth.
        tgc_db: Added at eight depths, from the face to the deepest, on top of the fitted curve.
    """

    depth_mm: float = 150.0
    frequency_mhz: float = 8.0
    focus_mm: float = 70.0
    dynamic_range_db: float = 66.0
    gain_db: float = 0.0
    tgc_db: tuple[float, ...] = (0.0,) * TGC_SLIDERS

    def probe(self, grid: Grid, base: Probe | None = None) -> Probe:
        """The probe with these settings and a grid.

        Raises:
            UssimError: A setting is out of range.
        """
        fields = {
            "depth_mm": self.depth_mm,
            "frequency_mhz": self.frequency_mhz,
            "focus_mm": self.focus_mm,
            "image_height": grid.height,
            "image_width": grid.width,
            "scanlines": grid.scanlines,
        }
        return apply_values(base or ConvexProbe(), {key: str(value) for key, value in fields.items()}, "probe")

    def imaging(self) -> Imaging:
        """The display with these settings."""
        return Imaging(dynamic_range_db=self.dynamic_range_db)

    def operator_gain_db(self, samples: int) -> np.ndarray:
        """What gain and sliders add at every axial sample, (samples,) float32."""
        at = np.linspace(0, TGC_SLIDERS - 1, samples)
        return (self.gain_db + np.interp(at, np.arange(TGC_SLIDERS), self.tgc_db)).astype(np.float32)

    def turned(self, **knobs: float | tuple[float, ...]) -> Console:
        """With some knobs turned."""
        return replace(self, **knobs)


@dataclass(frozen=True)
class Grid:
    """How finely is rendered.

    Attributes:
        height, width: Of the image [px].
        scanlines: Lines.
    """

    height: int
    width: int
    scanlines: int

    def __str__(self) -> str:
        return f"{self.height} × {self.width}"


GRIDS = (Grid(1000, 1386, 256), Grid(500, 693, 256), Grid(420, 582, 192), Grid(336, 466, 128))
"""From the finest down; pixels are square for a convex probe of 150 mm and 70°."""
FULL_SIZE, USUAL = 0, 1
"""What a GPU begins with, and a CPU."""
