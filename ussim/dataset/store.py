"""The dataset on disk: a Zarr v3 group of paired images, maps and poses, and everything they were made with.

Schema version 1, N frames of H × W pixels in units of ``unit_frames`` consecutive frames:

    lq, hq             (N, H, W) uint8      the images of a frame share pose, seed and scatterers
    segmentation       (N, H, W) uint8      tissue id, table in the attributes; 0 outside the sector
    attenuation        (N, H, W) float16    a(z) / attenuation_scale
    attenuation_scale  (N,)      float32    normaliser of each frame
    mask               (H, W)    uint8      1 inside the sector
    pose               (N, 4, 4) float64    probe → scene, mm
    split              (N,)      uint8      0 train, 1 test
    scene              (N,)      uint16     which of several scenes, table in the attributes; absent if there is one
    done               (units,)  uint8      1 once a unit is complete; written last

A chunk is one frame, zstd level 1 with a CRC-32C. A unit is written whole by one process, so several
processes may fill one store. Nothing in a store depends on the clock, the machine or the order of writing:
the same settings give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from zarr.codecs import Crc32cCodec, ZstdCodec

from ussim.errors import UssimError

SCHEMA_VERSION = 1
TEST_SHARE = 669 / 6669
"""Share of the frames held out as test set: the paper's."""
IMAGES = ("lq", "hq")


class StoreExistsError(UssimError):
    """A store cannot be created because its path is taken."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SceneReference(_Part):
    """Which scene was rendered.

    Attributes:
        name: Its name.
        digest: SHA-256 over geometry, tissues, priorities and sweeps.
    """

    name: str
    digest: str


class SceneRow(_Part):
    """One of several scenes of a store, in the order of the ids in its array ``scene``.

    Attributes:
        seed: Seed of the anatomy.
        weeks: Gestational age.
        detail: How finely it is meshed.
        digest: SHA-256 of the scene.
    """

    seed: int
    weeks: float
    detail: str
    digest: str


class ImageGeometry(_Part):
    """The pixel grid of every image.

    Attributes:
        height: Rows [px].
        width: Columns [px].
        mm_per_pixel: Side of the square pixel [mm].
        origin_mm: (x, z) of the centre of pixel (0, 0) in the probe frame [mm].
    """

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    mm_per_pixel: float = Field(gt=0)
    origin_mm: tuple[float, float]


class Header(_Part):
    """The attributes of a store: with its scene, enough to render it again.

    Attributes:
        schema_version: Version of this schema.
        ussim_version: Version of the program that made the store.
        scene: The scene's name and digest.
        sweep: Name of the sweep that gave the poses.
        frames: Number of frames.
        unit_frames: Frames in a work unit.
        seed: Seed of the random numbers.
        split_seed: Seed of the train/test split.
        backend: What rendered it, ``cpu`` or ``cuda``: the two may differ by a grey level.
        image: The pixel grid.
        probe: Settings of the probe; ``kind`` names its class.
        imaging: Imaging settings.
        qualities: Quality settings by image name.
        tissues: One row for each id in ``segmentation``: id, name, colour and acoustic parameters.
        tgc_db: Time-gain compensation of each axial sample [dB].
        scenes: The scenes of a store of several; empty if there is one, and then not in the attributes.
    """

    schema_version: int = SCHEMA_VERSION
    ussim_version: str
    scene: SceneReference
    sweep: str
    frames: int = Field(ge=1)
    unit_frames: int = Field(ge=1)
    seed: int
    split_seed: int
    backend: str
    image: ImageGeometry
    probe: dict[str, Any]
    imaging: dict[str, Any]
    qualities: dict[str, dict[str, Any]] = Field(min_length=1)
    tissues: list[dict[str, Any]]
    tgc_db: list[float]
    scenes: list[SceneRow] = Field(default=[], max_length=65536)

    @model_serializer(mode="wrap")
    def _without_empty_table(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A store of one scene reads as it always did."""
        fields = handler(self)
        if not self.scenes:
            del fields["scenes"]
        return fields

    @property
    def units(self) -> int:
        """Number of work units."""
        return math.ceil(self.frames / self.unit_frames)

    def unit_range(self, unit: int) -> range:
        """Frames of a work unit."""
        start = unit * self.unit_frames
        return range(start, min(start + self.unit_frames, self.frames))


@dataclass(frozen=True)
class ArraySpec:
    """What the schema says of one array."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...]

    @property
    def per_frame(self) -> bool:
        """Whether each chunk is one frame."""
        return self.dimensions == ("frame", "y", "x")

    @property
    def chunk_keys(self) -> list[str]:
        """Relative path of every chunk, in C order: ``c/3/0/0``."""
        counts = [math.ceil(size / chunk) for size, chunk in zip(self.shape, self.chunks, strict=True)]
        return ["/".join(["c", *map(str, index)]) for index in np.ndindex(*counts)]


def array_specs(header: Header) -> dict[str, ArraySpec]:
    """The arrays of a store with these attributes, by name."""
    n, height, width = header.frames, header.image.height, header.image.width
    frame = ((n, height, width), (1, height, width))
    yx = ("frame", "y", "x")
    specs = {name: ArraySpec(*frame, "uint8", yx) for name in IMAGES if name in header.qualities}
    specs["segmentation"] = ArraySpec(*frame, "uint8", yx)
    specs["attenuation"] = ArraySpec(*frame, "float16", yx)
    # one chunk a unit: two processes never touch the same chunk
    specs["attenuation_scale"] = ArraySpec((n,), (min(header.unit_frames, n),), "float32", ("frame",))
    specs["mask"] = ArraySpec((height, width), (height, width), "uint8", ("y", "x"))
    specs["pose"] = ArraySpec((n, 4, 4), (n, 4, 4), "float64", ("frame", "row", "column"))
    specs["split"] = ArraySpec((n,), (n,), "uint8", ("frame",))
    if header.scenes:
        specs["scene"] = ArraySpec((n,), (n,), "uint16", ("frame",))
    specs["done"] = ArraySpec((header.units,), (1,), "uint8", ("unit",))
    return specs


def make_split(frames: int, seed: int) -> np.ndarray:
    """Train/test split by frame: 669 of 6669 frames are test, as in the paper.

    It depends on the two arguments alone: frames are ranked by a hash, because NumPy's generators may give
    another permutation in another version.

    Returns:
        0 for train, 1 for test; uint8 of shape (frames,).
    """
    keys = [hashlib.sha256(f"ussim split {seed} {frames} {frame}".encode()).digest() for frame in range(frames)]
    ranked = sorted(range(frames), key=keys.__getitem__)
    split = np.zeros(frames, np.uint8)
    split[ranked[: round(frames * TEST_SHARE)]] = 1
    return split


def spread_over_scenes(frames: int, scenes: int) -> np.ndarray:
    """Which scene each frame shows: as many frames of each as can be, those of a scene one after another.

    Returns:
        Scene numbers, never falling; uint16 of shape (frames,).
    """
    counts = [len(range(number, frames, scenes)) for number in range(scenes)]
    return np.repeat(np.arange(scenes, dtype=np.uint16), counts)


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


def read_header(path: Path) -> Header:
    """The attributes of a store, checked.

    Raises:
        UssimError: No store there, a store of another schema, or attributes that do not fit it.
    """
    if not path.is_dir():
        raise UssimError(f"{path}: no such store" if not path.exists() else f"{path}: not a store but a file")
    try:
        attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        version = attributes["schema_version"]
    except FileNotFoundError:
        raise UssimError(f"{path}: not a Zarr v3 store (no zarr.json in it)") from None
    except OSError as error:
        raise UssimError(f"{path}: cannot read zarr.json: {error.strerror or error}") from None
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
        raise UssimError(f"{path}: not a ussim store (zarr.json holds no schema_version)") from None
    if version != SCHEMA_VERSION:
        raise UssimError(f"{path}: schema version {version!r}; this ussim reads version {SCHEMA_VERSION}")
    try:
        return Header.model_validate(attributes)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UssimError(f"{path}: damaged attributes: {where}: {first['msg']}") from None


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
