"""A store on disk: created whole or not at all, written unit by unit, read frame by frame.

What lies in it is said by :mod:`ussim.dataset.schema`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from ussim.dataset.schema import IMAGES, Header, array_specs, make_split, read_header, spread_over_scenes
from ussim.errors import UssimError


class StoreExistsError(UssimError):
    """A store cannot be created because its path is taken."""


@dataclass(frozen=True)
class Frame:
    """One frame of a dataset, in memory.

    Attributes:
        index: Its number.
        images: The rendered images by name, uint8 of shape (H, W).
        segmentation: Tissue id of each pixel, uint8 of shape (H, W).
        attenuation: Normalised attenuation map, float32 of shape (H, W).
        attenuation_scale: Factor from ``attenuation`` to the physical a(z).
        mask: 1 inside the sector, uint8 of shape (H, W).
        pose: Probe → scene, mm, float64 of shape (4, 4).
        is_test: Whether the frame is held out for testing.
    """

    index: int
    images: Mapping[str, np.ndarray] = field(repr=False)
    segmentation: np.ndarray = field(repr=False)
    attenuation: np.ndarray = field(repr=False)
    attenuation_scale: float
    mask: np.ndarray = field(repr=False)
    pose: np.ndarray = field(repr=False)
    is_test: bool

    @property
    def lq(self) -> np.ndarray:
        """The low-quality image, uint8 of shape (H, W)."""
        return self._image("lq")

    @property
    def hq(self) -> np.ndarray:
        """The high-quality image, uint8 of shape (H, W)."""
        return self._image("hq")

    def _image(self, name: str) -> np.ndarray:
        if name not in self.images:
            raise UssimError(f"frame {self.index} has no {name} image: the store holds {', '.join(self.images)}")
        return self.images[name]


class Dataset:
    """A store of paired images.

    Use ``Dataset.open`` to read one; ``ussim render`` makes them.

    Attributes:
        path: The folder.
        header: All settings it was made with.
    """

    def __init__(self, path: Path, group: zarr.Group, header: Header):
        self.path = path
        self.header = header
        self._arrays = {name: group[name] for name in array_specs(header)}
        self._mask: np.ndarray | None = None

    # Opening and creating -------------------------------------------------------------------------
    @classmethod
    def open(cls, path: str | Path, mode: str = "r") -> Dataset:
        """Open a store.

        Args:
            path: Its folder.
            mode: ``r`` to read, ``r+`` to write units.

        Raises:
            UssimError: No store there, a store of another schema, or a damaged one.
        """
        path = Path(path)
        header = read_header(path)
        config = {"array.write_empty_chunks": True}
        with zarr.config.set(config):  # taken over by each array: a chunk on disk then means "written"
            try:
                group = zarr.open_group(path, mode=mode, zarr_format=3)
                dataset = cls(path, group, header)
            except (KeyError, ValueError, TypeError, OSError) as error:
                raise UssimError(f"{path}: damaged store: {_one_line(error)}") from None
        for name, spec in array_specs(header).items():
            array = dataset._arrays[name]
            found = (array.shape, array.chunks, str(array.dtype))
            if found != (spec.shape, spec.chunks, spec.dtype):
                wanted = (spec.shape, spec.chunks, spec.dtype)
                raise UssimError(f"{path}: array {name!r} has shape, chunks, dtype {found}, expected {wanted}")
        return dataset

    @classmethod
    def create(cls, path: str | Path, header: Header, poses: np.ndarray, mask: np.ndarray) -> Dataset:
        """Create an empty store. It appears whole or not at all, whoever else tries at the same time.

        Args:
            path: Folder to create; nothing may be there.
            header: The attributes.
            poses: Probe → scene, mm, float64 of shape (N, 4, 4).
            mask: 1 inside the sector, uint8 of shape (H, W).

        Raises:
            StoreExistsError: The path is taken.
            UssimError: The folder cannot be written.
        """
        path = Path(path)
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise StoreExistsError(f"{path} exists already")
        scratch = path.parent / f".{path.name}.{uuid.uuid4().hex}.partial"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_skeleton(scratch, header, poses, mask)
            _rename_to_new(scratch, path)
        except StoreExistsError:
            raise
        except OSError as error:
            raise UssimError(f"{path}: cannot create the store: {error.strerror or error}") from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return cls.open(path, mode="r+")

    # What it holds --------------------------------------------------------------------------------
    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes as plain data."""
        return self.header.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """SHA-256 of the attributes, which decide all that a store holds."""
        return hashlib.sha256(json.dumps(self.attrs, sort_keys=True).encode()).hexdigest()

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.header.frames

    def __len__(self) -> int:
        return self.header.frames

    @property
    def qualities(self) -> tuple[str, ...]:
        """Names of the images it holds, ``lq`` before ``hq``."""
        return tuple(name for name in IMAGES if name in self.header.qualities)

    @property
    def lq(self) -> zarr.Array:
        """Low-quality images, uint8 of shape (N, H, W)."""
        return self.array("lq")

    @property
    def hq(self) -> zarr.Array:
        """High-quality images, uint8 of shape (N, H, W)."""
        return self.array("hq")

    @property
    def segmentation(self) -> zarr.Array:
        """Tissue ids, uint8 of shape (N, H, W)."""
        return self.array("segmentation")

    @property
    def attenuation(self) -> zarr.Array:
        """Normalised attenuation maps, float16 of shape (N, H, W)."""
        return self.array("attenuation")

    @property
    def attenuation_scale(self) -> np.ndarray:
        """Normaliser of each attenuation map, float32 of shape (N,)."""
        return self.read("attenuation_scale")

    @property
    def mask(self) -> np.ndarray:
        """1 inside the sector, uint8 of shape (H, W)."""
        if self._mask is None:
            self._mask = self.read("mask")
            self._mask.flags.writeable = False
        return self._mask

    @property
    def poses(self) -> np.ndarray:
        """Probe → scene, mm, float64 of shape (N, 4, 4)."""
        return self.read("pose")

    @property
    def split(self) -> np.ndarray:
        """0 for train, 1 for test; uint8 of shape (N,)."""
        return self.read("split")

    @property
    def scene(self) -> np.ndarray:
        """Which row of ``header.scenes`` each frame shows, uint16 of shape (N,); zeros if there is one scene."""
        return self.read("scene") if self.header.scenes else np.zeros(self.frames, np.uint16)

    @property
    def done(self) -> np.ndarray:
        """Which work units are complete at this moment; bool of shape (units,)."""
        return self.read("done").astype(bool)

    @property
    def complete(self) -> bool:
        """Whether every work unit is done."""
        return bool(self.done.all())

    def array(self, name: str) -> zarr.Array:
        """The Zarr array of a name.

        Raises:
            UssimError: The store holds no such array.
        """
        if name not in self._arrays:
            raise UssimError(f"{self.path} holds no {name!r}: it has {', '.join(self._arrays)}")
        return self._arrays[name]

    def __repr__(self) -> str:
        image = self.header.image
        return (
            f"Dataset({str(self.path)!r}: {self.frames} frames of {image.height} × {image.width}, "
            f"{' + '.join(self.qualities)}, {self.done.sum()} of {self.header.units} units done)"
        )

    # Reading --------------------------------------------------------------------------------------
    def read(self, name: str, index: Any = ...) -> np.ndarray:
        """Part of an array, in memory.

        Args:
            name: Which array.
            index: A frame number, a slice or ``...`` for all of it.

        Raises:
            UssimError: No such array, or a chunk that is corrupt.
        """
        array = self.array(name)
        try:
            return np.asarray(array[index])
        except IndexError:
            raise
        except Exception as error:  # codecs raise what they like: ValueError, RuntimeError, TypeError …
            where = "" if index is ... else f", frame {index}"
            raise UssimError(f"{self.path}: corrupt chunk in array {name!r}{where} ({_one_line(error)})") from None

    def read_frame(self, name: str, index: int) -> np.ndarray:
        """One frame of an image or map, of shape (H, W).

        Zarr takes a chunk that is not there for zeros; here it is an error.

        Raises:
            UssimError: The frame is corrupt or missing.
        """
        if not (self.path / name / "c" / str(index) / "0" / "0").is_file():
            raise UssimError(f"{self.path}: array {name!r} has no frame {index}: not rendered, or its chunk is lost")
        return self.read(name, index)

    def frame(self, index: int) -> Frame:
        """All there is of one frame.

        Args:
            index: Its number; negative numbers count from the end.

        Raises:
            IndexError: No such frame.
            UssimError: The frame is not rendered yet, or corrupt.
        """
        if not -self.frames <= index < self.frames:
            raise IndexError(f"frame {index} of a dataset of {self.frames}")
        index %= self.frames
        return Frame(
            index=index,
            images={name: self.read_frame(name, index) for name in self.qualities},
            segmentation=self.read_frame("segmentation", index),
            attenuation=self.read_frame("attenuation", index).astype(np.float32),
            attenuation_scale=float(self.read("attenuation_scale", index)),
            mask=self.mask,
            pose=self.read("pose", index),
            is_test=bool(self.read("split", index)),
        )

    # Writing --------------------------------------------------------------------------------------
    def write_unit(self, unit: int, data: Mapping[str, np.ndarray]) -> None:
        """Write all frames of a work unit, then mark it done.

        Args:
            unit: Which unit.
            data: ``lq`` and ``hq`` (those the store holds), ``segmentation`` and ``attenuation``, each of
                shape (n, H, W), and ``attenuation_scale`` of shape (n,), for the n frames of the unit.

        Raises:
            OSError: The disk is full or fails; the unit is then not marked done.
            ValueError: The data do not fit the unit.
        """
        frames = self.header.unit_range(unit)
        rows = slice(frames.start, frames.stop)
        wanted = {*self.qualities, "segmentation", "attenuation", "attenuation_scale"}
        if set(data) != wanted:
            raise ValueError(f"unit {unit} needs {sorted(wanted)}, got {sorted(data)}")
        for name, values in data.items():
            shape = (len(frames), *self._arrays[name].shape[1:])
            if values.shape != shape:
                raise ValueError(f"unit {unit}: {name} has shape {values.shape}, expected {shape}")
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(f"unit {unit}: {name} is not finite")
        self._sweep_leftovers(frames, unit)
        for name in sorted(data):
            array = self._arrays[name]
            array[rows] = data[name].astype(array.dtype, copy=False)
        self._arrays["done"][unit] = 1

    def _sweep_leftovers(self, frames: range, unit: int) -> None:
        """Remove half-written files that a killed process left in a unit."""
        folders = [
            self.path / name / "c" / str(frame) / "0"
            for name, spec in array_specs(self.header).items()
            if spec.per_frame
            for frame in frames
        ]
        for folder in folders:
            for leftover in folder.glob("*.partial"):
                leftover.unlink(missing_ok=True)
        for name in ("attenuation_scale", "done"):
            for leftover in (self.path / name / "c").glob(f"{unit}.*.partial"):
                leftover.unlink(missing_ok=True)


def _write_skeleton(folder: Path, header: Header, poses: np.ndarray, mask: np.ndarray) -> None:
    """A store without frames."""
    attributes = json.loads(json.dumps(header.model_dump(mode="json"), sort_keys=True))
    known = {"pose": poses, "mask": mask, "split": make_split(header.frames, header.split_seed)}
    if header.scenes:
        known["scene"] = spread_over_scenes(header.frames, len(header.scenes))
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.create_group(folder, zarr_format=3, attributes=attributes)
        for name, spec in array_specs(header).items():
            array = group.create_array(
                name,
                shape=spec.shape,
                chunks=spec.chunks,
                dtype=spec.dtype,
                compressors=[ZstdCodec(level=1), Crc32cCodec()],
                filters=None,
                fill_value=0,
                dimension_names=spec.dimensions,
            )
            if name in known:
                array[...] = known[name]


def _rename_to_new(source: Path, target: Path) -> None:
    """Rename a folder to a path that is not taken: of several who try, one succeeds."""
    try:
        os.rename(source, target)
    except OSError as error:
        if target.exists():
            raise StoreExistsError(f"{target} exists already") from None
        raise error


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
