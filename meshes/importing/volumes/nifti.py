"""NIfTI and MGH, by nibabel."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from meshes.importing.volumes.names import names_in_xml
from meshes.importing.volumes.raw import (
    NO_ORIENTATION,
    NO_UNIT,
    RawVolume,
    affine,
    one_line_errors,
    require_voxels,
    three_axes,
)
from ussim.errors import UssimError

_UNITS_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
_SAME_VOXELS = 0.1  # two affines that put every corner within so many voxels agree


def read_nifti(path: Path) -> RawVolume:
    """Read .nii or .nii.gz: place from the sform, else the qform, else the voxel sizes; names from an XML extension.

    Raises:
        UssimError: nibabel is missing, or the file is unreadable, too large or not three-dimensional.
    """
    nibabel = _nibabel("NIfTI")
    with one_line_errors(path, "NIfTI"), _quiet(nibabel):
        image: Any = nibabel.load(path)  # nibabel types what all its formats have
        require_voxels(path, image.shape)
        _require_sizes(path, image, nibabel)
        to_mm, notes = _place(image)
        scale, unit_note = _unit_mm(image.header)
        to_mm[:3] *= scale
        names: dict[int, str] = {}
        for extension in image.header.extensions:
            names |= names_in_xml(extension.get_content())
        raw = _voxels(path, image)
        notes += [unit_note] if unit_note else []
        return RawVolume(raw, to_mm, *_scaling(image), names, tuple(notes))


def read_mgh(path: Path) -> RawVolume:
    """Read FreeSurfer's .mgh or .mgz; always millimetres.

    Raises:
        UssimError: As :func:`read_nifti`.
    """
    nibabel = _nibabel("MGH")
    with one_line_errors(path, "MGH"), _quiet(nibabel):
        image: Any = nibabel.load(path)
        require_voxels(path, image.shape)
        stated = int(image.header["goodRASFlag"]) > 0
        notes = () if stated else ("its header states no orientation: assumed FreeSurfer's own, coronal slices",)
        to_mm = np.array(image.affine, dtype=np.float64)
        return RawVolume(_voxels(path, image), to_mm, *_scaling(image), {}, notes)


def _nibabel(what: str) -> ModuleType:
    try:
        import nibabel
    except ModuleNotFoundError:
        raise UssimError(f"nibabel, which reads {what} files, is not installed: pip install 'ussim[labels]'") from None
    return nibabel


@contextlib.contextmanager
def _quiet(nibabel: ModuleType) -> Iterator[None]:
    """Nothing of nibabel's own on the screen: it logs what it mends in a header."""
    logger: logging.Logger = nibabel.imageglobals.logger
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _voxels(path: Path, image: Any) -> np.ndarray:
    """(I, J, K) as stored: scaled, whole numbers of one byte would take eight."""
    return three_axes(path, np.asanyarray(image.dataobj.get_unscaled()))


def _scaling(image: Any) -> tuple[float, float]:
    return float(image.dataobj.slope), float(image.dataobj.inter)


def _require_sizes(path: Path, image: Any, nibabel: ModuleType) -> None:
    """Refuse voxels of no size where nothing else states it: nibabel would take 1."""
    with nibabel.openers.ImageOpener(path) as file:
        header = image.header_class.from_fileobj(file, check=False)
    sizes = header["pixdim"][1:4]
    if header["sform_code"] == 0 and not (np.isfinite(sizes) & (sizes != 0)).all():
        told = " × ".join(f"{size:g}" for size in sizes)
        raise UssimError(f"{path}: voxels of {told}; allowed: three numbers above 0")


def _place(image: Any) -> tuple[np.ndarray, list[str]]:
    """Voxel index → the header's unit, and what to say about it."""
    header = image.header
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is None and qform is None:
        return affine(np.diag(header.get_zooms()[:3]), np.zeros(3)).astype(np.float64), [NO_ORIENTATION]
    to_mm = np.array(qform if sform is None else sform, dtype=np.float64)
    if sform is None or qform is None:
        return to_mm, []
    corners = np.array(np.meshgrid(*[[0, size - 1] for size in image.shape[:3]], [1])).reshape(4, -1)
    apart = float(np.abs((sform - qform) @ corners).max())
    if apart <= _SAME_VOXELS * np.linalg.norm(to_mm[:3, :3], axis=0).min():
        return to_mm, []
    return to_mm, [f"its sform and its qform differ by up to {apart:.3g}: the sform is used"]


def _unit_mm(header: Any) -> tuple[float, str]:
    """Millimetres in the header's unit of length, and what to say about it."""
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:  # a code that the standard does not have
        unit = "unknown"
    return (_UNITS_MM[unit], "") if unit in _UNITS_MM else (1.0, NO_UNIT)
