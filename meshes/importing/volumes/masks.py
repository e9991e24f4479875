"""Masks of one structure each → one labelled volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshes.importing.volumes.raw import slabs

_MOST_NAMED = 6


class MaskJoiner:
    """Masks one after the other, numbered from 1; where they overlap, the smaller one has the voxel.

    Attributes:
        labels: (I, J, K), the number of the mask that has each voxel.
    """

    def __init__(self, shape: Sequence[int], most: int):
        self.labels = np.zeros(tuple(shape), np.uint8 if most < 256 else np.uint16, order="F")
        self._sizes = [float("inf")]  # of number 0: whoever comes wins over nothing
        self._names = [""]
        self._shared = 0

    def add(self, name: str, mask: np.ndarray) -> None:
        """Add the next mask.

        Args:
            name: What it is of.
            mask: (I, J, K) bool.
        """
        size = int(mask.sum())
        number = len(self._sizes)
        held = self.labels[mask]
        self._shared += int((held > 0).sum())
        held[np.array(self._sizes)[held] > size] = number
        self.labels[mask] = held
        self._sizes.append(size)
        self._names.append(name)

    def counts(self) -> dict[int, int]:
        """Voxels that each mask has in the end, by number; without those that have none."""
        table = np.zeros(len(self._sizes), np.int64)
        for _, slab in slabs(self.labels):
            table += np.bincount(slab.ravel(order="K"), minlength=len(table))
        return {number: int(count) for number, count in enumerate(table) if number and count}

    def names(self) -> dict[int, str]:
        """Names by number."""
        return dict(enumerate(self._names[1:], start=1))

    def notes(self) -> tuple[str, ...]:
        """What to say: which masks are empty, which overlap."""
        found = []
        empty = [name for name, size in zip(self._names, self._sizes, strict=True) if not size]
        if empty:
            more = f" and {len(empty) - _MOST_NAMED} more" if len(empty) > _MOST_NAMED else ""
            found.append(f"empty, left out: {', '.join(empty[:_MOST_NAMED])}{more}")
        if self._shared:
            found.append(f"masks overlap in {self._shared:,} voxels: the smaller one has them")
        return tuple(found)
