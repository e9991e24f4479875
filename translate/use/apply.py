"""A generator over whole datasets: an array beside the others of a store, or a folder of PNGs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr

from translate.data.images import read_png, save_png
from translate.data.store import StoreReader
from translate.use.inference import Generator
from translate.use.spread import Spread
from ussim.dataset.layout import create_array
from ussim.dataset.lock import only_array_writer
from ussim.dataset.place import Where, everywhere, place_of
from ussim.dataset.schema import frame_spec
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.files import write_text
from ussim.progress import Progress

RESERVED = {
    "lq", "hq", "segmentation", "attenuation", "attenuation_scale", "mask", "pose", "split", "scene", "digest", "done",
}  # fmt: skip
MADE_BY = "made_by.json"
_Item = TypeVar("_Item")
_Loaded = TypeVar("_Loaded")


class InterruptedApplyError(UssimError):
    """Stopped by the user; what was finished is on disk, and the same command goes on."""

    interrupted = True


def apply_to_store(
    generator: Generator,
    store: Where,
    name: str = "enhanced",
    frames: str = "all",
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> int:
    """Write the generator's images into a store, as an array like its ``lq``; sound frames that are there are kept.

    Args:
        generator: The generator.
        store: Path or URL of the store.
        name: Name of the array.
        frames: ``all``, or ``train`` or ``test``, split as in the generator's training.
        progress: Told how many frames are done, and of how many.
        spread: Let workers on Ray do it.

    Returns:
        Number of frames written.

    Raises:
        InterruptedApplyError: Ctrl-C.
        UssimError: A store that lacks an input, a name that is taken, an array that another generator wrote or that
            another process is writing.
    """
    reader = StoreReader(store)
    place = reader.place
    reader.require(generator.encoder.arrays, complete=True)
    generator.view(reader)
    chosen = reader.frames(frames, generator.settings.split).tolist()
    _check_name(name)

    with only_array_writer(place, name):
        _open_array(reader, generator, name)
        place.remove_leftovers([_file(name, index) for index in chosen])
        written = Dataset.open(place)
        with ThreadPoolExecutor(4) as pool:
            sound = list(pool.map(lambda index: _is_sound(written, name, index), chosen))
        pending = [index for index, is_sound in zip(chosen, sound, strict=True) if not is_sound]
        task = partial(_store_task, store=everywhere(place) if spread else place, name=name)
        return _each(pending, task, generator, f"{place}: array {name}", progress, spread)


def apply_to_folder(
    generator: Generator,
    source: Where,
    output: Path,
    *,
    frames: str = "all",
    mask: Path | None = None,
    segmentation: Path | None = None,
    attenuation: Path | None = None,
    progress: Progress | None = None,
    spread: Spread | None = None,
) -> int:
    """Write the generator's images as PNGs; files that are there are kept.

    Args:
        generator: The generator.
        source: Path or URL of a store; or a folder of PNGs (for a generator without low-quality image: of
            segmentations); or one PNG.
        output: Folder to make, or to go on in.
        frames: Of a store: ``all``, or ``train`` or ``test``, split as in the generator's training.
        mask: For images: PNG, not 0 inside the sector; default: that of the training, for images of its size.
        segmentation: For images: folder of PNGs of the same names, or one PNG; tissue ids.
        attenuation: For images: likewise, 8 or 16 bits, full scale = 1.
        progress: Told how many images are done, and of how many.
        spread: Let workers on Ray do it.

    Returns:
        Number of images written.

    Raises:
        InterruptedApplyError: Ctrl-C.
        UssimError: An input that is missing or does not fit, or a folder that another generator wrote to.
    """
    given: list[Any] = [output, mask, segmentation, attenuation]
    origin: Where = source
    if spread:  # workers need not begin where this process did
        given = [path and path.absolute() for path in given]
        origin = everywhere(place_of(source))
    read = partial(_work, source=origin, frames=frames, mask=given[1], segmentation=given[2], attenuation=given[3])
    work = read(generator)
    _claim(output, generator)
    pending = [(name, item) for name, item in work.items if not (output / name).is_file()]
    task = partial(_folder_task, read=read, output=given[0])
    return _each(pending, task, generator, str(output), progress, spread)


# Tasks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """How an item is loaded, and how it is finished then."""

    load: Callable[[Any], dict[str, np.ndarray]]
    finish: Callable[[Any, dict[str, np.ndarray]], None]


def _store_task(generator: Generator, store: Where, name: str) -> _Task:
    """Frames of a store, into its array of that name."""
    reader = StoreReader(store)
    place = reader.place
    view, array = generator.view(reader), _open_array(reader, generator, name)

    def load(index: int) -> dict[str, np.ndarray]:
        return {needed: reader.read(needed, index) for needed in generator.encoder.arrays}

    def finish(index: int, maps: dict[str, np.ndarray]) -> None:
        try:
            array[index] = view.enhance(maps, reader.mask)
            place.flush([_file(name, index)])
        except OSError as error:
            raise UssimError(f"{place}: cannot write frame {index}: {error.strerror or error}") from None

    return _Task(load, finish)


def _folder_task(generator: Generator, read: Callable[[Generator], _Work], output: Path) -> _Task:
    """Images, into a folder."""
    work = read(generator)

    def finish(item: tuple[str, int], maps: dict[str, np.ndarray]) -> None:
        save_png(output / item[0], work.enhance(item[1], maps))

    return _Task(lambda item: work.read(item[1]), finish)


# Sources ----------------------------------------------------------------------------------------------

_Maps = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Work:
    """Images to make: (file name, number) of each, how to read one and how to enhance what was read."""

    items: list[tuple[str, int]]
    read: Callable[[int], _Maps]
    enhance: Callable[[int, _Maps], np.ndarray]


def _work(
    generator: Generator,
    source: Where,
    frames: str,
    mask: Path | None,
    segmentation: Path | None,
    attenuation: Path | None,
) -> _Work:
    place = place_of(source)
    if place.folder is None or place.has("zarr.json"):
        return _store_frames(generator, place, frames)
    return _image_files(generator, place.folder, mask, segmentation, attenuation)


def _store_frames(generator: Generator, store: Where, frames: str) -> _Work:
    reader = StoreReader(store)
    reader.require(generator.encoder.arrays, complete=True)
    view = generator.view(reader)
    digits = max(6, len(str(reader.n)))

    def read(index: int) -> _Maps:
        return {name: reader.read(name, index) for name in generator.encoder.arrays}

    chosen = reader.frames(frames, generator.settings.split)
    items = [(f"{index:0{digits}d}.png", int(index)) for index in chosen]
    return _Work(items, read, lambda index, maps: view.enhance(maps, reader.mask))


def _image_files(
    generator: Generator,
    source: Path,
    mask: Path | None,
    segmentation: Path | None,
    attenuation: Path | None,
) -> _Work:
    given = {"lq": source, "segmentation": segmentation, "attenuation": attenuation}
    if "L" not in generator.inputs:
        given = {**given, "lq": None, "segmentation": segmentation or source}
    files = _pngs(source)
    needed = generator.encoder.arrays
    places = {name: place for name in needed if (place := given[name]) is not None}
    for name in needed:
        if name not in places:
            raise UssimError(f"a generator trained on {generator.inputs} needs --{name}")
    paths = {
        name: [_beside(place, file) if place != source else file for file in files] for name, place in places.items()
    }
    fixed = read_png(mask) if mask else None

    def read(index: int) -> _Maps:
        return {name: _read_map(name, paths[name][index]) for name in needed}

    def enhance(index: int, maps: _Maps) -> np.ndarray:
        height, width = next(iter(maps.values())).shape
        sector = fixed if fixed is not None else generator.mask
        if sector is None or sector.shape != (height, width):
            known = f"the mask is {sector.shape[0]} × {sector.shape[1]} px" if sector is not None else "no mask"
            raise UssimError(f"{files[index]}: {height} × {width} px, but {known}; give one with --mask")
        return generator.enhance(maps.get("lq"), sector, maps.get("segmentation"), maps.get("attenuation"))

    return _Work([(file.name, index) for index, file in enumerate(files)], read, enhance)


def _pngs(source: Path) -> list[Path]:
    if not source.exists():
        raise UssimError(f"{source}: no such store, folder or image")
    files = sorted(source.glob("*.png")) if source.is_dir() else [source]
    if not files:
        raise UssimError(f"{source}: neither a store nor a folder of PNG images")
    return files


def _beside(place: Path, file: Path) -> Path:
    path = place / file.name if place.is_dir() else place
    if not path.is_file():
        raise UssimError(f"{path}: no such image; it belongs to {file.name}")
    return path


def _read_map(name: str, path: Path) -> np.ndarray:
    values = read_png(path)
    if name != "attenuation":
        if values.dtype != np.uint8:
            raise UssimError(f"{path}: {name} must be an 8-bit greyscale PNG")
        return values
    return values.astype(np.float32) / (255 if values.dtype == np.uint8 else 65535)


# Targets ----------------------------------------------------------------------------------------------


def _about(generator: Generator) -> dict[str, str]:
    return {"made_by": "translate", "inputs": generator.inputs, "weights_sha256": generator.digest}


def _check_name(name: str) -> None:
    if name in RESERVED or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise UssimError(f"--name {name}: must be letters, digits and _, and not one of {', '.join(sorted(RESERVED))}")


def _open_array(reader: StoreReader, generator: Generator, name: str) -> zarr.Array:
    """The array to write into, made if it is not there."""
    try:
        with zarr.config.set({"array.write_empty_chunks": True}):  # a chunk on disk means "written"
            group = zarr.open_group(reader.place.files({}), mode="r+", zarr_format=3)
            if name not in group:
                return create_array(group, name, frame_spec(reader.n, reader.image), **_about(generator))
            array = group[name]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UssimError(f"{reader.place}: cannot be written: {reason}") from None
    if not isinstance(array, zarr.Array) or array.attrs.get("weights_sha256") != generator.digest:
        raise UssimError(f"{reader.place}: array {name!r} is from other weights; choose another --name")
    return array


def _file(name: str, index: int) -> str:
    """Where a frame of an added array lies: each has a file of its own, as frames are made one by one."""
    return f"{name}/c/{index}/0/0"


def _is_sound(dataset: Dataset, name: str, index: int) -> bool:
    """Whether a frame of an array is there and can be read; one that is damaged is made again."""
    try:
        dataset.read_frame(name, index)
    except UssimError:
        return False
    return True


def _claim(output: Path, generator: Generator) -> None:
    """Make the folder, or see that the same generator wrote to it."""
    note = output / MADE_BY
    try:
        if output.exists() and not note.is_file() and (not output.is_dir() or any(output.iterdir())):
            raise UssimError(f"{output} exists already and is not the output of translate apply")
        if note.is_file():
            if json.loads(note.read_text(encoding="utf-8")).get("weights_sha256") != generator.digest:
                raise UssimError(f"{output}: its images are from other weights; choose another folder")
            return
        output.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps(_about(generator), indent=2) + "\n")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UssimError(f"{output}: cannot be used: {error}") from None


def _each(
    items: list[Any],
    task: Callable[[Generator], _Task],
    generator: Generator,
    where: str,
    progress: Progress | None,
    spread: Spread | None,
) -> int:
    """Finish each item, here or by workers; returns how many there were."""
    done = 0
    if progress:
        progress("apply", 0, len(items))
    try:
        for _ in spread.each(items, task, generator.digest) if spread and items else _here(items, task(generator)):
            done += 1
            if progress:
                progress("apply", done, len(items))
    except KeyboardInterrupt:
        raise InterruptedApplyError(
            f"interrupted: {where}: {done} of {len(items)} images; run it again to go on"
        ) from None
    return done


def _here(items: list[Any], task: _Task) -> Iterator[None]:
    """Load each item, one ahead of the one that is finished."""
    for item, loaded in _ahead(items, task.load):
        task.finish(item, loaded)
        yield


def _ahead(items: Iterable[_Item], load: Callable[[_Item], _Loaded]) -> Iterator[tuple[_Item, _Loaded]]:
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for item in items:
            coming = (item, pool.submit(load, item))
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = coming
        if waiting:
            yield waiting[0], waiting[1].result()
