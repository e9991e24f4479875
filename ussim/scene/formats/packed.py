"""Mesh files in a ``.gz`` or a ``.zip``: unpacked in memory and within a bound, never to the disk."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Collection
from pathlib import PurePosixPath

from ussim.errors import UssimError
from ussim.scene.formats.limits import MOST_UNPACKED_BYTES

_MOST_MEMBERS = 10_000


def unpack_gzip(data: bytes, most: int = MOST_UNPACKED_BYTES) -> bytes:
    """The content of a gzip file.

    Raises:
        UssimError: It is none, was cut off, or holds more than may be.
    """
    try:
        with gzip.open(io.BytesIO(data)) as file:
            content = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UssimError(f"cannot be read as GZ: {error}") from None
    if len(content) > most:
        raise _too_much(most)
    return content


def unpack_zip(data: bytes, endings: Collection[str], most: int = MOST_UNPACKED_BYTES) -> dict[str, bytes]:
    """The members of a zip file with certain endings, by their path in it, in the order of their paths.

    Args:
        data: The file.
        endings: Small letters, with the dot.
        most: Bytes of all members together.

    Raises:
        UssimError: It is no zip file, is encrypted or damaged, or holds more than may be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if len(file.infolist()) > _MOST_MEMBERS:
                raise UssimError(f"holds {len(file.infolist()):,} files; allowed: at most {_MOST_MEMBERS:,}")
            chosen = {one.filename: one for one in file.infolist() if _is_wanted(one.filename, endings)}
            members: dict[str, bytes] = {}
            left = most
            for name, member in sorted(chosen.items()):
                if member.flag_bits & 1:
                    raise UssimError("is encrypted; allowed: a zip file without a password")
                with file.open(member) as content:
                    members[name] = content.read(left + 1)  # the size that the archive states is but a claim
                left -= len(members[name])
                if left < 0:
                    raise _too_much(most)
            return members
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error, ValueError, RuntimeError) as error:
        raise UssimError(f"cannot be read as ZIP: {str(error) or type(error).__name__}") from None


def _too_much(most: int) -> UssimError:
    return UssimError(f"holds more than {most / 2**30:.3g} GiB once unpacked; allowed: at most that")


def _is_wanted(name: str, endings: Collection[str]) -> bool:
    """Leave out folders, and what desktops put beside files (``__MACOSX``, ``._liver.stl``)."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix.lower() in endings
