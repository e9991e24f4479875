"""Numbers as a file stores them → labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meshes.importing.volumes.raw import RawVolume, slabs
from ussim.errors import UssimError

MOST_LABELS = 4096
"""Of different values; an image of grey values has more."""
_MOST_NEGATIVE = 3  # of different values: marks of the outside; more are an image's
_OFF_BY = 1e-3  # rounding of a slope, or of float32 arithmetic
_LARGEST = 2**63


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a volume.

    Attributes:
        numbers: (I, J, K) of whole numbers that take as few bytes as they can.
        counts: Voxels by label, without 0, by value.
        number_of: Number of each label in ``numbers`` where it is not the label itself.
        notes: One clause each on what was rounded.
    """

    numbers: np.ndarray = field(repr=False)
    counts: dict[int, int]
    number_of: dict[int, int]
    notes: tuple[str, ...]


@dataclass
class _Census:
    """What values there are."""

    counts: Counter[int] = field(default_factory=Counter)
    lowest: float = np.inf
    highest: float = -np.inf
    off_by: float = 0.0
    no_label: float | None = None  # the first value that is no whole number
    not_numbers: int = 0


def find_labels(path: Path, raw: RawVolume) -> Labels:
    """The labels of a volume, in little memory: a byte or two for each voxel.

    Raises:
        UssimError: Values that are no labels, or nothing but zeros.
    """
    if raw.data.dtype.kind not in "biuf":
        raise UssimError(f"{path}: holds {raw.data.dtype}; allowed: whole numbers from 0 on")
    census = _Census()
    for _, slab in slabs(raw.data):
        _count(slab, raw, census)
    _require_labels(path, raw.data.size, census)
    counts = {value: census.counts[value] for value in sorted(census.counts) if value}
    if not counts:
        raise UssimError(f"{path}: all voxels are 0; allowed: labels of 1 and more")
    notes = (f"values are off by up to {census.off_by:.1g}: rounded",) if census.off_by else ()
    if min(counts) > 0 and max(counts) < 2**16:
        number_of: dict[int, int] = {}
        most = max(counts)
    else:
        number_of = {value: number for number, value in enumerate(counts, start=1)}
        most = len(counts)
    return Labels(_compact(raw, number_of, most), counts, number_of, notes)


def _is_plain(raw: RawVolume) -> bool:
    return raw.data.dtype.kind in "biu" and raw.slope == 1 and raw.intercept == 0


def _values(slab: np.ndarray, raw: RawVolume) -> np.ndarray:
    """Values of a slab: as stored where that is the value, else float64."""
    if _is_plain(raw):
        return slab.astype(np.uint8) if slab.dtype.kind == "b" else slab
    with np.errstate(all="ignore"):
        return slab.astype(np.float64) * raw.slope + raw.intercept


def _count(slab: np.ndarray, raw: RawVolume, census: _Census) -> None:
    """Add the values of a slab to the census; too many are no longer counted, for they are refused."""
    values = _values(slab, raw)
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        census.not_numbers += int(values.size - finite.sum())
        values = values[finite]
        if not values.size:
            return
        whole = np.rint(values)
        off = np.abs(values - whole)
        census.off_by = max(census.off_by, float(off.max()))
        if census.no_label is None and off.max() > _OFF_BY:
            census.no_label = float(values[off > _OFF_BY][0])
        values = whole
    census.lowest = min(census.lowest, values.min().item())
    census.highest = max(census.highest, values.max().item())
    is_counted = -_LARGEST < census.lowest and census.highest < _LARGEST and len(census.counts) <= MOST_LABELS
    if census.no_label is None and is_counted:
        census.counts.update(_counted(values))


def _counted(values: np.ndarray) -> dict[int, int]:
    low, high = int(values.min()), int(values.max())
    if high - low < 1 << 20:  # a table is quicker than sorting
        offset = values.ravel(order="K").astype(np.int64) - low
        table = np.bincount(offset, minlength=1)
        return {int(value) + low: int(table[value]) for value in np.flatnonzero(table)}
    found, counts = np.unique(values, return_counts=True)
    return {int(value): int(count) for value, count in zip(found, counts, strict=True)}


def _require_labels(path: Path, size: int, census: _Census) -> None:
    if census.not_numbers:
        raise UssimError(
            f"{path}: {census.not_numbers:,} of {size:,} voxels are NaN or infinite; allowed: whole numbers from 0 on"
        )
    why = ""
    negative = sum(value < 0 for value in census.counts)
    if census.no_label is not None:
        why = f"{census.no_label:g} is no label"
    elif census.highest >= _LARGEST or census.lowest < -_LARGEST:
        why = f"{max(census.highest, -census.lowest):g} is beyond 2⁶³"
    elif len(census.counts) > MOST_LABELS:
        why = f"more than {MOST_LABELS} different ones"
    elif negative > _MOST_NEGATIVE:
        why = f"{negative} different ones are negative"
    if why:
        raise UssimError(
            f"{path}: holds values from {census.lowest:g} to {census.highest:g} that are no labels: {why}; allowed: "
            "whole numbers from 0 on (an image of grey values has to be segmented first, and labels are resampled to "
            "the nearest)"
        )


def _compact(raw: RawVolume, number_of: dict[int, int], most: int) -> np.ndarray:
    """The volume in the smallest type that holds its numbers; the file's own array where it does."""
    dtype = np.uint8 if most < 2**8 else np.uint16
    if _is_plain(raw) and raw.data.dtype == dtype and not number_of:
        return raw.data
    numbers = np.empty(raw.data.shape, dtype, order="F")
    known = np.array(sorted([*number_of, 0]), dtype=np.int64)
    table = np.array([number_of.get(int(value), 0) for value in known], dtype=dtype)
    for part, slab in slabs(raw.data):
        values = _values(slab, raw)
        whole = np.rint(values) if values.dtype.kind == "f" else values
        numbers[..., part] = table[np.searchsorted(known, whole.astype(np.int64))] if number_of else whole
    return numbers
