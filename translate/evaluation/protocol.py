"""How an evaluation is done: which test frames, which crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from translate.data.metrics import PKL_PATCH_PX
from translate.data.split import Split, is_held_out
from translate.settings import LARGEST_SEED, MOST_CROPS
from ussim.dataset.store import Dataset
from ussim.errors import UssimError

BANDS = 5
MIN_CROP_MASK = 0.1
"""A random crop with a smaller share of the sector is drawn again."""
_DRAWS = 64  # positions tried for each crop


@dataclass(frozen=True)
class EvaluationProtocol:
    """How the crops are drawn and which test images are used.

    Attributes:
        crops: Random crops of each test image.
        crop: Side of a crop [px].
        seed: Seed of the crops, the bootstrap and the KID subsets.
        images: Use so many test images at most, evenly spread; None for all.
        bands: Number of depth bands of equal height.
        split: What is held out: single frames, or whole anatomies (``scene``).
    """

    crops: int = 4
    crop: int = 512
    seed: int = 0
    images: int | None = None
    bands: int = BANDS
    split: Split = "frame"

    @property
    def core_margin(self) -> int:
        """How far the core of a crop keeps from its edges [px]: a quarter of its side, in whole pKL patches."""
        return self.crop // 4 // PKL_PATCH_PX * PKL_PATCH_PX

    def check(self, shape: tuple[int, int]) -> None:
        """Check against the images' shape.

        Raises:
            UssimError: A value that is out of range.
        """
        side = min(shape)
        if not PKL_PATCH_PX <= self.crop <= side:
            raise UssimError(f"crop = {self.crop}: images of {shape[0]} × {shape[1]} allow {PKL_PATCH_PX} to {side}")
        for name in ("crops", "images", "bands"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UssimError(f"{name} = {value}: must be at least 1")
        if self.crops > MOST_CROPS:
            raise UssimError(f"crops = {self.crops}: must be at most {MOST_CROPS}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UssimError(f"seed = {self.seed}: must be a whole number from 0 to {LARGEST_SEED}")


def frames_to_use(dataset: Dataset, protocol: EvaluationProtocol) -> np.ndarray:
    """The test frames to use, in order.

    Raises:
        UssimError: The store is incomplete, lacks an image, or has no test frame or, to be split by scene, one scene;
            images smaller than a crop.
    """
    for name in ("lq", "hq"):
        dataset.array(name)
    protocol.check(dataset.mask.shape)
    frames = np.flatnonzero(is_held_out(dataset, protocol.split))
    if not frames.size:
        raise UssimError(
            f"{dataset.path}: no test frames among {dataset.frames}: a store of 10 frames or more has some"
        )
    if not dataset.complete:
        done = dataset.done
        raise UssimError(f"{dataset.path}: {done.sum()} of {len(done)} units are done: render the rest first")
    if protocol.images is not None and protocol.images < len(frames):
        frames = frames[np.linspace(0, len(frames) - 1, protocol.images).round().astype(int)]
    return frames


def crop_places(mask: np.ndarray, frame: int, protocol: EvaluationProtocol) -> np.ndarray:
    """Random (row, column) of a frame's crops, (crops, 2): a function of seed and frame alone.

    Raises:
        UssimError: The sector is so small that no crop with enough of it is found.
    """
    side = protocol.crop
    limits = np.array([mask.shape[0] - side + 1, mask.shape[1] - side + 1])
    # Philox's raw stream is fixed for all time, unlike the derived integers of NumPy
    raw = np.random.Philox(key=protocol.seed, counter=[0, 0, 1, frame]).random_raw(2 * _DRAWS * protocol.crops)
    good = []
    for row, column in (raw.reshape(-1, 2) % limits.astype(np.uint64)).astype(int):
        if mask[row : row + side, column : column + side].mean() >= MIN_CROP_MASK:
            good.append((row, column))
        if len(good) == protocol.crops:
            return np.array(good)
    raise UssimError(f"crops of {side} px hardly meet the sector: choose another crop size")
