"""How good the averaged generator is by now, on crops of held-out frames: a learning curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from translate.data.channels import Encoder, to_grey
from translate.data.crops import Batch, FrameSource, draw
from translate.data.metrics import pkl, psnr, ssim
from translate.data.store import StoreReader
from translate.settings import TrainSettings
from ussim.errors import UssimError

CURVE = "validation.jsonl"
CROPS = 48
"""Measured each time, the same ones."""
_MOST_DRAWS = 50
_MOST_PSNR_DB = 60.0  # of images that are equal, which have none
_LEAST_MASK = 0.5  # of a crop lies inside the sector


class Validation:
    """The same crops of held-out frames, spread evenly over the stores, measured again and again.

    Args:
        readers: The stores.
        held_out: The held-out frames of each.
        encoder: What the network sees.
        settings: Of the training: side of a crop, seed.
        device: Where the network runs.

    Raises:
        UssimError: No frame is held out.
    """

    def __init__(
        self,
        readers: Sequence[StoreReader],
        held_out: Sequence[np.ndarray],
        encoder: Encoder,
        settings: TrainSettings,
        device: torch.device,
    ):
        used = [(reader, frames) for reader, frames in zip(readers, held_out, strict=True) if len(frames)]
        if not used:
            raise UssimError(f"validate_every = {settings.validate_every}: {readers[0].place} has no held-out frames")
        self._batches: list[Batch] = []
        self._low: list[np.ndarray] = []
        for number, (reader, frames) in enumerate(used):
            count = CROPS // len(used) + (number < CROPS % len(used))
            for batch, low in _crops(reader, frames, encoder, settings, device, number, count):
                self._batches.append(batch)
                self._low.append(low)
        self._targets = [_grey(batch.target, batch) for batch in self._batches]

    def low_quality(self) -> dict[str, float]:
        """Figures of the low-quality images themselves."""
        return self._figures(self._low)

    @torch.no_grad()
    def measure(self, network: nn.Module) -> dict[str, float]:
        """Mean PSNR [dB], SSIM [%] and pKL of a network in evaluation mode over the crops."""
        return self._figures([_grey(network(batch.inputs), batch) for batch in self._batches])

    def _figures(self, images: list[np.ndarray]) -> dict[str, float]:
        pairs = list(zip(images, self._targets, strict=True))
        rows = [(min(psnr(*pair), _MOST_PSNR_DB), 100 * ssim(*pair), pkl(*pair)) for pair in pairs]
        return dict(zip(("psnr_db", "ssim_percent", "pkl"), np.mean(rows, axis=0).tolist(), strict=True))


def _crops(
    reader: StoreReader,
    frames: np.ndarray,
    encoder: Encoder,
    settings: TrainSettings,
    device: torch.device,
    number: int,
    count: int,
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Crops of the frames of one store, spread evenly over them, each with the low-quality image it belongs to."""
    (height, width), crop = reader.shape, settings.crop
    for place in range(count):
        frame = frames[(2 * place + 1) * len(frames) // (2 * count)]
        draws = draw(settings.seed, number * CROPS + place, _MOST_DRAWS, (height - crop + 1, width - crop + 1))
        inside = [reader.mask[row : row + crop, column : column + crop].mean() for row, column in draws]
        row, column = draws[int(np.argmax(np.asarray(inside) >= min(_LEAST_MASK, max(inside))))]
        source = FrameSource(reader, np.array([frame]), encoder, device)
        batch = source.crops(np.array([[0, row, column, 0]]), crop)
        low = reader.read("lq", int(frame))[row : row + crop, column : column + crop]
        yield batch, low


def _grey(image: Tensor, batch: Batch) -> np.ndarray:
    """An image of the networks as grey levels, 0 outside the sector."""
    return (to_grey(image.float()) * (batch.mask > 0))[0, 0].cpu().numpy()
