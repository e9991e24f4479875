"""The files of a store as Zarr reads and writes them: ordinary ones, none that unfolds to more than it should."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.storage import LocalStore, WrapperStore

from ussim.dataset.packing import Limits, Packing


class CheckedFiles(LocalStore):
    """A folder of chunks and metadata.

    Args:
        root: The folder.
        packings: What the files of each array hold; that of "" is for arrays that are not named.
        read_only: Whether nothing may be written.
    """

    def __init__(self, root: Path | str, packings: Mapping[str, Packing] | None = None, *, read_only: bool = False):
        super().__init__(root, read_only=read_only)
        self._packings = dict(packings or {})
        self._limits = Limits(self._packings)

    def with_read_only(self, read_only: bool = False) -> CheckedFiles:
        """The same files, to be read only or not."""
        return type(self)(self.root, self._packings, read_only=read_only)

    async def get(self, key: str, prototype: Any = None, byte_range: ByteRequest | None = None) -> Any:
        """A file's content or a part of it, None if it is not there.

        Raises:
            ValueError: It is no ordinary file, or larger than it should be, packed or unpacked.
        """
        try:
            status = (self.root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{key} is no ordinary file")
        self._limits.check_size(key, status.st_size)
        data = await super().get(key, prototype, byte_range)
        if data is not None:
            self._limits.check_content(key, data.as_buffer_like(), byte_range)
        return data


class UnreadFiles(WrapperStore[Any]):
    """A store to write whole units to: Zarr, which reads a shard before it writes one, finds none.

    What is there may be broken, and is written anew whatever it is.
    """

    async def get(self, key: str, prototype: Any, byte_range: ByteRequest | None = None) -> Any:
        """Metadata, and None for all else."""
        return await super().get(key, prototype, byte_range) if key.endswith("zarr.json") else None
