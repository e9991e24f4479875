"""A file or folder of labels → a labelled volume, whatever its format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meshes.importing.volumes.masks import MaskJoiner
from meshes.importing.volumes.metaimage import read_metaimage
from meshes.importing.volumes.nifti import read_mgh, read_nifti
from meshes.importing.volumes.nrrd_files import read_nrrd
from meshes.importing.volumes.raw import RawVolume, Reader, require_file, require_geometry
from meshes.importing.volumes.values import find_labels
from ussim.errors import UssimError

# Endings and readers; longer endings first, for the name of a mask is what is left of a file's.
_FORMATS: tuple[tuple[tuple[str, ...], Reader], ...] = (
    ((".nii.gz", ".nii"), read_nifti),
    ((".seg.nrrd", ".nrrd", ".nhdr"), read_nrrd),
    ((".mha", ".mhd"), read_metaimage),
    ((".mgh", ".mgz"), read_mgh),
)
_ALLOWED = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr, .seg.nrrd), MetaImage (.mha, .mhd), MGH (.mgh, .mgz)"
_MOST_MASKS = 1024
_SAME_GRID_VOXELS = 0.1


@dataclass(frozen=True, eq=False)
class LabelVolume:
    """A labelled volume.

    Attributes:
        path: Its file or folder.
        labels: (I, J, K) whole numbers: the labels, or what ``number_of`` says.
        to_mm: (4, 4) voxel index → mm: x right, y front, z up, as NIfTI has it.
        counts: Voxels by label, without 0, by value.
        names: What the file calls its labels, some or all or none.
        notes: One clause each on what was assumed or rounded.
        number_of: Number in ``labels`` of those labels that are too large to stand there themselves.
    """

    path: Path
    labels: np.ndarray = field(repr=False)
    to_mm: np.ndarray
    counts: dict[int, int]
    names: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    number_of: dict[int, int] = field(default_factory=dict)

    @property
    def voxel_mm(self) -> np.ndarray:
        """(3,) sides of a voxel."""
        return np.linalg.norm(self.to_mm[:3, :3], axis=0)


def read_volume(path: Path) -> LabelVolume:
    """Read a file of labels, or a folder of masks, one for each structure.

    At most ``MOST_VOXELS`` voxels. It takes the file's own numbers and one or two bytes for each voxel; of a folder,
    those of one file at a time.

    Raises:
        UssimError: The library for its format is missing, or the file is missing, unreadable, not three-dimensional,
            holds something else than labels, nothing but zeros, or a geometry that cannot be.
    """
    path = Path(path)
    if os.path.isdir(path):  # Path.is_dir raises what a name too long raises
        return _read_masks(path)
    require_file(path)
    reader = _reader(path)
    if reader is None:
        raise UssimError(f"{path}: no format known here; allowed: {_ALLOWED}, or a folder of masks in one of these")
    raw = reader(path)
    require_geometry(path, raw.to_mm)
    found = find_labels(path, raw)
    return LabelVolume(
        path, found.numbers, raw.to_mm, found.counts, raw.names, (*raw.notes, *found.notes), found.number_of
    )


def _reader(path: Path) -> Reader | None:
    name = path.name.lower()
    return next((reader for endings, reader in _FORMATS if name.endswith(endings)), None)


def _stem(path: Path) -> str:
    """A file's name without what says its format."""
    ending = next(one for endings, _ in _FORMATS for one in endings if path.name.lower().endswith(one))
    return path.name[: -len(ending)]


def _read_masks(folder: Path) -> LabelVolume:
    """A folder of masks; labels are numbered from 1 in the order of the files' names."""
    files = [one for one in sorted(folder.iterdir()) if _reader(one) and not one.name.startswith(".") and _stem(one)]
    if not files:
        raise UssimError(f"{folder}: a folder without masks; allowed: one file for each structure, {_ALLOWED}")
    if len(files) > _MOST_MASKS:
        raise UssimError(f"{folder}: {len(files)} masks; allowed: at most {_MOST_MASKS}")
    joiner: MaskJoiner | None = None
    first: RawVolume | None = None
    notes: dict[str, None] = {}
    for file, raw, mask in _masks(files):
        if joiner is None or first is None:
            joiner, first = MaskJoiner(raw.data.shape, len(files)), RawVolume(np.empty((0, 0, 0)), raw.to_mm)
        _require_same_grid(file, raw, files[0], joiner.labels.shape, first.to_mm)
        joiner.add(_stem(file), mask)
        notes |= dict.fromkeys(raw.notes)
    if joiner is None or first is None:
        raise AssertionError("no masks, though there are files")
    found = joiner.counts()
    if not found:
        raise UssimError(f"{folder}: all voxels of all masks are 0; allowed: at least one mask of something")
    return LabelVolume(folder, joiner.labels, first.to_mm, found, joiner.names(), (*notes, *joiner.notes()))


def _masks(files: list[Path]) -> Iterator[tuple[Path, RawVolume, np.ndarray]]:
    """Every file of a folder and where it is set."""
    for file in files:
        require_file(file)
        reader = _reader(file)
        if reader is None:
            continue
        raw = reader(file)
        require_geometry(file, raw.to_mm)
        mask = (raw.data != 0) if raw.intercept == 0 else (raw.data * raw.slope + raw.intercept != 0)
        values = np.unique(raw.data[mask][:: max(1, int(mask.sum()) // 1_000_000)])
        if len(values) > 1:
            several = ", ".join(f"{value:g}" for value in values[:4])
            raise UssimError(
                f"{file}: holds {several}{' …' if len(values) > 4 else ''}; allowed in a folder of masks: one value "
                "beside 0 (give a file of many labels by itself)"
            )
        yield file, raw, mask


def _require_same_grid(file: Path, raw: RawVolume, first: Path, shape: tuple[int, ...], to_mm: np.ndarray) -> None:
    if raw.data.shape != shape:
        sides = [" × ".join(map(str, one)) for one in (raw.data.shape, shape)]
        raise UssimError(f"{file}: {sides[0]} voxels, but {first.name} has {sides[1]}; allowed: one grid for all masks")
    corners = np.array(np.meshgrid(*[[0, size - 1] for size in shape], [1])).reshape(4, -1)
    apart = float(np.abs((raw.to_mm - to_mm) @ corners).max())
    if apart > _SAME_GRID_VOXELS * np.linalg.norm(to_mm[:3, :3], axis=0).min():
        raise UssimError(f"{file}: lies {apart:.3g} mm off {first.name}; allowed: one grid for all masks")
