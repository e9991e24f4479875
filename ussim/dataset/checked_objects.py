"""The objects of a store as Zarr reads and writes them: none unfolds to more than it should, errors are one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import obstore
from zarr.abc.store import ByteRequest
from zarr.storage import ObjectStore

from ussim.dataset.packing import Limits, Packing


class CheckedObjects(ObjectStore[Any]):
    """A prefix of an object store.

    Args:
        objects: The prefix.
        packings: What the objects of each array hold; that of "" is for arrays that are not named.
        told: Says in one line what goes wrong with an object.
        read_only: Whether nothing may be written.
    """

    def __init__(
        self,
        objects: Any,
        packings: Mapping[str, Packing],
        told: Callable[[str], AbstractContextManager[None]],
        *,
        read_only: bool = False,
    ):
        super().__init__(objects, read_only=read_only)
        self._packings, self._told = packings, told
        self._limits = Limits(packings)

    def with_read_only(self, read_only: bool = False) -> CheckedObjects:
        """The same objects, to be read only or not."""
        return type(self)(self.store, self._packings, self._told, read_only=read_only)

    async def get(self, key: str, prototype: Any, byte_range: ByteRequest | None = None) -> Any:
        """An object's content or a part of it, None if it is not there.

        Raises:
            ValueError: It is larger than it should be, packed or unpacked.
        """
        with self._told(key):
            if byte_range is not None:
                data = await super().get(key, prototype, byte_range)
            else:
                try:
                    found = await obstore.get_async(self.store, key)
                except FileNotFoundError:
                    return None
                self._limits.check_size(key, found.meta["size"])
                data = prototype.buffer.from_bytes(await found.bytes_async())
        if data is not None:
            self._limits.check_content(key, data.as_buffer_like(), byte_range)
        return data

    async def set(self, key: str, value: Any) -> None:
        """Write an object; a large one in parts one after another, so that each has the line to itself."""
        self._check_writable()
        with self._told(key):
            await obstore.put_async(self.store, key, value.as_buffer_like(), max_concurrency=1)

    async def exists(self, key: str) -> bool:
        """Whether an object is there."""
        with self._told(key):
            return await super().exists(key)
