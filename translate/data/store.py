"""A store as the networks need it: its frames, its split and what a run remembers of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from translate.data.acoustics import acoustics_of
from translate.data.split import Split, is_held_out
from translate.settings import DataInfo, TrainSettings
from ussim.dataset.place import Where
from ussim.dataset.schema import ImageGeometry
from ussim.dataset.store import Dataset
from ussim.errors import UssimError


class StoreReader:
    """A store, as the networks need it.

    Attributes:
        place: Where it lies.
        n: Number of frames.
        shape: (H, W) of every image [px].
        mask: 1 inside the sector, uint8 of shape (H, W).
        split: The store's split by frame: 0 train, 1 test; uint8 of shape (n,).
        tissues: Tissue names; position + 1 is the id in a segmentation.
        acoustics: What they are, see ``translate.data.acoustics``.
        probe: Settings of the probe.
        image: The pixel grid.
        digest: SHA-256 of the store's attributes, which decide all it holds.

    Raises:
        UssimError: No store there, or one of another schema.
    """

    def __init__(self, path: Where):
        self._dataset = Dataset.open(path)
        self.place = self._dataset.place
        header = self._dataset.header
        self.n = header.frames
        self.image: ImageGeometry = header.image
        self.shape = (header.image.height, header.image.width)
        self.mask = self._dataset.mask
        self.split = self._dataset.split
        rows = sorted((row for row in header.tissues if row["id"] > 0), key=lambda row: row["id"])  # 0 is outside
        self.tissues = tuple(row["name"] for row in rows)
        self.acoustics = tuple(acoustics_of(row) for row in rows)
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
            raise UssimError(f"{self.place} holds no {', '.join(missing)}: it has {', '.join(has)}")
        if complete and not self._dataset.complete:
            done = self._dataset.done
            raise UssimError(
                f"{self.place}: {done.sum()} of {len(done)} units are done; finish it: ussim render --resume"
            )

    def info(self, by: Split = "frame") -> DataInfo:
        """What a run remembers of this store, split by frame or by scene.

        Raises:
            UssimError: See ``frames``.
        """
        return DataInfo(
            store=self.place.name,
            digest=self.digest,
            tissues=self.tissues,
            acoustics=self.acoustics,
            image=self.image,
            mm_per_pixel=(self.image.mm_per_pixel, self.image.mm_per_pixel),
            probe=self.probe,
            train_frames=len(self.frames("train", by)),
            test_frames=len(self.frames("test", by)),
        )


def joint_info(readers: Sequence[StoreReader], settings: TrainSettings) -> DataInfo:
    """What a run remembers of the stores it is trained on.

    Raises:
        UssimError: Whole frames of different sizes or, where the segmentation enters as a number, different tissues.
    """
    first, *others = readers
    for reader in others:
        if reader.shape != first.shape and settings.full_frames > 0:
            sizes = " and ".join(f"{height} × {width}" for height, width in (first.shape, reader.shape))
            raise UssimError(
                f"{reader.place}: its images are not of the size of those of {first.place}: {sizes} px; "
                "train on crops alone, full_frames = 0"
            )
        if reader.tissues != first.tissues and "S" in settings.inputs and settings.segmentation != "acoustic":
            raise UssimError(
                f"{reader.place}: has other tissues than {first.place}; train on both with --set segmentation=acoustic"
            )
    parts = [reader.info(settings.split) for reader in readers]
    if not others:
        return parts[0]
    sides = [reader.image.mm_per_pixel for reader in readers]
    return parts[0].model_copy(
        update={
            "store": ", ".join(part.store for part in parts),
            "digest": hashlib.sha256("\n".join(part.digest for part in parts).encode()).hexdigest(),
            "mm_per_pixel": (min(sides), max(sides)),
            "train_frames": sum(part.train_frames for part in parts),
            "test_frames": sum(part.test_frames for part in parts),
        }
    )


MAPS = {"L": "lq", "S": "segmentation", "A": "attenuation"}
