"""Imaging settings: everything between the traced echoes and the grey levels, as data."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Imaging(BaseModel):
    """Settings of acoustics, tracing and display that hold for a whole dataset.

    Attributes:
        attenuation_scale: Factor on every tissue's attenuation. 1.0 is the literature value at the probe's
            frequency; the default is calibrated by eye, so that shadows and enhancement at 150 mm read as in
            a clinical image (which would be taken at 3–5 MHz).
        scatter_pitch_mm: Pitch of the scatterer lattice; one scatterer at most in a cell.
        interface_gain_db: Brightness of interface echoes over scatter.
        lobe_exponent: Exponent of the cosine lobe in which the probe receives a mirrored echo.
        acceptance_rad: Angle within which an echo that strays at a rough interface is still received [rad].
        max_reflections: Reflections after which a path ends.
        max_segments: Interfaces after which a path ends.
        reference_db: Echo level shown as white (0 dB is a unit-reflectivity mirror before attenuation).
        dynamic_range_db: Levels this far below white are black.
        noise_db: Level of the receiver's noise before time-gain compensation.
        tgc_limit_db: Largest gain that time-gain compensation may give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attenuation_scale: float = Field(0.25, ge=0, le=10)
    scatter_pitch_mm: float = Field(0.1, gt=0.01, le=2)
    interface_gain_db: float = Field(28.0, ge=-120, le=120)
    lobe_exponent: float = Field(6.0, ge=0, le=1e4)
    acceptance_rad: float = Field(0.03, gt=0, le=1.6)
    max_reflections: int = Field(10, ge=0, le=64)
    max_segments: int = Field(40, ge=4, le=128)
    reference_db: float = Field(15.0, ge=-200, le=200)
    dynamic_range_db: float = Field(60.0, gt=1, le=200)
    noise_db: float = Field(-72.0, ge=-300, le=100)
    tgc_limit_db: float = Field(80.0, ge=0, le=300)
