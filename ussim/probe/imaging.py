"""Imaging settings: everything between the traced echoes and the grey levels, as data."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Imaging(BaseModel):
    """Settings of acoustics, tracing and display that hold for a whole dataset.

    Attributes:
        attenuation_scale: Factor on every tissue's attenuation. 1.0 is the literature value at the probe's
            frequency; the default is calibrated by eye, so that shadows and enhancement at 150 mm read as in
            a clinical image (which would be taken at 3–5 MHz).
        scatter_pitch_mm: Pitch of the scatterer lattice; one scatterer at most in a cell.
        interface_gain_db: Brightness of interface echoes over scatter.
        max_reflections: Reflections after which a path ends.
        max_segments: Interfaces after which a path ends.
        reference_db: Echo level shown as white (0 dB is a unit-reflectivity mirror before attenuation).
        dynamic_range_db: Levels this far below white are black.
        noise_db: Level of the receiver's noise before time-gain compensation.
        tgc_limit_db: Largest gain that time-gain compensation may give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    attenuation_scale: Annotated[float, Field(ge=0, le=10)] = 0.25
    scatter_pitch_mm: Annotated[float, Field(gt=0.01, le=2)] = 0.1
    interface_gain_db: Annotated[float, Field(ge=-120, le=120)] = 28.0
    max_reflections: Annotated[int, Field(ge=0, le=64)] = 10
    max_segments: Annotated[int, Field(ge=4, le=128)] = 40
    reference_db: Annotated[float, Field(ge=-200, le=200)] = 18.0
    dynamic_range_db: Annotated[float, Field(gt=1, le=200)] = 66.0
    noise_db: Annotated[float, Field(ge=-300, le=100)] = -72.0
    tgc_limit_db: Annotated[float, Field(ge=0, le=300)] = 80.0
