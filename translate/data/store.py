"""From a store to batches: frames resident as bytes, crops keyed by iteration, channels of the networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.data.split import Split, is_held_out
from translate.training.settings import DataInfo, TrainSettings
from ussim.dataset.store import Dataset, ImageGeometry
from ussim.errors import UssimError

DECIBELS = 60.0
"""Range of the attenuation in decibels."""
DEVICE_RESERVE_BYTES = 16 << 30
"""Left free on a GPU for the networks when the dataset is put there."""
READERS = 8


# Stores -----------------------------------------------------------------------------------------------


class StoreReader:
    """A store, as the networks need it.

    Attributes:
        path: Its folder.
        n: Number of frames.
        shape: (H, W) of every image [px].
        mask: 1 inside the sector, uint8 of shape (H, W).
        split: The store's split by frame: 0 train, 1 test; uint8 of shape (n,).
        tissues: Tissue names; position + 1 is the id in a segmentation.
        media_count: Number of tissues: the highest id.
        probe: Settings of the probe.
        image: The pixel grid.
        spacing_mm: Side of a pixel [mm].
        digest: SHA-256 of the store's attributes, which decide all it holds.

    Raises:
        UssimError: No store there, or one of another schema.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._dataset = Dataset.open(self.path)
        header = self._dataset.header
        self.n = header.frames
        self.image: ImageGeometry = header.image
        self.shape = (header.image.height, header.image.width)
        self.spacing_mm = header.image.mm_per_pixel
        self.mask = self._dataset.mask
        self.split = self._dataset.split
        names = {row["id"]: row["name"] for row in header.tissues if row["id"] > 0}  # 0 is outside the sector
        self.tissues = tuple(names[number] for number in range(1, len(names) + 1))
        self.media_count = len(self.tissues)
        self.probe: dict[str, Any] = header.probe
        self.digest = self._dataset.digest

    def __len__(self) -> int:
        return self.n

    def frames(self, split: str = "all", by: Split = "frame") -> np.ndarray:
        """Numbers of the frames of a split, in order.

        Args:
            split: ``train``, ``test`` or ``all``.
            by: Hold out single frames, as the store has it, or whole anatomies (``scene``).

        Raises:
            UssimError: To be split by scene, and all frames show one scene.
        """
        if split == "all":
            return np.arange(self.n)
        wanted = {"train": False, "test": True}[split]
        return np.flatnonzero(is_held_out(self._dataset, by) == wanted)

    def frame(self, index: int) -> dict[str, np.ndarray]:
        """One frame: ``lq`` and ``hq`` (those there are) and ``segmentation``, uint8, and ``attenuation``,
        float32; each of shape (H, W).

        Raises:
            UssimError: The frame is not rendered yet, or corrupt.
        """
        names = (*self._dataset.qualities, "segmentation", "attenuation")
        return {name: self.read(name, index) for name in names}

    def read(self, name: str, index: int) -> np.ndarray:
        """One image or map of a frame, of shape (H, W); the attenuation as float32.

        Raises:
            UssimError: The store does not hold it, it is not rendered yet, or it is corrupt.
        """
        self.require([name])
        values = self._dataset.read_frame(name, int(index))
        return values.astype(np.float32) if name == "attenuation" else values

    def require(self, names: Sequence[str], complete: bool = False) -> None:
        """Check that the store holds what is needed.

        Raises:
            UssimError: An array is missing, or the store is to be complete and is not.
        """
        has = (*self._dataset.qualities, "segmentation", "attenuation", "mask")
        missing = [name for name in names if name not in has]
        if missing:
            raise UssimError(f"{self.path} holds no {', '.join(missing)}: it has {', '.join(has)}")
        if complete and not self._dataset.complete:
            done = self._dataset.done
            raise UssimError(
                f"{self.path}: {done.sum()} of {len(done)} units are done; finish it: ussim render --resume"
            )

    def info(self, by: Split = "frame") -> DataInfo:
        """What a run remembers of this store, split by frame or by scene.

        Raises:
            UssimError: See ``frames``.
        """
        return DataInfo(
            store=self.path.name,
            digest=self.digest,
            tissues=self.tissues,
            image=self.image,
            probe=self.probe,
            train_frames=len(self.frames("train", by)),
            test_frames=len(self.frames("test", by)),
        )


# Channels ---------------------------------------------------------------------------------------------

_ARRAYS = {"L": "lq", "S": "segmentation", "A": "attenuation"}


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
        return tuple(_ARRAYS[letter] for letter in self.settings.inputs if letter in _ARRAYS)

    @property
    def channels(self) -> int:
        """Number of input channels."""
        count = len(self.settings.inputs) + 2 * self.settings.polar
        if self.settings.segmentation == "onehot" and "S" in self.settings.inputs:
            count += len(self.data.tissues)  # one for each tissue and one for outside, instead of one
        return count

    def encode(self, maps: dict[str, Tensor], mask: Tensor, polar: Tensor | None = None) -> Tensor:
        """Input channels in the order of the variant's letters, then the polar ones.

        Args:
            maps: ``lq``, ``segmentation`` and ``attenuation`` (those needed) as stored by
                ``as_bytes``: uint8 of shape (N, H, W).
            mask: 1 inside the sector; of shape (N, H, W).
            polar: Depth and angle of each pixel, of shape (N, 2, H, W); needed with polar channels.

        Returns:
            Float32 of shape (N, channels, H, W), all in [-1, 1].
        """
        parts = []
        for letter in self.settings.inputs:
            if letter == "M":
                parts.append(mask[:, None].float() * 2 - 1)
            elif letter == "S":
                parts.append(self._segmentation(maps["segmentation"]))
            else:
                parts.append(maps[_ARRAYS[letter]][:, None].float() / 127.5 - 1)
        if self.settings.polar:
            parts.append(polar)
        return torch.cat(parts, 1)

    def _segmentation(self, ids: Tensor) -> Tensor:
        count = len(self.data.tissues)
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


# Crops ------------------------------------------------------------------------------------------------


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
    """Frames of a store, decoded once and kept as bytes: on the device if they fit there, else in (pinned) memory.

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
        self.resident = self.data.device == device
        self.mask = torch.tensor(reader.mask, device=device)
        self._ahead: tuple[tuple, Future] | None = None
        self._pool = ThreadPoolExecutor(1)

    def _decode(self, progress: Callable[[int, int], None]) -> Tensor:
        shape = (len(self.frames), len(self.names), *self.reader.shape)
        size = int(np.prod(shape))
        home = self._home(size)
        data = torch.empty(shape, dtype=torch.uint8, device=home, pin_memory=home != self.device)

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
            free, _ = torch.cuda.mem_get_info(self.device)
            if size + DEVICE_RESERVE_BYTES < free:
                return self.device
        free = _free_memory()
        if size > 0.9 * free:
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
            polar = grid.patch(0, 0, *mask.shape[1:], device=self.device).expand(len(positions), -1, -1, -1)
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


def _free_memory() -> int:
    """Memory that can be taken without swapping [bytes]."""
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 1 << 62  # unknown here: let the allocation decide
