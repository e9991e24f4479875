"""What a reader of a volume file hands on, and what is refused before a file is unpacked."""

from __future__ import annotations

import contextlib
import math
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ussim.errors import UssimError

MOST_VOXELS = 512 * 512 * 2048
"""Of a volume, counted before it is unpacked."""
SMALLEST_VOXEL_MM, LARGEST_VOXEL_MM = 1e-4, 1e3
_MOST_OBLONG = 100.0  # of two sides of a voxel
_FLATTEST = 0.02  # volume of a voxel as a share of that of a right-angled one: a tilt of 89°
_FARTHEST_MM = 1e5  # float32 steps by 8 µm there
MILLIMETRES = {
    "mm": 1.0,
    "cm": 10.0,
    "dm": 100.0,
    "m": 1000.0,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "nm": 1e-6,
    "in": 25.4,
}
MILLIMETRES |= {
    "millimeter": 1.0, "millimeters": 1.0, "millimetre": 1.0, "centimeter": 10.0, "meter": 1000.0, "metre": 1000.0,
    "micron": 1e-3, "micrometer": 1e-3, "micrometre": 1e-3, "inch": 25.4,
}  # fmt: skip
"""Units of length by the names that headers give them."""
NO_UNIT = "its header states no unit: millimetres assumed"
NO_ORIENTATION = (
    "its header states no orientation: assumed that its axes run to the right, to the front and up, with the first "
    "voxel at 0"
)


@dataclass(frozen=True, eq=False)
class RawVolume:
    """A volume as its file has it.

    Attributes:
        data: (I, J, K) numbers as stored; a voxel's value is data · slope + intercept.
        to_mm: (4, 4) voxel index → mm: x right, y front, z up.
        slope: See data.
        intercept: See data.
        names: Names of labels, as the file gives them.
        notes: One clause each on what was assumed.
    """

    data: np.ndarray = field(repr=False)
    to_mm: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0
    names: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def one_line_errors(path: Path, what: str) -> Iterator[None]:
    """Whatever a library raises becomes one line, and whatever it would print or warn of is kept off the screen.

    Args:
        path: The file.
        what: Its format, for the message.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except UssimError:
        raise
    except Exception as error:  # a broken file shows in as many ways as there are
        reason = (str(error).strip().split("\n")[0] or "no reason given")[:200]
        raise UssimError(f"{path}: cannot be read as {what}: {type(error).__name__}: {reason}") from None


def require_file(path: Path) -> None:
    """Refuse what is no file to read to its end: a pipe, a device.

    Raises:
        UssimError: No such file, or no regular one.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UssimError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UssimError(f"{path}: cannot be read: {error}") from None
    if not stat.S_ISREG(mode):
        raise UssimError(f"{path}: is no regular file; allowed: a file or a folder of masks")


def require_data_file(path: Path, name: str) -> Path:
    """The file of a detached header's voxels; it must lie beside the header, or below.

    Raises:
        UssimError: It lies elsewhere, or is no regular file.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UssimError(f"{path}: its voxels are in {name[:80]}; allowed: a file in the folder of the header")
    require_file(path.parent / name)
    return path.parent / name


def require_voxels(path: Path, shape: Sequence[int]) -> None:
    """Refuse too many voxels, or none, before they are read: what is packed may unfold a thousandfold.

    Raises:
        UssimError: As said.
    """
    sides = " × ".join(str(int(side)) for side in shape)
    if not shape or min(shape) < 1:
        raise UssimError(f"{path}: {sides or 'no'} voxels; allowed: at least 1 along each axis")
    if math.prod(int(side) for side in shape) > MOST_VOXELS:
        raise UssimError(f"{path}: {sides} voxels; allowed: at most {MOST_VOXELS:,}; crop it, or use larger voxels")


def three_axes(path: Path, data: np.ndarray) -> np.ndarray:
    """The data without further axes of one.

    Raises:
        UssimError: There are not three axes.
    """
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise UssimError(f"{path}: {data.ndim} axes of {data.shape} voxels; allowed: a volume of three axes")
    return data


def require_geometry(path: Path, to_mm: np.ndarray) -> None:
    """Refuse voxels that cannot be.

    Raises:
        UssimError: Sides that are 0, no numbers or absurd, axes along one another, or a place far off.
    """
    with np.errstate(all="ignore"):
        sides = np.linalg.norm(to_mm[:3, :3], axis=0)
        told = " × ".join(f"{side:.4g}" for side in sides)
        if not ((sides >= SMALLEST_VOXEL_MM) & (sides <= LARGEST_VOXEL_MM)).all():
            raise UssimError(
                f"{path}: voxels of {told} mm; allowed: {SMALLEST_VOXEL_MM:g} to {LARGEST_VOXEL_MM:g} mm; its affine "
                "or its unit is wrong"
            )
        if sides.max() > _MOST_OBLONG * sides.min():
            raise UssimError(f"{path}: voxels of {told} mm; allowed: sides that differ {_MOST_OBLONG:g}-fold at most")
        if not abs(np.linalg.det(to_mm[:3, :3] / sides)) > _FLATTEST:
            raise UssimError(f"{path}: its affine is singular; allowed: one that maps voxels to space")
        if not (np.abs(to_mm[:3, 3]) <= _FARTHEST_MM).all():
            place = ", ".join(f"{one:.4g}" for one in to_mm[:3, 3])
            raise UssimError(f"{path}: its first voxel is at [{place}] mm; allowed: at most {_FARTHEST_MM:g} mm from 0")


def affine(directions: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """(4, 4) from the steps along the axes, the columns of (3, 3), and the place of the first voxel."""
    to_mm = np.eye(4)
    to_mm[:3, :3], to_mm[:3, 3] = directions, origin
    return to_mm


def slabs(data: np.ndarray, voxels: int = 1 << 20) -> Iterator[tuple[slice, np.ndarray]]:
    """Pieces of a volume along its last axis, each of about a million voxels, with their place."""
    step = max(1, voxels // max(1, data[..., 0].size))
    for start in range(0, data.shape[-1], step):
        part = slice(start, start + step)
        yield part, data[..., part]


Reader = Callable[[Path], RawVolume]
