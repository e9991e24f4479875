"""A labelled volume → closed, smooth, overlapping surfaces, one for each label.

Labels share their walls exactly, and smoothed apart they would leave slivers. So only one of two neighbours
keeps the wall between them, the one of higher priority; the other one reaches DEPTH beneath it. With φ_L the signed
distance of the label, φ_U that of the label united with all of higher priority (negative inside), the surface is

    max(φ_L − DEPTH, φ_U + clip(φ_L − φ_U, 0, RECESS)) = 0

which is the label's own wall where it borders on what is lower, lies DEPTH deep in what is higher, and stays RECESS
inside of the walls of what is higher where those border on something else. The two walls part at 45° where they meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import manifold3d
import numpy as np
from scipy import ndimage
from scipy.special import ndtri
from skimage.measure import marching_cubes

from meshes.importing.label_map import Label
from meshes.shapes.mesher import Mesh, to_mesh, without_pinches, without_specks
from ussim.errors import UssimError

BLUR_VOXELS = 1.3
"""Standard deviation of the blur of a label along each axis: takes the steps of the voxels away."""
OVERLAP_MM = 1.5
"""A surface reaches at least so far beneath its neighbour of higher priority."""
MOST_VOXELS = 512 * 512 * 2048
"""Of a volume; with 4 bytes each they take 2 GiB."""
_RECESS_MM = 0.6
_MOST_CELLS = 8_000_000  # of the grid on which one surface is made: about 300 MB while it is
_FINEST_STEP_MM = 0.3
_SIMPLIFY_SHARE = 0.08  # simplification moves no surface by more than this share of the grid's step
_SMALLEST_BODY_MM3 = 0.3
_BODY_VOXELS = 4  # a separate body of fewer voxels is a speck


@dataclass(frozen=True, eq=False)
class LabelVolume:
    """A labelled volume.

    Attributes:
        path: Its file.
        labels: (I, J, K) int32.
        to_mm: (4, 4) voxel index → mm: x right, y front, z up, as NIfTI has it.
        counts: Voxels by label, without 0, by value.
    """

    path: Path
    labels: np.ndarray = field(repr=False)
    to_mm: np.ndarray
    counts: dict[int, int]

    @property
    def voxel_mm(self) -> np.ndarray:
        """(3,) sides of a voxel."""
        return np.linalg.norm(self.to_mm[:3, :3], axis=0)


def read_volume(path: Path) -> LabelVolume:
    """Read a NIfTI file of whole numbers, .nii or .nii.gz.

    Raises:
        UssimError: nibabel is missing, or the file is missing, unreadable, not three-dimensional, holds something else
            than whole numbers from 0 on, nothing but zeros, or a geometry that cannot be.
    """
    try:
        import nibabel
    except ModuleNotFoundError:
        raise UssimError("nibabel, which reads NIfTI files, is not installed: pip install 'ussim[labels]'") from None
    path = Path(path)
    if not path.is_file():
        raise UssimError(f"{path}: no such file")
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise UssimError(f"{path}: no format known here; allowed: NIfTI, .nii or .nii.gz")
    try:
        image: Any = nibabel.load(path)  # nibabel types what all its formats have
        _require_voxels(path, image.shape)  # before they are read: what is packed may unfold a thousandfold
        data = np.asanyarray(image.dataobj)
        affine = np.asarray(image.affine, dtype=np.float64)
        unit = image.header.get_xyzt_units()[0]
    except UssimError:
        raise
    except Exception as error:  # a broken file shows in as many ways as there are
        reason = str(error).strip().split("\n")[0] or "no reason given"
        raise UssimError(f"{path}: cannot be read as NIfTI: {type(error).__name__}: {reason}") from None
    affine[:3] *= {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
    labels = _whole_numbers(path, data)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise UssimError(f"{path}: its affine is singular; allowed: one that maps voxels to space")
    values, counts = np.unique(labels, return_counts=True)
    found = {int(value): int(count) for value, count in zip(values, counts, strict=True) if value}
    if not found:
        raise UssimError(f"{path}: all voxels are 0; allowed: labels of 1 and more")
    return LabelVolume(path, labels, affine, found)


def _require_voxels(path: Path, shape: Sequence[int]) -> None:
    count = math.prod(int(side) for side in shape)
    if count > MOST_VOXELS:
        sides = " × ".join(map(str, shape))
        raise UssimError(f"{path}: {sides} voxels; allowed: at most {MOST_VOXELS:,}; crop it, or use larger voxels")


def _whole_numbers(path: Path, data: np.ndarray) -> np.ndarray:
    """The data as (I, J, K) int32."""
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise UssimError(f"{path}: {data.ndim} axes of {data.shape} voxels; allowed: a volume of three axes")
    if data.dtype.kind not in "biuf":
        raise UssimError(f"{path}: holds {data.dtype}; allowed: whole numbers from 0 on")
    if not (np.isfinite(data).all() and data.min() >= 0 and data.max() < 2**31 and (data == np.floor(data)).all()):
        raise UssimError(
            f"{path}: holds values from {data.min():g} to {data.max():g} that are no labels; allowed: whole numbers "
            "from 0 on (an image of grey values has to be segmented first)"
        )
    return data.astype(np.int32)


def order_labels(volume: LabelVolume, labels: Sequence[Label]) -> list[Label]:
    """The labels from the lowest to the highest priority.

    Given priorities count first. Without them, what fills the larger space once its hollows are filled is lower: a body
    comes below the organs in it even if it is a shell that is thinner than they are.

    Raises:
        UssimError: Two labels that touch have the same given priority, or only some have one.
    """
    given = [label for label in labels if label.priority is not None]
    if given and len(given) < len(labels):
        missing = next(label for label in labels if label.priority is None)
        raise UssimError(f"label {missing.value} has no priority, but {given[0].value} has: give one to all or to none")
    if given:
        for one, other in combinations(labels, 2):
            if one.priority == other.priority and _touch(volume.labels, one.value, other.value):
                raise UssimError(
                    f"priority = {one.priority} of both label {one.value} and {other.value}, which touch; allowed: "
                    "different ones"
                )
        return sorted(labels, key=lambda label: (label.priority, label.value))
    size = {label.value: _filled_voxels(volume.labels, label.value) for label in labels}
    return sorted(labels, key=lambda label: (-size[label.value], label.value))


def _box(labels: np.ndarray, value: int, margin: Iterable[int] = (0, 0, 0)) -> tuple[slice, ...]:
    """The box around a label, wider by a margin of voxels along each axis, cut to the volume."""
    box = ndimage.find_objects((labels == value).astype(np.uint8))[0]
    return tuple(
        slice(max(side.start - more, 0), min(side.stop + more, size))
        for side, size, more in zip(box, labels.shape, margin, strict=True)
    )


def _touch(labels: np.ndarray, one: int, other: int) -> bool:
    box = _box(labels, one, (1, 1, 1))
    return bool((ndimage.binary_dilation(labels[box] == one) & (labels[box] == other)).any())


def _filled_voxels(labels: np.ndarray, value: int) -> int:
    """Voxels of a label with what it encloses, also where the edge of the volume cuts it open."""
    mask = labels[_box(labels, value)] == value
    stride = int(np.ceil((mask.size / _MOST_CELLS) ** (1 / 3)))
    mask = mask[::stride, ::stride, ::stride]  # an estimate will do
    return int((mask | _enclosed(mask)).sum()) * stride**3


def _enclosed(mask: np.ndarray) -> np.ndarray:
    """What a mask encloses in the slices across any axis."""
    return np.any([_enclosed_in_slices(mask, axis) for axis in range(3)], axis=0)


def _enclosed_in_slices(mask: np.ndarray, axis: int) -> np.ndarray:
    around = np.pad(~mask, [(0, 0) if other == axis else (1, 1) for other in range(3)], constant_values=True)
    flat = ndimage.generate_binary_structure(3, 1)
    np.moveaxis(flat, axis, 0)[[0, 2]] = False  # no way from slice to slice
    regions, _ = ndimage.label(around, flat)
    outside = np.unique(regions[tuple(slice(None) if other == axis else 0 for other in range(3))])
    inner = tuple(slice(None) if other == axis else slice(1, -1) for other in range(3))
    return ~mask & ~np.isin(regions[inner], outside)


@dataclass(frozen=True, eq=False)
class LabelSurface:
    """The surface of one label.

    Attributes:
        label: Which.
        mesh: Closed, outward, mm.
        dropped_mm3: Volume of specks that were left out.
        step_mm: Side of the grid it was made on.
    """

    label: Label
    mesh: Mesh
    dropped_mm3: float
    step_mm: float


def label_surfaces(
    volume: LabelVolume, ordered: Sequence[Label], say: Callable[[str], None] = lambda text: None
) -> list[LabelSurface]:
    """One closed surface for each label, lower ones reaching beneath their higher neighbours.

    The volume that a surface encloses is that of its voxels: the level of the blurred label is set so.

    Args:
        volume: The voxels.
        ordered: From the lowest to the highest priority.
        say: Called with the name of each label in turn.

    Raises:
        UssimError: A label is too small for a surface.
    """
    made = []
    for number, label in enumerate(ordered):
        say(f"surface {number + 1} of {len(ordered)}: {label.name}")
        made.append(_surface(volume, label, [other.value for other in ordered[number + 1 :]]))
    return made


def _surface(volume: LabelVolume, label: Label, higher: Sequence[int]) -> LabelSurface:
    grid = _Grid.around(volume, label.value)
    own, dropped = _without_specks(grid.mask([label.value]), grid.voxel_mm)
    united = own | grid.mask(higher)
    has_neighbours = bool((united != own).any())
    own_mm = grid.distance(own, far=has_neighbours)
    if has_neighbours:
        united_mm = grid.distance(united)
        recess = np.clip(own_mm - united_mm, 0, max(_RECESS_MM, grid.step_mm))
        value = np.maximum(own_mm - _depth_mm(grid.step_mm), united_mm + recess)
        # What the label encloses is filled as far as it is of higher priority: no ray sees a wall in there.
        filled_mm = grid.rough_distance(own | _enclosed(own))
        value = np.minimum(value, np.maximum(filled_mm, united_mm + max(_RECESS_MM, grid.step_mm)))
    else:
        value = own_mm
    mesh = grid.surface(value, label)
    return LabelSurface(label, mesh, dropped, grid.step_mm)


def _depth_mm(step_mm: float) -> float:
    return max(OVERLAP_MM, 2 * step_mm)


def _without_specks(mask: np.ndarray, voxel_mm: np.ndarray) -> tuple[np.ndarray, float]:
    """The mask without separate bodies of a few voxels, and their volume in mm³; all of it if it is but specks."""
    bodies, count = ndimage.label(mask, ndimage.generate_binary_structure(3, 3))
    sizes = np.bincount(bodies.ravel(), minlength=count + 1)
    large = sizes >= _BODY_VOXELS
    large[0] = False
    if not large.any():
        return mask, 0.0
    kept = large[bodies]
    return kept, float((mask & ~kept).sum() * np.prod(voxel_mm))


@dataclass(frozen=True, eq=False)
class _Grid:
    """A regular grid along the axes of the volume around one label, with a rim of nothing.

    Attributes:
        labels: The voxels of the box, padded by zeros.
        voxel_mm: (3,) their sides.
        step_mm: Side of the grid's cells.
        shape: Points of the grid along each axis.
        to_mm: (4, 4) padded voxel index → mm.
    """

    labels: np.ndarray = field(repr=False)
    voxel_mm: np.ndarray
    step_mm: float
    shape: tuple[int, ...]
    to_mm: np.ndarray

    @classmethod
    def around(cls, volume: LabelVolume, value: int) -> _Grid:
        """The grid for one label: as fine as its finest voxel side, coarser where that would be too much."""
        sides = volume.voxel_mm
        tight = np.array([side.stop - side.start for side in _box(volume.labels, value)])
        room = np.prod((tight + 12) * sides)
        step = max(float(sides.min()), _FINEST_STEP_MM, float((room / _MOST_CELLS) ** (1 / 3)))
        # What lies further off than the surface can reach has no say in it; beyond that, nothing, so that whatever the
        # edge of the volume cuts open is closed there.
        margin = np.ceil((_depth_mm(step) + 2 * step) / sides).astype(int) + 2
        rim = np.ceil(2.5 * step / sides).astype(int) + 3
        box = _box(volume.labels, value, margin)
        labels = np.pad(volume.labels[box], np.stack([rim, rim], axis=1))
        extent = (np.array(labels.shape) - 1) * sides
        origin = np.array([side.start for side in box]) - rim
        to_mm = volume.to_mm @ np.block([[np.eye(3), origin[:, None]], [np.zeros(3), 1.0]])
        shape = tuple(int(size) for size in np.floor(extent / step).astype(int) + 1)
        return cls(labels, sides, step, shape, to_mm)

    def mask(self, values: Sequence[int]) -> np.ndarray:
        """The voxels of some labels."""
        return np.isin(self.labels, list(values))

    def distance(self, mask: np.ndarray, far: bool = False) -> np.ndarray:
        """Signed distance to the smoothed wall of a mask at the points of the grid, mm, negative inside; float32.

        It is that of the blurred mask, relative to the level at which it encloses the volume of its voxels: to a flat
        wall the blurred mask is the normal distribution of the distance. That holds for two steps of the grid to both
        sides; beyond, the value stays at two steps, or with ``far`` is the distance to the nearest point inside.
        """
        blurred = ndimage.gaussian_filter(mask.astype(np.float32), BLUR_VOXELS, mode="constant")
        level = _level(blurred, int(mask.sum()))
        fine = self._at_points(blurred)
        bent = ndtri(np.clip(fine, 1e-4, 1 - 1e-4)) - np.float32(ndtri(level))
        slope = np.sqrt(sum(part**2 for part in np.gradient(bent, self.step_mm)))
        reach = 2 * self.step_mm
        distance = np.clip(-bent / np.maximum(slope, 0.1 / self.step_mm), -reach, reach).astype(np.float32)
        if far and (distance < 0).any():
            outside = (ndimage.distance_transform_edt(distance >= 0) - 0.5) * self.step_mm
            distance = np.where(outside > reach, outside, distance).astype(np.float32)
        return distance

    def rough_distance(self, mask: np.ndarray) -> np.ndarray:
        """As :meth:`distance` within a voxel of the wall, constant beyond."""
        blurred = ndimage.gaussian_filter(mask.astype(np.float32), BLUR_VOXELS, mode="constant")
        return (1 - 2 * self._at_points(blurred)) * np.float32(self.step_mm)

    def _at_points(self, voxels: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(
            voxels, self.step_mm / self.voxel_mm, output_shape=self.shape, order=1, mode="nearest"
        )

    def surface(self, value: np.ndarray, label: Label) -> Mesh:
        """The zero surface of a field on the grid, simplified, in mm."""
        value[value == 0] = np.float32(1e-6)  # a zero at a grid point makes triangles without area
        if not value.min() < 0:
            raise UssimError(f"label {label.value} ({label.name}) is too small for a surface: ignore it")
        vertices, triangles, _, _ = marching_cubes(value, 0.0, gradient_direction="descent")
        to_mm = self.to_mm[:3, :3] * (self.step_mm / self.voxel_mm)
        if np.linalg.det(to_mm) < 0:
            triangles = triangles[:, ::-1]
        points = (vertices @ to_mm.T + self.to_mm[:3, 3]).astype(np.float32)
        body = manifold3d.Manifold(manifold3d.Mesh(points, np.ascontiguousarray(triangles, dtype=np.uint32)))
        if body.status() != manifold3d.Error.NoError:
            raise UssimError(f"label {label.value} ({label.name}) gives no closed surface: {body.status().name}")
        tolerance = _SIMPLIFY_SHARE * self.step_mm
        simple = body.simplify(0.4 * tolerance).simplify(tolerance)
        pieces = [piece for piece in simple.decompose() if abs(piece.volume()) >= _SMALLEST_BODY_MM3]
        if not pieces:
            raise UssimError(f"label {label.value} ({label.name}) is too small for a surface: ignore it")
        return without_specks(without_pinches(to_mesh(manifold3d.Manifold.compose(pieces))))


def _level(blurred: np.ndarray, count: int) -> float:
    """The level at which a blurred mask encloses as many voxels as the mask has; about 0.5, less where it is thin.

    What of a voxel lies inside is taken from the slope that the blur gives to a flat wall across it.
    """
    slope = 1 / (BLUR_VOXELS * np.sqrt(2 * np.pi))
    low, high = 0.2, 0.6
    certain = int((blurred > high + slope).sum())
    near = blurred[(blurred > low - slope) & (blurred <= high + slope)]
    for _ in range(20):
        level = 0.5 * (low + high)
        enclosed = certain + np.clip((near - level) / slope + 0.5, 0, 1).sum(dtype=np.float64)
        low, high = (level, high) if enclosed > count else (low, level)
    return 0.5 * (low + high)
