"""What the networks see: images and maps as channels in [−1, 1], and the polar grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from translate.data.acoustics import CHANNELS
from translate.data.store import MAPS
from translate.settings import DataInfo, TrainSettings
from ussim.dataset.schema import ImageGeometry

GREY_PER_UNIT = 127.5
"""Grey levels of an image in [-1, 1]."""
DECIBELS = 60.0
"""Range of the attenuation in decibels."""


def to_grey(image: Tensor) -> Tensor:
    """An image in [−1, 1] as grey levels, uint8."""
    return ((image + 1) * GREY_PER_UNIT).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Encoder:
    """Turns images and maps into the generator's input channels.

    Attributes:
        settings: What the generator sees, and how.
        data: The store it was trained on: tissue ids, pixel grid and probe.
    """

    settings: TrainSettings
    data: DataInfo

    @property
    def arrays(self) -> tuple[str, ...]:
        """Arrays of a store that the inputs need, beside the mask."""
        return tuple(MAPS[letter] for letter in self.settings.inputs if letter in MAPS)

    @property
    def channels(self) -> int:
        """Number of input channels."""
        count = len(self.settings.inputs) + 2 * self.settings.polar
        if "S" in self.settings.inputs:
            kinds = {"scaled": 1, "onehot": len(self.data.tissues) + 1, "acoustic": len(CHANNELS)}
            count += kinds[self.settings.segmentation] - 1
        return count

    def encode(
        self, maps: dict[str, Tensor], mask: Tensor, polar: Tensor | None = None, acoustics: Tensor | None = None
    ) -> Tensor:
        """Input channels in the order of the variant's letters, then the polar ones.

        Args:
            maps: ``lq``, ``segmentation`` and ``attenuation`` (those needed) as stored by
                ``as_bytes``: uint8 of shape (N, H, W).
            mask: 1 inside the sector; of shape (N, H, W).
            polar: Depth and angle of each pixel, of shape (N, 2, H, W); needed with polar channels.
            acoustics: Acoustic channels by id, (256, 3) float32 on the maps' device; needed where they are seen.

        Returns:
            Float32 of shape (N, channels, H, W), all in [-1, 1].
        """
        parts = []
        for letter in self.settings.inputs:
            if letter == "M":
                parts.append(mask[:, None].float() * 2 - 1)
            elif letter == "S":
                parts.append(self._segmentation(maps["segmentation"], acoustics))
            else:
                parts.append(maps[MAPS[letter]][:, None].float() / GREY_PER_UNIT - 1)
        if self.settings.polar:
            assert polar is not None, "an encoder of polar channels is handed them"
            parts.append(polar)
        return torch.cat(parts, 1)

    def _segmentation(self, ids: Tensor, acoustics: Tensor | None) -> Tensor:
        count = len(self.data.tissues)
        if self.settings.segmentation == "acoustic":
            assert acoustics is not None, "an encoder of acoustic channels is handed them"
            return acoustics[ids.int()].movedim(-1, 1)
        if self.settings.segmentation == "scaled":
            return ids[:, None].float() * (2 / count) - 1
        # F.one_hot would take 64-bit ids and give 64-bit channels
        tissues = torch.arange(count + 1, dtype=torch.uint8, device=ids.device)[:, None, None]
        return (ids[:, None] == tissues).float().mul_(2).sub_(1)

    def as_bytes(self, name: str, values: Any) -> Tensor:
        """A map as it is kept and fed: uint8. The attenuation is clipped to [0, 1] and takes 256 levels."""
        values = torch.as_tensor(values)
        if name != "attenuation":
            return values
        amplitude = values.float().clamp(0, 1)
        if self.settings.attenuation == "decibel":
            amplitude = (1 + 20 * torch.log10(amplitude.clamp(min=1e-9)) / DECIBELS).clamp(0, 1)
        return (amplitude * 255).round().to(torch.uint8)


@dataclass(frozen=True)
class PolarGrid:
    """Depth along the scanline and angle (or lateral offset), from -1 to 1 over the sector.

    They are a formula of the pixel's place, so they go on beyond the image, where it is padded.

    Attributes:
        image: The pixel grid.
        probe: Settings of the probe, as a store has them.
    """

    image: ImageGeometry
    probe: dict[str, Any]

    def at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Both channels at pixels given by row and column: shape (…,) → (2, …) float32."""
        x0, z0 = self.image.origin_mm
        x = x0 + columns * self.image.mm_per_pixel
        z = z0 + rows * self.image.mm_per_pixel
        if self.probe["kind"] == "linear":
            depth, side = z, x / (self.probe["width_mm"] / 2)
        else:
            apex = self.probe.get("radius_mm", 0.0)
            half = np.deg2rad(self.probe["field_of_view_deg"] / 2)
            depth, side = torch.hypot(x, z + apex) - apex, torch.atan2(x, z + apex) / half
        return torch.stack([2 * depth / self.probe["depth_mm"] - 1, side]).float()

    def patch(self, row: int, column: int, height: int, width: int, device: Any = None) -> Tensor:
        """Both channels of a window whose first pixel is (row, column): (2, height, width)."""
        rows = torch.arange(row, row + height, device=device, dtype=torch.float32)
        columns = torch.arange(column, column + width, device=device, dtype=torch.float32)
        return self.at(*torch.meshgrid(rows, columns, indexing="ij"))
