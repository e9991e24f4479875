"""MetaImage, .mha and .mhd, by SimpleITK."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from meshes.importing.volumes.raw import (
    RawVolume,
    affine,
    one_line_errors,
    require_data_file,
    require_voxels,
    three_axes,
)
from ussim.errors import UssimError

_LPS = np.array([[-1.0], [-1.0], [1.0]])
_HEADER_BYTES = 1 << 16
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
# Fields with as many numbers as the volume has axes, to this power.
_COUNTS = {"TransformMatrix": 2, "Rotation": 2, "Orientation": 2} | dict.fromkeys(
    ("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation"), 1
)
_LENGTHS = ("CompressedDataSize", "HeaderSize", "ElementNumberOfChannels", "ID", "ParentID")


def read_metaimage(path: Path) -> RawVolume:
    """Read .mha or .mhd: millimetres, axes to the left, the back and up, as ITK has it.

    Raises:
        UssimError: SimpleITK is missing, or the file is unreadable, too large, not three-dimensional, of several
            numbers a voxel, or its voxels lie outside of its folder.
    """
    try:
        import SimpleITK
    except ModuleNotFoundError:
        raise UssimError(
            "SimpleITK, which reads MetaImage files, is not installed: pip install 'ussim[labels]'"
        ) from None
    _require_header(path)
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    with one_line_errors(path, "MetaImage"), _mute():
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("MetaImageIO")
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
            require_voxels(path, reader.GetSize())
            if reader.GetNumberOfComponents() > 1:
                raise UssimError(f"{path}: {reader.GetNumberOfComponents()} numbers a voxel; allowed: one")
            image = reader.Execute()
        except RuntimeError as error:
            raise UssimError(f"{path}: cannot be read as MetaImage: {_last_line(error)}") from None
        data = three_axes(path, SimpleITK.GetArrayFromImage(image).T)
        axes = image.GetDimension()
        directions = np.array(image.GetDirection()).reshape(axes, axes)[:3, :3] * np.array(image.GetSpacing()[:3])
        to_mm = affine(directions, np.array(image.GetOrigin()[:3]))
        to_mm[:3] *= _LPS
        return RawVolume(data, to_mm)


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """Nothing on stderr: the C++ below ITK writes there what it then raises."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # stderr may be closed
            kept = os.dup(2)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            nothing = os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, nothing)
            os.dup2(nothing, 2)
        yield


def _require_header(path: Path) -> None:
    """Refuse a header that ITK would stumble over, and voxels anywhere else than in a file beside it."""
    with open(path, "rb") as file:
        head = file.read(_HEADER_BYTES)
    found = re.search(rb"^\s*ElementDataFile\s*=\s*([^\r\n]*)", head, flags=re.MULTILINE)
    if found is None:
        raise UssimError(f"{path}: cannot be read as MetaImage: it has no ElementDataFile")
    rows = [line.partition("=") for line in head[: found.start()].decode("utf-8", "replace").splitlines()]
    mistake = _mistake([(key.strip(), value.split()) for key, equals, value in rows if equals])
    if mistake:
        raise UssimError(f"{path}: cannot be read as MetaImage: {mistake}")
    name = found[1].decode("utf-8", "replace").strip()
    if name.upper().startswith("LIST") or "%" in name:
        raise UssimError(f"{path}: its voxels are in many files; allowed: in one")
    if name.upper() != "LOCAL":
        require_data_file(path, name)


def _mistake(fields: Sequence[tuple[str, list[str]]]) -> str:
    """What is wrong with the fields of a header and their words, or nothing.

    A number of axes below 1, or fewer numbers than axes, makes the C++ below ITK read past its memory.
    """
    keys = [key for key, _ in fields]
    if len(set(keys)) < len(keys):
        return "a field is there twice"
    axes = dict(fields).get("NDims", [])
    if axes not in (["2"], ["3"], ["4"]):
        return "NDims must be there, 2 to 4"
    if next(key for key in keys if key in _COUNTS or key == "NDims") != "NDims":
        return "NDims must come before what it counts"
    for key, value in fields:
        wanted = int(axes[0]) ** _COUNTS.get(key, 0)
        if key in _COUNTS and (len(value) != wanted or not all(_NUMBER.fullmatch(one) for one in value)):
            return f"{key} must be {wanted} numbers"
        if key in _LENGTHS and (len(value) != 1 or not re.fullmatch(r"-?\d{1,15}", value[0])):
            return f"{key} must be a whole number"
    return ""


def _last_line(error: Exception) -> str:
    """What ITK means: the last line of several, without its own places in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^.*?\(0x[0-9a-f]+\):\s*", "", lines[-1] if lines else "no reason given")[:200]
