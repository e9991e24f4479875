"""The files of a store as Zarr reads them: ordinary files only, and none that unfolds to more than it should."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

MOST_METADATA_BYTES = 64 * 2**20
_ZSTD = b"\x28\xb5\x2f\xfd"
_LONGEST_HEAD = 18


class CheckedFiles(LocalStore):
    """A folder of chunks and metadata.

    Args:
        root: The folder.
        chunk_bytes: Size of each array's chunks once they are unpacked; that of "" is for arrays that are not named.
        read_only: Whether nothing may be written.
    """

    def __init__(self, root: Path | str, chunk_bytes: Mapping[str, int] | None = None, *, read_only: bool = False):
        super().__init__(root, read_only=read_only)
        self._chunk_bytes = dict(chunk_bytes or {})

    def with_read_only(self, read_only: bool = False) -> CheckedFiles:
        """The same files, to be read only or not."""
        return type(self)(self.root, self._chunk_bytes, read_only=read_only)

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """A file's content, None if it is not there.

        Raises:
            ValueError: It is no ordinary file, or larger than it should be, packed or unpacked.
        """
        path = self.root / key
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{key} is no ordinary file")
        name = key.split("/", 1)[0]
        unpacked = None if key.endswith("zarr.json") else self._chunk_bytes.get(name, self._chunk_bytes.get(""))
        if status.st_size > (2 * unpacked + 1024 if unpacked else MOST_METADATA_BYTES):
            raise ValueError(f"{key} has {status.st_size:,} bytes, which is too much")
        if unpacked:
            with path.open("rb") as file:
                size = unpacked_bytes(file.read(_LONGEST_HEAD))
            if size != unpacked:
                raise ValueError(f"{key} says that it holds {size} bytes, not {unpacked}")
        return await super().get(key, *args, **kwargs)


def unpacked_bytes(head: bytes) -> int | None:
    """What a Zstandard frame says of its size (RFC 8878, 3.1.1.1); None if it is no such frame or does not say."""
    if len(head) < 6 or head[:4] != _ZSTD:
        return None
    kind = head[4] >> 6
    is_single = bool(head[4] >> 5 & 1)
    start = 5 + (not is_single) + (0, 1, 2, 4)[head[4] & 3]
    length = (int(is_single), 2, 4, 8)[kind]
    if not length or len(head) < start + length:
        return None
    return int.from_bytes(head[start : start + length], "little") + (256 if kind == 1 else 0)
