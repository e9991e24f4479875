"""Is a store what it says it is? Every chunk is read, its checksum compared and its values looked at."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ussim.dataset.claims import FOLDER as CLAIMS
from ussim.dataset.layout import create_array
from ussim.dataset.place import Where
from ussim.dataset.schema import ArraySpec, array_specs, frame_spec, make_split, spread_over_scenes
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.files import is_litter
from ussim.lock import PREFIX
from ussim.probe.probe import KINDS
from ussim.probe.retired import without_retired
from ussim.scratch import PARTIAL

ATTENUATION_LIMIT = 1.002
"""Largest physical a(z): 1, and the rounding of float16."""


@dataclass(frozen=True)
class AddedArray:
    """An array that somebody put beside those of the schema, and said so in its attributes.

    Attributes:
        name: Its name.
        made_by: Who.
        frames: Frames that it holds; it need not hold all.
    """

    name: str
    made_by: str
    frames: int


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        path: The store's folder or URL.
        problems: One line for each fault, worst first as far as one can tell: layout, then data.
        frames: Frames it is meant to hold.
        frames_done: Frames whose unit is marked done.
        chunks: Files of chunks that are there.
        bytes_on_disk: Size of all files.
        added: Arrays of others, checked like the store's own.
        litter: Files that operating systems, archivers, locks and claims leave: nobody's data, and no problem.
    """

    path: Path | str
    problems: list[str]
    frames: int
    frames_done: int
    chunks: int
    bytes_on_disk: int
    added: tuple[AddedArray, ...]
    litter: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the store is complete and sound."""
        return not self.problems


def verify(path: Where, progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Check a store: schema, attributes, checksum of every chunk, done flags, shapes and value ranges.

    Args:
        path: The store.
        progress: Told how many frames are checked, and of how many.

    Returns:
        Everything that is wrong with it.

    Raises:
        UssimError: There is no store of this schema at all.
    """
    dataset = Dataset.open(path)
    header = dataset.header
    specs = array_specs(header) | dict.fromkeys(dataset.added, frame_spec(header.frames, header.image))
    problems = [problem for name, spec in specs.items() for problem in _layout(dataset, name, spec)]
    sizes = dataset.place.sizes()
    files = set(sizes)
    chunks = {name for name in files if _is_chunk(name, specs)}
    strangers = files - chunks - {"zarr.json", *(f"{name}/zarr.json" for name in specs)}
    litter = {name for name in strangers if is_litter(Path(name)) or name.startswith((PREFIX, f"{CLAIMS}/"))}
    problems += _strangers(strangers - litter, set(specs))
    problems += _small_arrays(dataset, chunks)

    done = _done_flags(dataset, chunks, problems)
    finished = np.repeat(done, header.unit_frames)[: header.frames]
    problems += _unfinished(done, dataset)
    scale = _attenuation_scale(dataset, finished, problems)
    mask = _read(dataset, "mask", ..., problems)
    if mask is not None and scale is not None:
        problems += _small_digests(dataset, finished, scale)
        problems += _frames(dataset, finished, chunks, mask, scale, progress or (lambda done, total: None))
    return Verdict(
        path=dataset.path,
        problems=list(dict.fromkeys(problems)),
        frames=header.frames,
        frames_done=int(finished.sum()),
        chunks=len(chunks),
        bytes_on_disk=sum(sizes.values()),
        added=tuple(
            AddedArray(name, maker, sum(chunk.startswith(f"{name}/") for chunk in chunks))
            for name, maker in dataset.added.items()
        ),
        litter=tuple(sorted(litter)),
    )


# Layout -----------------------------------------------------------------------------------------------


def _layout(dataset: Dataset, name: str, spec: ArraySpec) -> list[str]:
    """What an array's metadata say otherwise than those of an array that is made here."""

    def plain(metadata: dict[str, Any], key: str) -> Any:
        value = metadata.get(key)
        if key == "codecs" and isinstance(value, list) and value and isinstance(value[0], dict):
            value = [{"name": value[0].get("name")}, *value[1:]]  # a single byte has no order to be given
        return value or None

    stored = json.loads(dataset.place.read(f"{name}/zarr.json") or b"{}")
    files: dict[str, Any] = {}
    create_array(zarr.create_group(zarr.storage.MemoryStore(files)), name, spec)
    wanted = json.loads(files[f"{name}/zarr.json"].to_bytes())
    if name in dataset.added:  # who made it, from what
        wanted["attributes"] = stored["attributes"]
    names = sorted(key for key in {*stored, *wanted} if plain(stored, key) != plain(wanted, key))
    return [f"{name}: {key} is {_short(stored.get(key))}, not {_short(wanted.get(key))}" for key in names]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_chunk(file: str, specs: Mapping[str, ArraySpec]) -> bool:
    """Whether a file is a chunk of one of the arrays: its name is the array's, c, and an index within it."""
    name, _, key = file.partition("/c/")
    if name not in specs:
        return False
    index, spec = key.split("/"), specs[name]
    return len(index) == len(spec.files) and all(
        part.isdecimal() and str(int(part)) == part and int(part) < count
        for part, count in zip(index, spec.files, strict=True)
    )


def _strangers(names: set[str], arrays: set[str]) -> list[str]:
    """Files that do not belong to the store; an unknown folder is one stranger, however much is in it."""
    folders = Counter(name.split("/")[0] for name in names if "/" in name and name.split("/")[0] not in arrays)
    return [
        f"{name}: half-written file of a killed process" if name.endswith(PARTIAL) else f"{name}: unknown file"
        for name in sorted(names)
        if name.split("/")[0] not in folders
    ] + [
        f"{name}: unknown folder of {count} files; an array names its maker in its attribute made_by"
        for name, count in sorted(folders.items())
    ]


# Small arrays -----------------------------------------------------------------------------------------


def _read(dataset: Dataset, name: str, index: object, problems: list[str]) -> np.ndarray | None:
    try:
        return dataset.read(name, index)
    except UssimError as error:
        problems.append(str(error).removeprefix(f"{dataset.place}: "))
        return None


def _small_arrays(dataset: Dataset, chunks: set[str]) -> list[str]:
    problems: list[str] = []
    for name in ("mask", "pose", "split", *(["scene"] if dataset.header.scenes else [])):
        if not chunks.issuperset(f"{name}/{key}" for key in array_specs(dataset.header)[name].chunk_keys):
            problems.append(f"{name}: its chunk is missing")
    mask = _read(dataset, "mask", ..., problems)
    if mask is not None and not set(np.unique(mask)) <= {0, 1}:
        problems.append("mask: holds other values than 0 and 1")
    elif mask is not None and not np.array_equal(mask, _sector(dataset)):
        problems.append("mask: is not the sector of its probe")
    poses = _read(dataset, "pose", ..., problems)
    if poses is not None:
        rotations = poses[:, :3, :3]
        error = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        for frame in np.flatnonzero(~(error < 1e-6) | ~np.isfinite(poses).all(axis=(1, 2))):
            problems.append(f"pose: frame {frame} is not a rotation and a shift")
    split = _read(dataset, "split", ..., problems)
    header = dataset.header
    if split is not None and not np.array_equal(split, make_split(header.frames, header.split_seed)):
        problems.append("split: is not the one of its split_seed")
    scene = _read(dataset, "scene", ..., problems) if header.scenes else None
    if scene is not None and not np.array_equal(scene, spread_over_scenes(header.frames, len(header.scenes))):
        problems.append(f"scene: is not {len(header.scenes)} scenes spread evenly over {header.frames} frames")
    return problems


def _sector(dataset: Dataset) -> np.ndarray:
    """The mask that the probe of a store has."""
    settings = without_retired("probe", dataset.header.probe)
    return KINDS[settings["kind"]](**settings).mask()


def _done_flags(dataset: Dataset, chunks: set[str], problems: list[str]) -> np.ndarray:
    """Which units are done; a unit with a corrupt flag, or without one, counts as not done."""
    done = np.zeros(dataset.header.units, bool)
    for unit in range(len(done)):
        if f"done/c/{unit}" not in chunks:
            continue
        flag = _read(dataset, "done", unit, problems)
        if flag is not None:
            done[unit] = flag == 1
            if flag not in (0, 1):
                problems.append(f"done: unit {unit} holds {flag}, not 0 or 1")
    return done


def _unfinished(done: np.ndarray, dataset: Dataset) -> list[str]:
    missing = np.flatnonzero(~done)
    if not missing.size:
        return []
    first = dataset.header.unit_range(int(missing[0]))
    return [
        f"done: {missing.size} of {len(done)} units are not rendered, the first with frames "
        f"{first.start} to {first.stop - 1}: finish it with --resume"
    ]


def _attenuation_scale(dataset: Dataset, finished: np.ndarray, problems: list[str]) -> np.ndarray | None:
    scale = np.ones(dataset.frames, np.float32)
    for unit in range(dataset.header.units):
        frames = dataset.header.unit_range(unit)
        rows = slice(frames.start, frames.stop)
        if not finished[frames.start]:
            continue
        values = _read(dataset, "attenuation_scale", rows, problems)
        if values is None:
            continue
        scale[rows] = values
        for frame, value in zip(frames, values, strict=True):
            if not 0 < value <= ATTENUATION_LIMIT:
                problems.append(f"attenuation_scale: frame {frame} holds {value:g}; allowed: above 0, up to 1")
                scale[frame] = 1
    return scale


def _small_digests(dataset: Dataset, finished: np.ndarray, scale: np.ndarray) -> list[str]:
    """Frames whose scale or pose are not those that were written."""
    poses = _read(dataset, "pose", ..., [])
    found: list[str] = []
    for frame in np.flatnonzero(finished).tolist():
        found += _digest(dataset, "attenuation_scale", frame, scale[frame], True)
        found += _digest(dataset, "pose", frame, poses[frame], True) if poses is not None else []
    return found


# Frames -----------------------------------------------------------------------------------------------


def _frames(
    dataset: Dataset,
    finished: np.ndarray,
    chunks: set[str],
    mask: np.ndarray,
    scale: np.ndarray,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Read every frame that is there, a few at a time."""
    outside = mask == 0
    largest_id = max(row["id"] for row in dataset.header.tissues)
    own = {name: True for name, spec in array_specs(dataset.header).items() if spec.per_frame}
    added = {name: False for name in dataset.added if dataset.array(name).shape == (dataset.frames, *mask.shape)}
    problems = []
    per_frame = (*own, *added)
    there: set[int] = set()
    for name, _, file in (chunk.partition("/") for chunk in chunks):
        if name in per_frame:
            there.update(dataset.frame_spec(name).frames_of_file(file))
    frames = sorted(there.union(np.flatnonzero(finished).tolist()))

    def check(frame: int) -> list[str]:
        needed = {name: is_own and bool(finished[frame]) for name, is_own in (own | added).items()}
        return _frame(dataset, frame, needed, outside, largest_id, float(scale[frame]))

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for number, found in enumerate(pool.map(check, frames), start=1):
            problems += found
            progress(number, len(frames))
    return problems


def _frame(
    dataset: Dataset, frame: int, needed: dict[str, bool], outside: np.ndarray, largest_id: int, scale: float
) -> list[str]:
    """Faults of one frame in all arrays, of which some may lack it."""
    problems: list[str] = []
    for name, is_needed in needed.items():
        try:
            is_there = dataset.has_frame(name, frame)
        except UssimError as error:
            problems.append(str(error).removeprefix(f"{dataset.place}: "))
            continue
        if not is_there:
            if is_needed:
                problems.append(f"{name}: frame {frame} is marked done but its chunk is missing")
            continue
        values = _read(dataset, name, frame, problems)
        if values is None:
            continue
        if values[outside].any():
            problems.append(f"{name}: frame {frame} is not 0 outside the sector")
        problems += _digest(dataset, name, frame, values, is_needed)
        if name == "segmentation":
            problems += _segmentation(values, frame, outside, largest_id)
        if name == "attenuation":
            problems += _attenuation(values, frame, scale)
    return problems


def _digest(dataset: Dataset, name: str, frame: int, values: np.ndarray, is_finished: bool) -> list[str]:
    """Whether a finished frame is the one that was written at its place; those of ussim 0.1.0 have no digest."""
    if not (is_finished and dataset.has_digest(name)):
        return []
    try:
        if dataset.is_as_written(name, frame, values):
            return []
    except UssimError as error:
        return [str(error).removeprefix(f"{dataset.place}: ")]
    return [f"{name}: frame {frame} is not what was written there: of another frame, array or store, or changed"]


def _segmentation(values: np.ndarray, frame: int, outside: np.ndarray, largest_id: int) -> list[str]:
    inside = values[~outside]
    if not inside.size:
        return []
    if inside.max() > largest_id:
        return [f"segmentation: frame {frame} holds id {inside.max()}; the tissue table ends at {largest_id}"]
    if inside.min() == 0:
        return [f"segmentation: frame {frame} has pixels without a tissue inside the sector"]
    return []


def _attenuation(values: np.ndarray, frame: int, scale: float) -> list[str]:
    if not np.isfinite(values).all():
        return [f"attenuation: frame {frame} holds NaN or infinity"]
    low, high = float(values.min()), float(values.max()) * scale
    if low < 0 or high > ATTENUATION_LIMIT:
        return [f"attenuation: frame {frame} spans {low * scale:g} to {high:g}; allowed: 0 to 1"]
    return []
