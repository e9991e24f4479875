"""A store: created whole or not at all, written unit by unit, read frame by frame.

What lies in it is said by :mod:`ussim.dataset.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.abc.store import SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from ussim.dataset.checked_files import UnreadFiles
from ussim.dataset.digests import frame_digest
from ussim.dataset.layout import added_arrays, array_of, write_skeleton
from ussim.dataset.place import Place, Where, place_of
from ussim.dataset.schema import IMAGES, ArraySpec, Header, array_specs, digest_rows, frame_spec, read_header
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
        place: Where it lies.
        header: All settings it was made with.
        added: Arrays that others put beside its own, by name: who made each.
    """

    def __init__(self, place: Place, group: zarr.Group, header: Header):
        self.place = place
        self.header = header
        self._group, self._specs = group, array_specs(header)
        self._arrays = {name: array_of(group, name) for name in self._specs}
        found = added_arrays(set(place.folders()) - set(self._arrays), group)
        self.added = {name: str(array.attrs["made_by"]) for name, array in found.items()}
        self._arrays |= found
        self._shards: dict[str, frozenset[int]] = {}
        self._mask: np.ndarray | None = None
        self._digests: dict[int, np.ndarray] = {}

    # Opening and creating -------------------------------------------------------------------------
    @classmethod
    def open(cls, path: Where, mode: Literal["r", "r+"] = "r") -> Dataset:
        """Open a store.

        Args:
            path: Its folder or URL.
            mode: ``r`` to read, ``r+`` to write units.

        Raises:
            UssimError: No store there, a store of another schema, or a damaged one.
        """
        place = place_of(path)
        header = read_header(place)
        specs = array_specs(header) | {"": frame_spec(header.frames, header.image)}
        packings = {name: spec.packing for name, spec in specs.items()}
        config = {"array.write_empty_chunks": True}
        with zarr.config.set(config):  # taken over by each array: a chunk on disk then means "written"
            try:
                files = place.files(packings, read_only=mode == "r")
                group = zarr.open_group(files, mode=mode, zarr_format=3)
                dataset = cls(place, group, header)
            except (UssimError, MemoryError):
                raise
            except Exception as error:  # damaged metadata raise what they like
                raise UssimError(f"{place}: damaged store: {_one_line(error)}") from None
        for name, spec in array_specs(header).items():
            array = dataset._arrays[name]
            found = (array.shape, array.chunks, str(array.dtype), array.shards)
            wanted = (spec.shape, spec.chunks, spec.dtype, spec.shards)
            if found != wanted:
                raise UssimError(f"{place}: array {name!r} has shape, chunks, dtype, shards {found}, expected {wanted}")
        if mode == "r+":
            dataset._targets  # noqa: B018 - made now: Zarr's settings are those of all threads
        return dataset

    @classmethod
    def create(cls, path: Where, header: Header, poses: np.ndarray, mask: np.ndarray) -> Dataset:
        """Create an empty store. It appears whole or not at all, whoever else tries at the same time.

        Args:
            path: Folder or URL to create it at; nothing may be there.
            header: The attributes.
            poses: Probe → scene, mm, float64 of shape (N, 4, 4).
            mask: 1 inside the sector, uint8 of shape (H, W).

        Raises:
            StoreExistsError: The path is taken.
            UssimError: It cannot be written there.
        """
        place = place_of(path)
        if not place.create_whole(lambda store: write_skeleton(store, header, poses, mask)):
            raise StoreExistsError(f"{place} exists already")
        return cls.open(place, mode="r+")

    # What it holds --------------------------------------------------------------------------------
    @property
    def path(self) -> Path | str:
        """Its folder or URL."""
        return self.place.where

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes as plain data."""
        return self.header.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """SHA-256 of the attributes that decide what a store holds, as :attr:`~ussim.dataset.schema.Header.digest`."""
        return self.header.digest

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.header.frames

    def __len__(self) -> int:
        return self.header.frames

    @property
    def qualities(self) -> tuple[Literal["lq", "hq"], ...]:
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
        """Which work units are complete at this moment; bool of shape (units,).

        A flag that cannot be read, as a power cut may leave it, is none: the unit is rendered again.
        """
        done = np.zeros(self.header.units, bool)
        there = self._flags_there()
        if there:
            some = slice(min(there), max(there) + 1)  # those that are not there need not be looked for
            try:
                done[some] = self.read("done", some).astype(bool)
            except UssimError:
                done[there] = [self.is_done(unit) for unit in there]
        return done

    def _flags_there(self) -> list[int]:
        """Numbers of the units that have a flag, whatever it says."""
        names = [name.removeprefix("done/c/") for name in self.place.list("done/c")]
        return [int(name) for name in names if name.isdecimal() and int(name) < self.header.units]

    def is_done(self, unit: int) -> bool:
        """Whether a unit is complete at this moment, as :attr:`done` says of all."""
        try:
            return bool(self.read("done", unit))
        except UssimError:
            return False

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
            raise UssimError(f"{self.place} holds no {name!r}: it has {', '.join(self._arrays)}")
        return self._arrays[name]

    def __repr__(self) -> str:
        image = self.header.image
        return (
            f"Dataset({str(self.place)!r}: {self.frames} frames of {image.height} × {image.width}, "
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
        except (IndexError, UssimError):
            raise
        except Exception as error:  # codecs raise what they like: ValueError, RuntimeError, TypeError …
            where = "" if index is ... else f", frame {index}"
            raise UssimError(f"{self.place}: corrupt chunk in array {name!r}{where} ({_one_line(error)})") from None

    def read_frame(self, name: str, index: int) -> np.ndarray:
        """One frame of an image or map, of shape (H, W).

        Zarr takes a chunk that is not there for zeros; here it is an error.

        Raises:
            UssimError: The frame is corrupt or missing.
        """
        if not self.has_frame(name, index):
            raise UssimError(f"{self.place}: array {name!r} has no frame {index}: not rendered, or its chunk is lost")
        values = self.read(name, index)
        self._require_digest(name, index, values)
        return values

    def has_frame(self, name: str, index: int) -> bool:
        """Whether an image or map holds anything of a frame.

        Raises:
            UssimError: A shard that is corrupt.
        """
        spec = self.frame_spec(name)
        key, number = spec.place_of_frame(index)
        file = f"{name}/{key}"
        if spec.shards is None:
            return self.place.has(file)
        if file not in self._shards:
            found = self._read_index(file, spec)
            if not found:
                return False
            self._shards[file] = found  # it stays as it is: whoever writes a unit anew writes the same
        return number in self._shards[file]

    def frame_spec(self, name: str) -> ArraySpec:
        """What the schema says of an image or map, or of an array that others added."""
        return self._specs.get(name) or frame_spec(self.frames, self.header.image)

    def _read_index(self, file: str, spec: ArraySpec) -> frozenset[int]:
        """Numbers of the chunks in a shard."""
        wanted = SuffixByteRequest(spec.packing.index_bytes)
        try:
            end = sync(self._group.store.get(file, default_buffer_prototype(), wanted))
            return frozenset() if end is None else frozenset(spec.packing.in_shard(end.to_bytes()))
        except (OSError, ValueError) as error:
            raise UssimError(f"{self.place}: corrupt shard {file} ({_one_line(error)})") from None

    def _require_digest(self, name: str, index: int, values: np.ndarray) -> None:
        if self.has_digest(name) and not self.is_as_written(name, index, values):
            raise UssimError(f"{self.place}: array {name!r}, frame {index}: not what was written there")

    def has_digest(self, name: str) -> bool:
        """Whether the frames of an array have digests: those of added arrays and of ussim 0.1.0 have none."""
        return "digest" in self._arrays and name in digest_rows(self.header)

    def is_as_written(self, name: str, index: int, values: np.ndarray) -> bool:
        """Whether what an array holds of a frame has the digest that was written with it.

        Raises:
            UssimError: The digests are corrupt, or not written yet.
        """
        unit = index // self.header.unit_frames
        if unit not in self._digests:
            frames = self.header.unit_range(unit)
            digests = self.read("digest", slice(frames.start, frames.stop))
            if not digests.any():
                raise UssimError(f"{self.place}: frame {index} is not rendered yet, or its digest is lost")
            self._digests[unit] = digests
        row = digest_rows(self.header).index(name)
        wanted = self._digests[unit][index % self.header.unit_frames, row]
        return bool(np.array_equal(frame_digest(self._key, name, index, values), wanted))

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
        images: dict[str, np.ndarray] = {name: self.read_frame(name, index) for name in self.qualities}
        scale, pose = self.read("attenuation_scale", index), self._written_poses[index].copy()
        self._require_digest("attenuation_scale", index, scale)
        self._require_digest("pose", index, pose)
        return Frame(
            index=index,
            images=images,
            segmentation=self.read_frame("segmentation", index),
            attenuation=self.read_frame("attenuation", index).astype(np.float32),
            attenuation_scale=float(scale),
            mask=self.mask,
            pose=pose,
            is_test=bool(self._written_split[index]),
        )

    # Writing --------------------------------------------------------------------------------------
    def write_unit(self, unit: int, data: Mapping[str, np.ndarray]) -> None:
        """Write all frames of a work unit, wait until they are on the disk, then mark it done.

        Args:
            unit: Which unit.
            data: ``lq`` and ``hq`` (those the store holds), ``segmentation`` and ``attenuation``, each of
                shape (n, H, W), and ``attenuation_scale`` of shape (n,), for the n frames of the unit.

        Raises:
            OSError: The disk is full or fails; the unit is then not marked done.
            UssimError: A value that is not finite as it is stored; nothing is written.
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
        stored = {name: self._as_stored(unit, name, data[name]) for name in sorted(data)}
        flag, files = f"done/c/{unit}", [f"attenuation_scale/c/{unit}", f"digest/c/{unit}/0/0"]
        for name in (name for name in stored if name != "attenuation_scale"):
            files += dict.fromkeys(f"{name}/{self._specs[name].place_of_frame(frame)[0]}" for frame in frames)
        self.place.remove_leftovers([*files, flag])
        for name, values in stored.items():
            self._targets[name][rows] = values
        self._targets["digest"][rows] = self._digests_of(stored | {"pose": self._written_poses[rows]}, frames)
        self.place.flush(files)
        self._targets["done"][unit] = 1
        self.place.flush([flag])

    @cached_property
    def _targets(self) -> dict[str, zarr.Array]:
        """The arrays to write whole units to."""
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(UnreadFiles(self._group.store), mode="r+", zarr_format=3)
            return {name: array_of(group, name) for name in self._specs}

    def _digests_of(self, stored: Mapping[str, np.ndarray], frames: range) -> np.ndarray:
        """Digests of the frames of a unit, uint8 of shape (n, K, 16)."""
        names = digest_rows(self.header)
        return np.stack(
            [
                [frame_digest(self._key, name, frame, stored[name][number]) for name in names]
                for number, frame in enumerate(frames)
            ]
        )

    @cached_property
    def _key(self) -> str:
        return self.header.content_digest

    @cached_property
    def _written_poses(self) -> np.ndarray:
        return self.poses

    @cached_property
    def _written_split(self) -> np.ndarray:
        return self.split

    def _as_stored(self, unit: int, name: str, values: np.ndarray) -> np.ndarray:
        """Values in the type of their array, all of them finite."""
        dtype = self._arrays[name].dtype
        with np.errstate(over="ignore"):
            stored = values.astype(dtype, copy=False)
        if dtype.kind == "f" and not (finite := np.isfinite(stored)).all():
            value = values[~finite][0]
            raise UssimError(f"{self.place}: unit {unit}: {name} holds {value:g}; allowed: what is finite as {dtype}")
        return stored


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
