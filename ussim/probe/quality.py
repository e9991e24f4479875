"""Quality presets: how many rays and elevational layers an image is made from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Quality(BaseModel):
    """How much work goes into one image. Everything else is identical between two qualities.

    Attributes:
        rays: Rays of the aperture per scanline and layer; one is the scanline itself.
        layers: Sheets that carry media and walls, across the slice. Odd: one is the image plane.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rays: Annotated[int, Field(ge=1, le=65536)] = 1
    layers: Annotated[int, Field(ge=1, le=63)] = 1

    @field_validator("layers")
    @classmethod
    def _there_is_a_central_layer(cls, layers: int) -> int:
        if layers % 2 == 0:
            raise ValueError("must be odd, so that there is a central layer")
        return layers


LQ = Quality(rays=1, layers=1)
HQ = Quality(rays=32, layers=3)
REFERENCE = Quality(rays=512, layers=9)
PRESETS = {"lq": LQ, "hq": HQ, "reference": REFERENCE}
IMAGES: tuple[Literal["lq", "hq"], ...] = ("lq", "hq")
"""The presets that name images of a store. Any preset can be what an image starts from."""
