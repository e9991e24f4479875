"""Which frames of a store are held out for testing: single frames, as the store has it, or whole anatomies."""

from __future__ import annotations

import hashlib

import numpy as np

from translate.settings import Split
from ussim.dataset.schema import TEST_SHARE
from ussim.dataset.store import Dataset
from ussim.errors import UssimError


def is_held_out(dataset: Dataset, by: Split) -> np.ndarray:
    """Which frames are for testing; bool of shape (N,).

    Raises:
        UssimError: To be split by scene, and all frames show one scene.
    """
    if by == "frame":
        return dataset.split == 1
    if by != "scene":
        raise UssimError(f"split = {by!r}: must be frame or scene")
    scene = dataset.scene
    return np.isin(scene, _held_out(dataset, np.unique(scene)))


def _held_out(dataset: Dataset, scenes: np.ndarray) -> list[int]:
    """Ranked by a hash of the store's split seed and their number, as the frames are for the split by frame."""
    if len(scenes) < 2:
        raise UssimError(
            f"{dataset.path}: split = scene holds out whole anatomies, and its frames show only one: "
            "render a store of two or more (ussim render --scenes N), or use split = frame"
        )
    seed = dataset.header.split_seed
    keys = {int(scene): hashlib.sha256(f"ussim scene split {seed} {scene}".encode()).digest() for scene in scenes}
    return sorted(keys, key=keys.__getitem__)[: max(1, round(len(scenes) * TEST_SHARE))]
