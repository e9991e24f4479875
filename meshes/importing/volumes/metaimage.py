"""MetaImage, .mha and .mhd, by SimpleITK."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
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
    _require_own_voxels(path)
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


def _require_own_voxels(path: Path) -> None:
    """Refuse a header whose voxels are anywhere else than in a file beside it, before ITK opens that."""
    with open(path, "rb") as file:
        head = file.read(_HEADER_BYTES)
    found = re.search(rb"^\s*ElementDataFile\s*=\s*([^\r\n]*)", head, flags=re.MULTILINE)
    if found is None:
        raise UssimError(f"{path}: cannot be read as MetaImage: it has no ElementDataFile")
    name = found[1].decode("utf-8", "replace").strip()
    if name.upper().startswith("LIST") or "%" in name:
        raise UssimError(f"{path}: its voxels are in many files; allowed: in one")
    if name.upper() != "LOCAL":
        require_data_file(path, name)


def _last_line(error: Exception) -> str:
    """What ITK means: the last line of several, without its own places in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^.*?\(0x[0-9a-f]+\):\s*", "", lines[-1] if lines else "no reason given")[:200]
