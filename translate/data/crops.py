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

from translate.data.acoustics import acoustics_table
from translate.data.channels import GREY_PER_UNIT, Encoder, PolarGrid
from translate.data.frames import Frames
from translate.data.memory import free_memory_bytes
from translate.data.store import StoreReader
from ussim.errors import UssimError

DEVICE_RESERVE_BYTES = 16 << 30
"""Left free on a GPU for the networks when the dataset is put there."""

MEMORY_SHARE = 0.7
"""Of the free memory that the frames may take if all of them fit; the networks and their gradients need some too."""

STREAM_SHARE = 0.5
"""Of the free memory that they take if not."""


def draw(seed: int, iteration: int, count: int, limits: Sequence[int] | np.ndarray) -> np.ndarray:
    """Random integers that depend on seed and iteration alone, whatever was drawn before.

    Philox is a counter-based generator whose stream is fixed; NumPy's derived ``integers`` is not.

    Args:
        seed, iteration: What they depend on.
        count: Rows.
        limits: Of each column, or (count, columns), of each number.

    Returns:
        int64 of shape (count, columns), from 0 to below the limits.
    """
    below = np.asarray(limits, np.uint64)
    raw = np.random.Philox(key=seed, counter=[0, 0, 0, iteration]).random_raw(count * below.shape[-1])
    # the bias of a remainder of 64 bits is below 1e-12 for any dataset
    return (raw.reshape(count, -1) % below).astype(np.int64)


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


def draw_places(
    seed: int, iteration: int, batch: int, crop: int, begins: np.ndarray, shapes: np.ndarray, flip: bool
) -> np.ndarray:
    """Where the crops of an iteration are: position of the frame, row and column, whether to flip; (batch, 4).

    Args:
        seed, iteration: What they follow from.
        batch: How many.
        crop: Side of a crop [px].
        begins: Position of the first frame of each store, and the number of all.
        shapes: (stores, 2), height and width of their images [px].
        flip: Whether some are flipped.
    """
    positions = draw(seed, iteration, batch, (begins[-1], 1, 1, 1))[:, 0]
    rooms = shapes[np.searchsorted(begins, positions, side="right") - 1] - crop + 1
    limits = np.column_stack([np.full(batch, begins[-1]), rooms, np.full(batch, 2)])
    places = draw(seed, iteration, batch, limits)
    if not flip:
        places[:, 3] = 0
    return places


class FrameSource:
    """Frames of a store, kept as bytes: on the device if they fit there, else in memory.

    Those that do not fit in memory are decoded again when they are needed. Frames in memory are not page-locked: every
    batch is gathered from them into fresh memory, and that is.

    Args:
        reader: The store.
        frames: Which frames.
        encoder: What the networks see.
        device: Where batches are wanted.
        progress: Told how many frames are decoded, and of how many.
        room: How many are kept in memory; by default as many as fit.

    Attributes:
        resident: Whether all frames are on the device.

    Raises:
        UssimError: The store lacks an array or is not complete.
    """

    def __init__(
        self,
        reader: StoreReader,
        frames: np.ndarray,
        encoder: Encoder,
        device: torch.device,
        progress: Callable[[int, int], None] | None = None,
        room: int | None = None,
    ):
        self.reader, self.frames, self.encoder, self.device = reader, frames, encoder, device
        self.names = (*encoder.arrays, "hq")
        reader.require(self.names, complete=True)
        if len(frames) == 0:
            raise UssimError(f"{reader.place}: the split has no frames")
        shape = (len(self.names), *reader.shape)
        size = len(frames) * int(np.prod(shape))
        home = self._home(size)
        if home.type != "cpu":
            room = len(frames)
        elif room is None:
            room = frames_that_fit(size, len(frames), encoder.settings.memory_gb)
        self.data = Frames(self._decode, len(frames), shape, max(1, room), home, progress)
        self.resident = self.data.all_kept and home.type == device.type  # "cuda" and "cuda:0" are one device
        self.mask = torch.tensor(reader.mask, device=device)
        self.acoustics = torch.from_numpy(acoustics_table(reader.acoustics)).to(device)
        self._ahead: tuple[tuple, Future] | None = None
        self._pool = ThreadPoolExecutor(1)

    def __len__(self) -> int:
        return len(self.frames)

    def _decode(self, position: int) -> Tensor:
        frame = self.frames[position]
        return torch.stack([self.encoder.as_bytes(name, self.reader.read(name, frame)) for name in self.names])

    def _home(self, size: int) -> torch.device:
        """The device, if the frames fit there beside the networks; else the host."""
        if self.device.type == "cuda":
            on_device, _ = torch.cuda.mem_get_info(self.device)
            if size + DEVICE_RESERVE_BYTES < on_device:
                return self.device
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
        return places_in([self], seed, iteration, batch, crop)

    def name_of(self, position: int) -> str:
        """Number of a frame in its store, for people."""
        return str(self.frames[position])

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
        maps = F.pad(torch.stack([self.data[int(position)] for position in positions]).to(self.device), pad)
        mask = F.pad(self.mask, pad).expand(len(positions), -1, -1)
        polar = None
        if self.encoder.settings.polar:
            grid = PolarGrid(self.reader.image, self.reader.probe)
            polar = grid.patch(0, 0, mask.shape[1], mask.shape[2], self.device).expand(len(positions), -1, -1, -1)
        return self._batch(maps, mask, polar)

    def _batch(self, maps: Tensor, mask: Tensor, polar: Tensor | None) -> Batch:
        named = dict(zip(self.names, maps.unbind(1), strict=True))
        inputs = self.encoder.encode(named, mask, polar, self.acoustics)
        return Batch(inputs, named["hq"][:, None].float() / GREY_PER_UNIT - 1, mask[:, None].float())

    def _gather(self, places: np.ndarray, size: int, upcoming: np.ndarray | None) -> Tensor:
        if self.resident:
            return self._stack(places, size)
        key = (places.tobytes(), size)
        if self._ahead is not None and self._ahead[0] == key:
            host = self._ahead[1].result()
        else:
            host = self._gathered(places, size)
        if upcoming is not None:
            job = self._pool.submit(self._gathered, upcoming, size)
            self._ahead = ((upcoming.tobytes(), size), job)
        return host.to(self.device, non_blocking=True)

    def _gathered(self, places: np.ndarray, size: int) -> Tensor:
        """Crops on the host, ready to go to the device."""
        stack = self._stack(places, size)
        return stack.pin_memory() if self.device.type == "cuda" else stack

    def _stack(self, places: np.ndarray, size: int) -> Tensor:
        stack = torch.empty((len(places), len(self.names), size, size), dtype=torch.uint8, device=self.data.home)
        for number, (frame, row, column, _) in enumerate(places):
            stack[number] = self.data[int(frame)][:, row : row + size, column : column + size]
        return stack

    def _flipped(self, batch: Batch, flips: Tensor) -> Batch:
        chosen = flips[:, None, None, None]
        mirrored = [tensor.flip(-1) for tensor in (batch.inputs, batch.target, batch.mask)]
        if self.encoder.settings.polar:
            mirrored[0][:, -1] *= -1  # the angle changes sign: a mirrored crop is one from the other side
        kept = (batch.inputs, batch.target, batch.mask)
        return Batch(*(torch.where(chosen, new, old) for new, old in zip(mirrored, kept, strict=True)))


def frames_that_fit(size: int, count: int, memory_gb: float = 0.0) -> int:
    """How many of ``count`` frames, ``size`` bytes in all, are kept in memory; ``memory_gb`` as in the settings."""
    if memory_gb > 0:
        return min(count, int(count * memory_gb * 1e9 / size))
    free = free_memory_bytes()
    if free is None or size <= MEMORY_SHARE * free:
        return count
    return int(count * STREAM_SHARE * free / size)


def places_in(sources: Sequence[FrameSource], seed: int, iteration: int, batch: int, crop: int) -> np.ndarray:
    """Places of crops in the frames of several stores, see :func:`draw_places`.

    Raises:
        UssimError: Frames are smaller than the crop.
    """
    for source in sources:
        require_room(source.reader, crop)
    begins = np.cumsum([0, *map(len, sources)])
    shapes = np.array([source.reader.shape for source in sources])
    return draw_places(seed, iteration, batch, crop, begins, shapes, sources[0].encoder.settings.flip)


def require_room(reader: StoreReader, crop: int) -> None:
    """Refuse frames that are smaller than a crop.

    Raises:
        UssimError: They are.
    """
    height, width = reader.shape
    if crop > min(height, width):
        raise UssimError(f"crop {crop} px is larger than the frames of {reader.place}: {height} × {width} px")


class JointSource:
    """Frames of several stores, as of one: a batch holds crops of any of them.

    Args:
        sources: One for each store; if whole frames are asked for, their images have one size.
    """

    def __init__(self, sources: Sequence[FrameSource]):
        self.sources = list(sources)
        self.encoder = self.sources[0].encoder
        self.resident = all(source.resident for source in self.sources)
        self._begins = np.cumsum([0, *map(len, self.sources)])

    def __len__(self) -> int:
        return int(self._begins[-1])

    def places(self, seed: int, iteration: int, batch: int, crop: int) -> np.ndarray:
        """As of :class:`FrameSource`."""
        return places_in(self.sources, seed, iteration, batch, crop)

    def name_of(self, position: int) -> str:
        """Store and number of a frame, for people."""
        number = int(np.searchsorted(self._begins, position, side="right")) - 1
        source = self.sources[number]
        return f"{source.reader.place.name} {source.name_of(position - self._begins[number])}"

    def crops(self, places: np.ndarray, size: int, upcoming: np.ndarray | None = None) -> Batch:
        """Square crops, by store."""
        here, next_ = self._split(places), self._split(upcoming) if upcoming is not None else {}
        return _joined([self.sources[number].crops(part, size, next_.get(number)) for number, part in here.items()])

    def whole(self, positions: np.ndarray) -> Batch:
        """Whole frames, by store."""
        parts = self._split(positions[:, None]).items()
        return _joined([self.sources[number].whole(part[:, 0]) for number, part in parts])

    def _split(self, places: np.ndarray) -> dict[int, np.ndarray]:
        """Rows by the store that their first column, a position, lies in; positions count within it."""
        numbers = np.searchsorted(self._begins, places[:, 0], side="right") - 1
        parts = {int(number): places[numbers == number].copy() for number in np.unique(numbers)}
        for number, part in parts.items():
            part[:, 0] -= self._begins[number]
        return parts


def open_frames(
    readers: Sequence[StoreReader],
    frames: Sequence[np.ndarray],
    encoder: Encoder,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> FrameSource | JointSource:
    """The frames of one store or of several.

    Args:
        readers: The stores; those without frames are left out.
        frames: Which frames of each.
        encoder, device, progress: As of :class:`FrameSource`.

    Raises:
        UssimError: As of :class:`FrameSource`.
    """
    used = [(reader, numbers) for reader, numbers in zip(readers, frames, strict=True) if len(numbers)]
    if len(used) < 2:
        return FrameSource(*(used or [(readers[0], frames[0])])[0], encoder, device, progress)
    counts = [len(numbers) for _, numbers in used]
    size = sum(len(numbers) * int(np.prod(reader.shape)) for reader, numbers in used) * (len(encoder.arrays) + 1)
    kept = frames_that_fit(size, sum(counts), encoder.settings.memory_gb)
    sources: list[FrameSource] = []
    for reader, numbers in used:
        tell = _tell_after(sum(map(len, sources)), sum(counts), progress)
        room = len(numbers) if kept == sum(counts) else kept * len(numbers) // sum(counts)
        sources.append(FrameSource(reader, numbers, encoder, device, tell, room))
    return JointSource(sources)


def _tell_after(
    before: int, total: int, progress: Callable[[int, int], None] | None
) -> Callable[[int, int], None] | None:
    """Progress of a part, told as that of the whole."""
    return (lambda done, _: progress(before + done, total)) if progress else None


def _joined(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in ("inputs", "target", "mask")))
