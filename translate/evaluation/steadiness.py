"""How much tissue flickers from frame to frame of a slow sweep, once the probe's known movement is taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import map_coordinates, uniform_filter

from translate.evaluation.results import HIGH_QUALITY, LOW_QUALITY, Steadiness
from ussim.dataset.schema import ImageGeometry
from ussim.dataset.store import Dataset
from ussim.errors import UssimError

PATCH_MM = 3.0
"""Side of the pieces of tissue whose mean grey level is followed: several speckles wide."""
MOST_STEP_MM = 0.5
"""Between frames of a sweep that is slow enough: further away the slice shows other tissue."""
_LEAST_FRAMES = 3


def carried(image: np.ndarray, pose: np.ndarray, onto: np.ndarray, geometry: ImageGeometry) -> np.ndarray:
    """An image where its tissue lies in the image of another pose; NaN where it shows none of that.

    What lies off the other plane is projected onto it along the elevation, which for a slow sweep is a small step.

    Args:
        image: (H, W).
        pose: (4, 4), probe → scene, of the image.
        onto: That of the other.
        geometry: The pixel grid of both.
    """
    rows, columns = np.mgrid[: geometry.height, : geometry.width]
    side, (x0, z0) = geometry.mm_per_pixel, geometry.origin_mm
    relative = np.linalg.inv(pose) @ onto
    x, z = x0 + columns * side, z0 + rows * side
    there_x = relative[0, 0] * x + relative[0, 2] * z + relative[0, 3]
    there_z = relative[2, 0] * x + relative[2, 2] * z + relative[2, 3]
    places = [(there_z - z0) / side, (there_x - x0) / side]
    return map_coordinates(image.astype(np.float32), places, order=1, cval=np.nan)


def steadiness_of(
    images: Sequence[np.ndarray], poses: np.ndarray, mask: np.ndarray, geometry: ImageGeometry
) -> Steadiness:
    """Steadiness of consecutive images of a sweep.

    Args:
        images: (H, W) each.
        poses: (N, 4, 4), probe → scene, of the images.
        mask: Pixels inside the sector, (H, W).
        geometry: Their pixel grid.
    """
    patch = max(1, round(PATCH_MM / geometry.mm_per_pixel))
    sums = np.zeros(4)
    inside = np.where(mask > 0, 0.0, np.nan).astype(np.float32)
    for number in range(len(images) - 1):
        before = carried(images[number] + inside, poses[number], poses[number + 1], geometry)
        change = images[number + 1] - before + inside
        known = np.isfinite(change)
        filled = np.where(known, change, 0.0)
        share = uniform_filter(known.astype(np.float32), patch)
        mean = uniform_filter(filled, patch)
        whole = share > 0.999
        sums += np.square(filled[known]).sum(), known.sum(), np.square(mean[whole]).sum(), whole.sum()
    if not (sums[1] and sums[3]):
        raise UssimError("the frames of a sweep show nothing in common: no steadiness can be measured")
    return Steadiness(float(np.sqrt(sums[0] / sums[1])), float(np.sqrt(sums[2] / sums[3])))


def require_slow(dataset: Dataset) -> None:
    """Refuse a store whose frames are no slow sweep of one anatomy.

    Raises:
        UssimError: Too few frames, several anatomies, or steps that are too large.
    """
    poses = dataset.poses
    if len(poses) < _LEAST_FRAMES or len(np.unique(dataset.scene)) > 1:
        raise UssimError(f"{dataset.path}: a sweep needs at least {_LEAST_FRAMES} frames of one anatomy")
    step = float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max())
    if step > MOST_STEP_MM:
        raise UssimError(
            f"{dataset.path}: its frames lie up to {step:.2f} mm apart; "
            f"allowed: a slow sweep, {MOST_STEP_MM:g} mm at most"
        )


def sweep_steadiness(
    dataset: Dataset, enhancers: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]]
) -> dict[str, Steadiness]:
    """Steadiness of the low- and high-quality images of a slow sweep, and of what generators make of it.

    Args:
        dataset: The store of the sweep.
        enhancers: By name; each turns a frame's arrays by name into an image (H, W).

    Raises:
        UssimError: See :func:`require_slow`.
    """
    require_slow(dataset)
    images: dict[str, list[np.ndarray]] = {LOW_QUALITY: [], **{name: [] for name in enhancers}, HIGH_QUALITY: []}
    for index in range(dataset.frames):
        frame = dataset.frame(index)
        maps = {"lq": frame.lq, "segmentation": frame.segmentation, "attenuation": frame.attenuation}
        images[LOW_QUALITY].append(frame.lq)
        images[HIGH_QUALITY].append(frame.hq)
        for name, enhance in enhancers.items():
            images[name].append(enhance(maps))
    geometry, mask = dataset.header.image, dataset.mask
    return {name: steadiness_of(shown, dataset.poses, mask, geometry) for name, shown in images.items()}
