"""Small labelled volumes, and the files that other programs would write of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np


def grid(shape: Sequence[int], sides: Sequence[float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """(I, J, K, 3) places of voxels around the middle of a volume, mm."""
    axes = [(np.arange(size) - (size - 1) / 2) * side for size, side in zip(shape, sides, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def ball(places: np.ndarray, radius: float, middle: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    return np.linalg.norm(places - np.array(middle), axis=-1) < radius


def nested(size: int = 32, side: float = 2.0) -> np.ndarray:
    """A body, 1, with two organs, 2 and 3, clear of the edge; uint8."""
    places = grid([size] * 3, [side] * 3)
    reach = size * side / 2
    labels = np.zeros(places.shape[:3], np.uint8)
    labels[ball(places, 0.85 * reach)] = 1
    labels[ball(places, 0.35 * reach, (0.3 * reach, 0, 0))] = 2
    labels[ball(places, 0.25 * reach, (-0.4 * reach, 0, 0))] = 3
    return labels


def save(
    path: Path, labels: np.ndarray, to_mm: np.ndarray | Sequence[float] = (2.0, 2.0, 2.0), unit: str = "mm"
) -> Path:
    """A NIfTI file, by its affine or the sides of its voxels."""
    affine = np.asarray(to_mm, dtype=float)
    image = nibabel.Nifti1Image(labels, np.diag([*affine, 1.0]) if affine.ndim == 1 else affine, dtype=labels.dtype)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def with_name_table(path: Path, labels: np.ndarray, names: Sequence[str], sides: Sequence[float]) -> Path:
    """A NIfTI file with the names of labels 1, 2 … as XML in its header."""
    image = nibabel.Nifti1Image(labels, np.diag([*sides, 1.0]))
    image.header.set_xyzt_units("mm")
    rows = "".join(f'<Label Key="{key}"><![CDATA[{name}]]></Label>' for key, name in enumerate(names, start=1))
    xml = f"<CaretExtension><VolumeInformation><LabelTable>{rows}</LabelTable></VolumeInformation></CaretExtension>"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, xml.encode()))
    nibabel.save(image, path)
    return path
