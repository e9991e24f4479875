"""A labelled volume → closed, smooth, overlapping surfaces, one for each label.

Labels share their walls exactly, and smoothed apart they would leave slivers. So only one of two neighbours
keeps the wall between them, the one of higher priority; the other one reaches DEPTH beneath it. With φ_L the signed
distance of the label, φ_U that of the label united with all of higher priority (negative inside), the surface is

    max(φ_L − DEPTH, φ_U + clip(φ_L − φ_U, 0, RECESS)) = 0

which is the label's own wall where it borders on what is lower, lies DEPTH deep in what is higher, and stays RECESS
inside of the walls of what is higher where those border on something else. The two walls part at 45° where they meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import manifold3d
import numpy as np
from scipy import ndimage
from scipy.special import ndtri
from skimage.measure import marching_cubes

from meshes.importing.label_map import Label
from meshes.importing.volumes.raw import slabs
from meshes.importing.volumes.volume import LabelVolume
from meshes.shapes.mesher import Mesh, to_mesh, without_pinches, without_specks
from ussim.errors import UssimError

BLUR_VOXELS = 1.3
"""Standard deviation of the blur of a label along each axis: takes the steps of the voxels away."""
# Where a label is too thin for that, it is blurred less: a sheet of one voxel keeps two thirds of its height.
_THIN_BLUR_VOXELS = 0.5
_THICK = 0.56  # the blur leaves this much in the middle of a sheet of two voxels
_THIN_SHARE = 0.02
_DEPTH_STEPS = 2.0  # how far a surface reaches beneath its neighbour of higher priority, in steps of the grid
_RECESS_STEPS = 1.0
_ROUGH_STEPS = 0.6
_MOST_CELLS = 8_000_000  # of the grid on which one surface is made: about 300 MB while it is
_SIMPLIFY_STEPS = 0.08  # simplification moves no surface by more than this share of the grid's step
_BODY_VOXELS = 4  # a separate body of fewer voxels is a speck
_SMALLEST_PIECE = 0.3  # volume of a separate piece of a surface, in cubes of the grid


def order_labels(volume: LabelVolume, labels: Sequence[Label]) -> list[Label]:
    """The labels from the lowest to the highest priority.

    Given priorities count first. Without them, what fills the larger space once its hollows are filled is lower: a body
    comes below the organs in it even if it is a shell that is thinner than they are.

    Raises:
        UssimError: Two labels that touch have the same given priority, or only some have one.
    """
    numbered = _Numbered.of(volume, labels)
    numbers = {label.value: number for number, label in enumerate(labels, start=1)}
    given = [label for label in labels if label.priority is not None]
    if given and len(given) < len(labels):
        missing = next(label for label in labels if label.priority is None)
        raise UssimError(f"label {missing.value} has no priority, but {given[0].value} has: give one to all or to none")
    if given:
        for one, other in combinations(labels, 2):
            if one.priority == other.priority and numbered.touch(numbers[one.value], numbers[other.value]):
                raise UssimError(
                    f"priority = {one.priority} of both label {one.value} and {other.value}, which touch; allowed: "
                    "different ones"
                )
        return sorted(labels, key=lambda label: (label.priority, label.value))
    size = {value: numbered.filled_voxels(number) for value, number in numbers.items()}
    return sorted(labels, key=lambda label: (-size[label.value], label.value))


def labelled_extent(volume: LabelVolume, labels: Sequence[Label]) -> np.ndarray:
    """(3,) voxels from the first to the last of all labels together, along each axis."""
    boxes = _Numbered.of(volume, labels).boxes[1:]
    return np.array(
        [max(side.stop for side in axis) - min(side.start for side in axis) for axis in zip(*boxes, strict=True)]
    )


@dataclass(frozen=True, eq=False)
class _Numbered:
    """A volume in which labels that form one surface have one number, from 1 in their order; 0 is all else.

    Attributes:
        voxels: (I, J, K) uint8 or uint16.
        boxes: Around each number, from 1 on; the first entry is of none.
    """

    voxels: np.ndarray = field(repr=False)
    boxes: tuple[tuple[slice, ...], ...]

    @classmethod
    def of(cls, volume: LabelVolume, labels: Sequence[Label]) -> _Numbered:
        """Number the voxels of a volume."""
        stored = [
            (volume.number_of.get(value, value), number)
            for number, label in enumerate(labels, start=1)
            for value in label.values
        ]
        most = max([int(volume.labels.max()), *(value for value, _ in stored)])
        table = np.zeros(most + 1, np.uint8 if len(labels) < 256 else np.uint16)
        for value, number in stored:
            table[value] = number
        voxels = np.empty(volume.labels.shape, table.dtype, order="F")
        for part, slab in slabs(volume.labels):
            voxels[..., part] = table[slab]
        found = ndimage.find_objects(voxels, len(labels))
        for label, box in zip(labels, found, strict=True):
            if box is None:
                raise UssimError(f"{volume.path} has no label {label.value}")
        return cls(voxels, ((), *found))

    def box(self, number: int, margin: Iterable[int] = (0, 0, 0)) -> tuple[slice, ...]:
        """The box around a label, wider by a margin of voxels along each axis, cut to the volume."""
        return tuple(
            slice(max(side.start - more, 0), min(side.stop + more, size))
            for side, size, more in zip(self.boxes[number], self.voxels.shape, margin, strict=True)
        )

    def touch(self, one: int, other: int) -> bool:
        """True if two labels have voxels side by side."""
        voxels = self.voxels[self.box(one, (1, 1, 1))]
        return bool((ndimage.binary_dilation(voxels == one) & (voxels == other)).any())

    def filled_voxels(self, number: int) -> int:
        """Voxels of a label with what it encloses, also where the edge of the volume cuts it open."""
        box = self.box(number)
        cells = np.prod([side.stop - side.start for side in box], dtype=float)
        stride = int(np.ceil((cells / _MOST_CELLS) ** (1 / 3)))  # an estimate will do
        mask = self.voxels[tuple(slice(side.start, side.stop, stride) for side in box)] == number
        return int((mask | _enclosed(mask)).sum()) * stride**3

    def cut_by_the_edge(self, number: int) -> bool:
        """True if a label has voxels at the edge of the volume."""
        box = self.boxes[number]
        sides = zip(box, self.voxels.shape, strict=True)
        return any(side.start == 0 or side.stop == size for side, size in sides)


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
        thin_share: Share of its voxels where the label is thinner than two voxels.
        is_cut: The edge of the volume cuts it; it is closed there.
    """

    label: Label
    mesh: Mesh
    dropped_mm3: float
    step_mm: float
    thin_share: float = 0.0
    is_cut: bool = False


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
    numbered = _Numbered.of(volume, ordered)
    made = []
    for number, label in enumerate(ordered, start=1):
        say(f"surface {number} of {len(ordered)}: {label.name}")
        made.append(_surface(volume, numbered, number, label))
    return made


def _surface(volume: LabelVolume, numbered: _Numbered, number: int, label: Label) -> LabelSurface:
    grid = _Grid.around(volume, numbered, number)
    own, dropped = _without_specks(grid.labels == number, grid.voxel_mm)
    united = own | (grid.labels > number)
    has_neighbours = bool((united != own).any())
    wall = grid.wall(own, far=has_neighbours)
    own_mm = wall.distance
    if has_neighbours:
        united_mm = grid.wall(united, may_be_thin=wall.thin_share > 0).distance
        most = _RECESS_STEPS * grid.step_mm
        # A thin label's own wall is rough: beside a smooth one that is its wall too, it would seem to lie within it.
        rough = _ROUGH_STEPS * grid.step_mm * wall.thin
        recess = np.clip(own_mm - united_mm - rough, 0, most)
        value = np.maximum(own_mm - _DEPTH_STEPS * grid.step_mm, united_mm + recess)
        # What the label encloses is filled as far as it is of higher priority: no ray sees a wall in there.
        filled_mm = grid.rough_distance(own | _enclosed(own))
        value = np.minimum(value, np.maximum(filled_mm, united_mm + most))
    else:
        value = own_mm
    mesh = grid.surface(value, label)
    return LabelSurface(label, mesh, dropped, grid.step_mm, wall.thin_share, numbered.cut_by_the_edge(number))


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
class _Wall:
    """The wall of a mask.

    Attributes:
        distance: Signed distance to it at the points of a grid, mm, negative inside; float32.
        thin: From 0 to 1 at the points of the grid: is the mask thinner than two voxels there?
        thin_share: Share of the mask's voxels where it is.
    """

    distance: np.ndarray
    thin: np.ndarray | float
    thin_share: float


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
    def around(cls, volume: LabelVolume, numbered: _Numbered, number: int) -> _Grid:
        """The grid for one label: as fine as its finest voxel side, coarser where that would be too much."""
        sides = volume.voxel_mm
        tight = np.array([side.stop - side.start for side in numbered.boxes[number]])
        room = np.prod((tight + 12) * sides)
        step = max(float(sides.min()), float((room / _MOST_CELLS) ** (1 / 3)))
        # What lies further off than the surface can reach has no say in it; beyond that, nothing, so that whatever the
        # edge of the volume cuts open is closed there.
        box = numbered.box(number, np.ceil((_DEPTH_STEPS + 2) * step / sides).astype(int) + 2)
        # Voxels that are much finer than the grid are thinned out: the memory is the grid's, however many there are.
        stride = np.maximum(np.rint(step / sides).astype(int), 1)
        sides = sides * stride
        rim = np.ceil(2.5 * step / sides).astype(int) + 3
        thinned = tuple(slice(side.start, side.stop, by) for side, by in zip(box, stride, strict=True))
        labels = np.pad(numbered.voxels[thinned], np.stack([rim, rim], axis=1))
        extent = (np.array(labels.shape) - 1) * sides
        origin = np.array([side.start for side in box]) - rim * stride
        to_mm = volume.to_mm @ np.block([[np.diag(stride), origin[:, None]], [np.zeros(3), 1.0]])
        shape = tuple(int(size) for size in np.floor(extent / step + 1e-6).astype(int) + 1)
        return cls(labels, sides, step, shape, to_mm)

    def wall(self, mask: np.ndarray, far: bool = False, may_be_thin: bool = True) -> _Wall:
        """The smoothed wall of a mask.

        The distance is that of the blurred mask, relative to the level at which it encloses the volume of its voxels:
        to a flat wall the blurred mask is the normal distribution of the distance. That holds for two steps of the grid
        to both sides; beyond, it stays at two steps, or with ``far`` is the distance to the nearest point inside.
        """
        blurred, thin, thin_share = _blurred(mask, may_be_thin)
        level = _level(blurred, int(mask.sum()))
        fine = self._at_points(blurred)
        bent = ndtri(np.clip(fine, 1e-4, 1 - 1e-4)) - np.float32(ndtri(level))
        slope = np.sqrt(sum(part**2 for part in np.gradient(bent, self.step_mm)))
        reach = 2 * self.step_mm
        distance = np.clip(-bent / np.maximum(slope, 0.1 / self.step_mm), -reach, reach).astype(np.float32)
        if thin_share > _THIN_SHARE:
            distance += self._offset(distance, float(mask.sum() * np.prod(self.voxel_mm)))
        if far and (distance < 0).any():
            outside = (ndimage.distance_transform_edt(distance >= 0) - 0.5) * self.step_mm
            distance = np.where(outside > reach, outside, distance).astype(np.float32)
        return _Wall(distance, 0.0 if thin is None else self._at_points(thin), thin_share)

    def _offset(self, distance: np.ndarray, volume_mm3: float) -> np.float32:
        """What to add to a distance, mm, for its zero surface to enclose a volume.

        A sheet of a voxel or two has not the slope of a flat wall.
        """
        wanted = volume_mm3 / self.step_mm**3
        moved = 0.0
        for _ in range(3):
            field = distance / np.float32(self.step_mm) - np.float32(moved)
            if not field.min() < 0 < field.max():
                break
            vertices, triangles, _, _ = marching_cubes(field, 0.0, gradient_direction="descent")
            corners = vertices[triangles].astype(np.float64)
            across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            volume = (corners[:, 0] * across).sum() / 6
            moved += float(np.clip((wanted - abs(volume)) / (0.5 * np.linalg.norm(across, axis=1).sum()), -0.5, 0.5))
        return np.float32(-np.clip(moved, -0.5, 0.5) * self.step_mm)

    def rough_distance(self, mask: np.ndarray) -> np.ndarray:
        """As the distance of :meth:`wall` within a voxel of the wall, constant beyond."""
        blurred = ndimage.gaussian_filter(mask.astype(np.float32), BLUR_VOXELS, mode="constant")
        return (1 - 2 * self._at_points(blurred)) * np.float32(self.step_mm)

    def _at_points(self, voxels: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(
            voxels, self.step_mm / self.voxel_mm, output_shape=self.shape, order=1, mode="nearest"
        )

    def surface(self, value: np.ndarray, label: Label) -> Mesh:
        """The zero surface of a field on the grid, simplified, in mm.

        It is made in steps of the grid, so that a volume ten times as large gives the same shape ten times as large.
        """
        value = value / np.float32(self.step_mm)
        value[value == 0] = np.float32(1e-6)  # a zero at a grid point makes triangles without area
        if not value.min() < 0:
            raise UssimError(f"label {label.value} ({label.name}) is too small for a surface: ignore it")
        vertices, triangles, _, _ = marching_cubes(value, 0.0, gradient_direction="descent")
        directions = self.to_mm[:3, :3] / self.voxel_mm
        if np.linalg.det(directions) < 0:
            triangles = triangles[:, ::-1]
        points = (vertices @ directions.T).astype(np.float32)
        body = manifold3d.Manifold(manifold3d.Mesh(points, np.ascontiguousarray(triangles, dtype=np.uint32)))
        if body.status() != manifold3d.Error.NoError:
            raise UssimError(f"label {label.value} ({label.name}) gives no closed surface: {body.status().name}")
        simple = body.simplify(0.4 * _SIMPLIFY_STEPS).simplify(_SIMPLIFY_STEPS)
        pieces = [piece for piece in simple.decompose() if abs(piece.volume()) >= _SMALLEST_PIECE]
        if not pieces:
            raise UssimError(f"label {label.value} ({label.name}) is too small for a surface: ignore it")
        mesh = without_specks(without_pinches(to_mesh(manifold3d.Manifold.compose(pieces))))
        placed = mesh.vertices_mm.astype(np.float64) * self.step_mm + self.to_mm[:3, 3]
        return Mesh(placed.astype(np.float32), mesh.triangles)


def _blurred(mask: np.ndarray, may_be_thin: bool = True) -> tuple[np.ndarray, np.ndarray | None, float]:
    """The blurred mask, float32, blurred less where it is thinner than two voxels; where that is, and its share."""
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), BLUR_VOXELS, mode="constant")
    if not may_be_thin:
        return blurred, None, 0.0
    thick = ndimage.maximum_filter((blurred > _THICK).astype(np.uint8), 5)
    thin = mask & (thick == 0)
    count = int(thin.sum())
    if not count:
        return blurred, None, 0.0
    near = ndimage.maximum_filter(thin.astype(np.float32), 3)
    weight = np.clip(ndimage.gaussian_filter(near, 1.0, mode="constant"), 0, 1)
    narrow = ndimage.gaussian_filter(mask.astype(np.float32), _THIN_BLUR_VOXELS, mode="constant")
    return blurred + weight * (narrow - blurred), weight, count / int(mask.sum())


def _level(blurred: np.ndarray, count: int) -> float:
    """The level at which a blurred mask encloses as many voxels as the mask has; about 0.5, less where it is thin.

    What of a voxel lies inside is taken from the slope that the blur gives to a flat wall across it.
    """
    slope = 1 / (BLUR_VOXELS * np.sqrt(2 * np.pi))
    low, high = 0.2, 0.6
    certain = int((blurred > high + slope).sum())
    near = blurred[(blurred > low - slope) & (blurred <= high + slope)]
    for _ in range(13):
        level = 0.5 * (low + high)
        enclosed = certain + np.clip((near - level) / slope + 0.5, 0, 1).sum(dtype=np.float64)
        low, high = (level, high) if enclosed > count else (low, level)
    return 0.5 * (low + high)
