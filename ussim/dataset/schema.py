"""What a dataset holds: a Zarr v3 group of paired images, maps and poses, and everything they were made with.

Schema version 2, N frames of H × W pixels in units of ``unit_frames`` consecutive frames:

    lq, hq             (N, H, W) uint8      the images of a frame share pose, seed and scatterers
    segmentation       (N, H, W) uint8      tissue id, table in the attributes; 0 outside the sector
    attenuation        (N, H, W) float16    a(z) / attenuation_scale
    attenuation_scale  (N,)      float32    normaliser of each frame
    mask               (H, W)    uint8      1 inside the sector
    pose               (N, 4, 4) float64    probe → scene, mm
    split              (N,)      uint8      0 train, 1 test
    scene              (N,)      uint16     which of several scenes, table in the attributes; absent if there is one
    digest             (N, K, 16) uint8     of each frame in each of the K per-frame arrays, :func:`digest_rows`
    done               (units,)  uint8      1 once a unit is complete; written last

The attribute ``sha256`` is the digest of all others. Version 1, of ussim 0.1.0, had neither digest; it can be read.

A chunk is one frame, zstd level 1 with a CRC-32C. In a sharded store the frames of a unit are one file in each of
the large arrays. A unit is written whole by one process, so several processes may fill one store. Nothing in a store
depends on the clock or the order of writing: on one machine, with the same versions of what renders, the same settings
give the same bytes. Another CPU or another NumPy or Numba rounds otherwise, so that some pixels differ; the attributes
say which they were.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationInfo,
    model_serializer,
)

from ussim.dataset.digests import ATTRIBUTES_DIGEST, DIGEST_BYTES, attributes_digest
from ussim.dataset.machine import Machine
from ussim.dataset.packing import Packing
from ussim.dataset.place import Where, place_of
from ussim.errors import UssimError
from ussim.probe.imaging import Imaging
from ussim.probe.probe import KINDS, Probe
from ussim.probe.quality import IMAGES, Quality
from ussim.probe.retired import without_retired
from ussim.scene.tissue import Tissue
from ussim.settings import any_of, validated

if TYPE_CHECKING:
    from ussim.scene.scene import Scene

SCHEMA_VERSION = 2

PHYSICS_VERSION = 2
"""Raised when the same settings come to give other images, which may not stand in one store. 1: a scanline is a pencil
(0.1.0). 2: it is an aperture's."""

MAPS = ("segmentation", "attenuation")

TEST_SHARE = 669 / 6669
"""Share of the frames held out as test set: the paper's."""


MOST_FRAMES = 10**6
MOST_UNIT_FRAMES = 10**4
MOST_SCENES = 65536
LARGEST_SEED = 2**32 - 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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

    height: int = Field(ge=1, le=8192)
    width: int = Field(ge=1, le=8192)
    mm_per_pixel: float = Field(gt=0)
    origin_mm: tuple[float, float]

    @classmethod
    def of_probe(cls, probe: Probe) -> ImageGeometry:
        """That of a probe's images."""
        height, width = probe.image_shape
        return cls(height=height, width=width, mm_per_pixel=probe.mm_per_pixel, origin_mm=probe.image_origin_mm)


class _OutsideRow(_Part):
    """The row of a tissue table that is no tissue."""

    id: Literal[0]
    name: str
    color: str = Field(pattern="^#[0-9a-f]{6}$")


_Fields = dict[str, Any]


def _like(model: type) -> Callable[[_Fields], _Fields]:
    """A check that settings fit their model; what it gives is plain data, and complete."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    return lambda fields: adapter.dump_python(adapter.validate_python(fields), mode="json")


_tissue, _outside = _like(Tissue), _like(_OutsideRow)


def _settings(section: str, check: Callable[[_Fields], _Fields]) -> Any:
    """The check of settings in a header. Those of an earlier physics stay as they are, retired ones among them, and get
    none that came later: their digest is what it was."""

    def check_settings(fields: _Fields, info: ValidationInfo) -> _Fields:
        if info.data.get("physics_version") == PHYSICS_VERSION:
            return check(fields)
        check(without_retired(section, fields))
        return fields

    return AfterValidator(check_settings)


def _probe(fields: _Fields) -> _Fields:
    if fields.get("kind") not in tuple(KINDS):  # it may be anything, also what has no hash
        raise ValueError(f"kind is {fields.get('kind')!r}; allowed: {any_of(KINDS)}")
    return _like(KINDS[fields["kind"]])(fields)


_probe_settings = _settings("probe", _probe)
_imaging_settings = _settings("imaging", _like(Imaging))
_quality_settings = _settings("hq", _like(Quality))


def _tissue_row(row: _Fields) -> _Fields:
    if row.get("id") == 0:
        return _outside(row)
    return {"id": row.get("id"), **_tissue({name: value for name, value in row.items() if name != "id"})}


def _numbered(rows: list[_Fields]) -> list[_Fields]:
    ids = [row.get("id") for row in rows]
    if ids != list(range(len(rows))):
        raise ValueError(f"ids must be 0, 1, 2 and so on without a gap, not {', '.join(map(str, ids[:8]))}")
    return rows


class Header(_Part):
    """The attributes of a store: with its scene, enough to render it again.

    Attributes:
        schema_version: Version of this schema.
        physics_version: Version of the physics that rendered it; 1 is not in the attributes.
        ussim_version: Version of the program that made the store.
        scene: The scene's name and digest.
        sweep: Name of the sweep that gave the poses.
        frames: Number of frames.
        unit_frames: Frames in a work unit.
        seed: Seed of the random numbers.
        split_seed: Seed of the train/test split.
        backend: What began it, ``cpu`` or ``cuda``: both make the same pixels.
        image: The pixel grid.
        probe: Settings of the probe; ``kind`` names its class.
        imaging: Imaging settings.
        qualities: Quality settings by image name.
        tissues: One row for each id in ``segmentation``: id, name, colour and acoustic parameters.
        tgc_db: Time-gain compensation of each axial sample [dB].
        scenes: The scenes of a store of several; empty if there is one, and then not in the attributes.
        machine: Versions and CPU of whoever began the store; absent in stores of ussim 0.1.0.
        sharded: Whether all frames of a unit lie in one file; only if so in the attributes.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    physics_version: int = Field(default=1, ge=1, le=PHYSICS_VERSION)
    ussim_version: str
    scene: SceneReference
    sweep: str
    frames: int = Field(ge=1, le=MOST_FRAMES)
    unit_frames: int = Field(ge=1, le=MOST_UNIT_FRAMES)
    seed: int = Field(ge=0, le=LARGEST_SEED)
    split_seed: int = Field(ge=0, le=LARGEST_SEED)
    backend: str
    image: ImageGeometry
    probe: Annotated[_Fields, _probe_settings]
    imaging: Annotated[_Fields, _imaging_settings]
    qualities: dict[Literal["lq", "hq"], Annotated[_Fields, _quality_settings]] = Field(min_length=1)
    tissues: Annotated[
        list[Annotated[_Fields, AfterValidator(_tissue_row)]],
        Field(min_length=1, max_length=256),
        AfterValidator(_numbered),
    ]
    tgc_db: list[FiniteFloat] = Field(max_length=65536)
    scenes: list[SceneRow] = Field(default=[], max_length=MOST_SCENES)
    machine: Machine | None = None
    sharded: bool = False

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A store of one scene, or of an earlier version, reads as it always did."""
        fields = handler(self)
        if not self.scenes:
            fields.pop("scenes", None)
        if self.machine is None:
            fields.pop("machine", None)
        if self.physics_version == 1:
            fields.pop("physics_version", None)
        if not self.sharded:
            fields.pop("sharded", None)
        return fields

    @property
    def digest(self) -> str:
        """SHA-256 of what decides the content of a store: all but the machine and how it lies in files."""
        fields = self.model_dump(mode="json", exclude={"machine", "sharded"})
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    @property
    def content_digest(self) -> str:
        """SHA-256 of what decides the frames: as :attr:`digest`, but for the backend, as all make the same."""
        fields = self.model_dump(mode="json", exclude={"machine", "sharded", "backend"})
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

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
    """What the schema says of one array; ``shards`` is None if every chunk has a file of its own."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...]
    shards: tuple[int, ...] | None = None

    @property
    def per_frame(self) -> bool:
        """Whether each chunk is one frame."""
        return self.dimensions == ("frame", "y", "x")

    @property
    def chunk_keys(self) -> list[str]:
        """Relative path of every file of chunks, in C order: ``c/3/0/0``."""
        return ["/".join(["c", *map(str, index)]) for index in np.ndindex(*self.files)]

    @property
    def files(self) -> tuple[int, ...]:
        """How many files of chunks there are along each dimension."""
        return tuple(math.ceil(size / part) for size, part in zip(self.shape, self.shards or self.chunks, strict=True))

    @property
    def packing(self) -> Packing:
        """What each of them holds."""
        size = math.prod(self.chunks) * np.dtype(self.dtype).itemsize
        return Packing(size, math.prod(self.shards) // math.prod(self.chunks) if self.shards else 0)

    def place_of_frame(self, frame: int) -> tuple[str, int]:
        """In which file a frame of an image or map lies, ``c/3/0/0``, and as which chunk of a shard."""
        file, number = divmod(frame, self.shards[0] if self.shards else 1)
        return f"c/{file}/0/0", number

    def frames_of_file(self, file: str) -> range:
        """Frames that a file may hold."""
        many = self.shards[0] if self.shards else 1
        start = int(file.split("/")[1]) * many
        return range(start, min(start + many, self.shape[0]))


def frame_spec(frames: int, image: ImageGeometry, dtype: str = "uint8", shard: int = 0) -> ArraySpec:
    """An image or map of every frame, so many in a shard; one of uint8 is also what others may add to a store."""
    shape = (image.height, image.width)
    shards = (shard, *shape) if shard else None
    return ArraySpec((frames, *shape), (1, *shape), dtype, ("frame", "y", "x"), shards)


def array_specs(header: Header) -> dict[str, ArraySpec]:
    """The arrays of a store with these attributes, by name."""
    n, height, width = header.frames, header.image.height, header.image.width
    shard = min(header.unit_frames, n) if header.sharded else 0
    types = dict.fromkeys((*IMAGES, *MAPS), "uint8") | {"attenuation": "float16"}
    specs: dict[str, ArraySpec] = {
        name: frame_spec(n, header.image, dtype, shard)
        for name, dtype in types.items()
        if name in header.qualities or name in MAPS
    }
    # one chunk a unit: two processes never touch the same chunk
    specs["attenuation_scale"] = ArraySpec((n,), (min(header.unit_frames, n),), "float32", ("frame",))
    specs["mask"] = ArraySpec((height, width), (height, width), "uint8", ("y", "x"))
    specs["pose"] = ArraySpec((n, 4, 4), (n, 4, 4), "float64", ("frame", "row", "column"))
    specs["split"] = ArraySpec((n,), (n,), "uint8", ("frame",))
    if header.scenes:
        specs["scene"] = ArraySpec((n,), (n,), "uint16", ("frame",))
    if header.schema_version > 1:
        row = (len(digest_rows(header)), DIGEST_BYTES)
        chunk = (min(header.unit_frames, n), *row)
        specs["digest"] = ArraySpec((n, *row), chunk, "uint8", ("frame", "array", "byte"))
    specs["done"] = ArraySpec((header.units,), (1,), "uint8", ("unit",))
    return specs


def digest_rows(header: Header) -> tuple[str, ...]:
    """The arrays whose frames have digests, in the order of the second axis of ``digest``."""
    return (*(name for name in IMAGES if name in header.qualities), *MAPS, "attenuation_scale", "pose")


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


def read_header(where: Where) -> Header:
    """The attributes of a store, checked.

    Raises:
        UssimError: No store there, a store of another schema, or attributes that do not fit it.
    """
    place = place_of(where)
    data = place.read("zarr.json")
    if data is None:
        raise UssimError(f"{place}: {place.absence()}")
    try:
        attributes = json.loads(data)["attributes"]
        version = attributes["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UssimError(f"{place}: not a ussim store (zarr.json holds no schema_version)") from None
    if version not in range(1, SCHEMA_VERSION + 1) or isinstance(version, bool):
        raise UssimError(f"{place}: schema version {version!r}; this ussim reads versions 1 to {SCHEMA_VERSION}")
    others = {name: value for name, value in attributes.items() if version == 1 or name != ATTRIBUTES_DIGEST}
    header = validated(Header, others, f"{place}: damaged attributes: ")
    if version > 1 and attributes.get(ATTRIBUTES_DIGEST) != attributes_digest(attributes):
        raise UssimError(f"{place}: damaged attributes: not those that were written, which have another digest")
    return header


def tissue_table(scene: Scene) -> list[dict[str, Any]]:
    """One row for each value in a segmentation: id, name, colour, acoustic parameters. Id 0 is no tissue."""
    rows = [{"id": 0, "name": "outside the sector", "color": "#000000"}]
    rows += [{"id": index, **asdict(tissue)} for index, tissue in enumerate(scene.media, start=1)]
    return rows
