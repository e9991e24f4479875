"""Crops keyed by iteration: frames resident as bytes, batches that follow from the seed alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.channels import Encoder, PolarGrid
from translate.data.memory import free_memory_bytes
from translate.data.store import StoreReader
from ussim.errors import UssimError

DEVICE_RESERVE_BYTES = 16 << 30
"""Left free on a GPU for the networks when the dataset is put there."""

MEMORY_SHARE = 0.9
"""Of the free memory that the dataset may take."""

READERS = 8


def draw(seed: int, iteration: int, count: int, limits: Sequence[int]) -> np.ndarray:
    """Random integers that depend on seed and iteration alone, whatever was drawn before.

    Philox is a counter-based generator whose stream is fixed; NumPy's derived ``integers`` is not.

    Returns:
        int64 of shape (count, len(limits)); column j lies in [0, limits[j]).
    """
    raw = np.random.Philox(key=seed, counter=[0, 0, 0, iteration]).random_raw(count * len(limits))
    # the bias of a remainder of 64 bits is below 1e-12 for any dataset
    return (raw.reshape(count, -1) % np.asarray(limits, np.uint64)).astype(np.int64)


@dataclass(frozen=True)
class Batch:
    """What one update sees.

    Attributes:
        inputs: Of shape (N, C, H, W), in [-1, 1].
        target: The high-quality image, of shape (N, 1, H, W), in [-1, 1].
        mask: 1 inside the sector, of shape (N, 1, H, W).
    """

    inputs: Tensor
    target: Tensor
    mask: Tensor


class FrameSource:
    """Frames of a store, decoded once and kept as bytes: on the device if they fit there, else in memory.

    Frames in memory are not page-locked: every batch is gathered from them into fresh memory, and that is.

    Args:
        reader: The store.
        frames: Which frames.
        encoder: What the networks see.
        device: Where batches are wanted.
        progress: Told how many frames are decoded, and of how many.

    Raises:
        UssimError: The store lacks an array, is not complete, or does not fit in memory.
    """

    def __init__(
        self,
        reader: StoreReader,
        frames: np.ndarray,
        encoder: Encoder,
        device: torch.device,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.reader, self.frames, self.encoder, self.device = reader, frames, encoder, device
        self.names = (*encoder.arrays, "hq")
        reader.require(self.names, complete=True)
        if len(frames) == 0:
            raise UssimError(f"{reader.path}: the split has no frames")
        self.data = self._decode(progress or (lambda done, total: None))
        self.resident = self.data.device.type == device.type  # "cuda" and "cuda:0" are one device
        self.mask = torch.tensor(reader.mask, device=device)
        self._ahead: tuple[tuple, Future] | None = None
        self._pool = ThreadPoolExecutor(1)

    def _decode(self, progress: Callable[[int, int], None]) -> Tensor:
        shape = (len(self.frames), len(self.names), *self.reader.shape)
        size = int(np.prod(shape))
        home = self._home(size)
        data = torch.empty(shape, dtype=torch.uint8, device=home)

        def load(position: int) -> None:
            for channel, name in enumerate(self.names):
                values = self.reader.read(name, self.frames[position])
                data[position, channel] = self.encoder.as_bytes(name, values).to(home)

        with ThreadPoolExecutor(READERS) as pool:
            for done, _ in enumerate(pool.map(load, range(len(self.frames))), start=1):
                progress(done, len(self.frames))
        return data

    def _home(self, size: int) -> torch.device:
        """The device, if the frames fit there beside the networks; else the host."""
        if self.device.type == "cuda":
            on_device, _ = torch.cuda.mem_get_info(self.device)
            if size + DEVICE_RESERVE_BYTES < on_device:
                return self.device
        free = free_memory_bytes()
        if free is not None and size > MEMORY_SHARE * free:
            raise UssimError(
                f"{self.reader.path}: {size / 1e9:.1f} GB of frames do not fit in the {free / 1e9:.1f} GB that are free"
            )
        return torch.device("cpu")

    @cached_property
    def polar(self) -> Tensor | None:
        """Polar channels of the whole field of view, (2, H, W)."""
        if not self.encoder.settings.polar:
            return None
        grid = PolarGrid(self.reader.image, self.reader.probe)
        return grid.patch(0, 0, *self.reader.shape, device=self.device)

    def places(self, seed: int, iteration: int, batch: int, crop: int) -> np.ndarray:
        """Where the crops of an iteration are: position of the frame, row and column, whether to flip; (batch, 4).

        Raises:
            UssimError: The frames are smaller than the crop.
        """
        height, width = self.reader.shape
        if crop > min(height, width):
            raise UssimError(f"crop {crop} px is larger than the frames of {self.reader.path}: {height} × {width} px")
        limits = (len(self.frames), height - crop + 1, width - crop + 1, 2)
        places = draw(seed, iteration, batch, limits)
        if not self.encoder.settings.flip:
            places[:, 3] = 0
        return places

    def crops(self, places: np.ndarray, size: int, upcoming: np.ndarray | None = None) -> Batch:
        """Square crops.

        Args:
            places: As ``places`` gives them.
            size: Side of a crop [px].
            upcoming: Places of the next batch; frames that live on the host are gathered while the device works.
        """
        maps = self._gather(places, size, upcoming)
        windows = [(slice(row, row + size), slice(column, column + size)) for _, row, column, _ in places]
        mask = torch.stack([self.mask[window] for window in windows])
        polar = torch.stack([self.polar[:, *w] for w in windows]) if self.polar is not None else None
        batch = self._batch(maps, mask, polar)
        flips = torch.as_tensor(places[:, 3].astype(bool), device=self.device)
        return self._flipped(batch, flips) if places[:, 3].any() else batch

    def whole(self, positions: np.ndarray) -> Batch:
        """Whole frames, padded with background at the bottom and on the right to the networks' multiple."""
        multiple = self.encoder.settings.multiple
        height, width = self.reader.shape
        pad = (0, -width % multiple, 0, -height % multiple)
        maps = F.pad(self.data[torch.as_tensor(positions)].to(self.device), pad)
        mask = F.pad(self.mask, pad).expand(len(positions), -1, -1)
        polar = None
        if self.encoder.settings.polar:
            grid = PolarGrid(self.reader.image, self.reader.probe)
            polar = grid.patch(0, 0, mask.shape[1], mask.shape[2], self.device).expand(len(positions), -1, -1, -1)
        return self._batch(maps, mask, polar)

    def _batch(self, maps: Tensor, mask: Tensor, polar: Tensor | None) -> Batch:
        named = dict(zip(self.names, maps.unbind(1), strict=True))
        inputs = self.encoder.encode(named, mask, polar)
        return Batch(inputs, named["hq"][:, None].float() / 127.5 - 1, mask[:, None].float())

    def _gather(self, places: np.ndarray, size: int, upcoming: np.ndarray | None) -> Tensor:
        if self.resident:
            return self._stack(places, size)
        key = (places.tobytes(), size)
        if self._ahead is not None and self._ahead[0] == key:
            host = self._ahead[1].result()
        else:
            host = self._stack(places, size).pin_memory()
        if upcoming is not None:
            job = self._pool.submit(lambda: self._stack(upcoming, size).pin_memory())
            self._ahead = ((upcoming.tobytes(), size), job)
        return host.to(self.device, non_blocking=True)

    def _stack(self, places: np.ndarray, size: int) -> Tensor:
        return torch.stack(
            [self.data[frame, :, row : row + size, column : column + size] for frame, row, column, _ in places]
        )

    def _flipped(self, batch: Batch, flips: Tensor) -> Batch:
        chosen = flips[:, None, None, None]
        mirrored = [tensor.flip(-1) for tensor in (batch.inputs, batch.target, batch.mask)]
        if self.encoder.settings.polar:
            mirrored[0][:, -1] *= -1  # the angle changes sign: a mirrored crop is one from the other side
        kept = (batch.inputs, batch.target, batch.mask)
        return Batch(*(torch.where(chosen, new, old) for new, old in zip(mirrored, kept, strict=True)))
