"""What the files of a store may hold, so that none unfolds to more than it should; and what is in a shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest

BytesLike = bytes | bytearray | memoryview
MOST_METADATA_BYTES = 64 * 2**20
_ABSENT = 2**64 - 1
_CHECKSUM_BYTES = 4
_ZSTD = b"\x28\xb5\x2f\xfd"
_LONGEST_HEAD = 18


@dataclass(frozen=True)
class Packing:
    """What one file of an array holds.

    Attributes:
        chunk_bytes: Size of a chunk once it is unpacked.
        shard_chunks: Places for chunks in a shard; 0 if a file is one chunk.
    """

    chunk_bytes: int
    shard_chunks: int = 0

    @property
    def most_bytes(self) -> int:
        """Size that a file may have."""
        return max(1, self.shard_chunks) * (2 * self.chunk_bytes + 1024)

    @property
    def index_bytes(self) -> int:
        """Size of the index that a shard ends with."""
        return 16 * self.shard_chunks + _CHECKSUM_BYTES

    def in_shard(self, end: BytesLike) -> dict[int, int]:
        """Where the chunks of a shard begin [byte], by their number in it; those that are not there are left out.

        Args:
            end: The shard, or its end with the index.
        """
        index = np.frombuffer(end[-self.index_bytes : -_CHECKSUM_BYTES], "<u8").reshape(-1, 2)
        return {number: start for number, (start, _) in enumerate(index.tolist()) if start != _ABSENT}


class Limits:
    """What the files of all arrays may hold.

    Args:
        packings: By array; that of "" is for arrays that are not named.
    """

    def __init__(self, packings: Mapping[str, Packing]):
        self._packings = dict(packings)

    def _packing(self, key: str) -> Packing | None:
        if key.endswith("zarr.json"):
            return None
        return self._packings.get(key.split("/", 1)[0], self._packings.get(""))

    def check_size(self, key: str, size: int) -> None:
        """Look at the size of a file before it is read.

        Raises:
            ValueError: It is larger than it should be.
        """
        packing = self._packing(key)
        if size > (packing.most_bytes if packing else MOST_METADATA_BYTES):
            raise ValueError(f"{key} has {size:,} bytes, which is too much")

    def check_content(self, key: str, data: BytesLike, part: ByteRequest | None) -> None:
        """Look at what was read of a file before it is unpacked.

        Args:
            key: Name of the file.
            data: What was read.
            part: Which part of the file that is; None is all of it.

        Raises:
            ValueError: A chunk would unfold to more or less than it should.
        """
        from zarr.abc.store import RangeByteRequest

        packing = self._packing(key)
        if packing is None:
            return
        starts = [0]
        if packing.shard_chunks and not isinstance(part, RangeByteRequest):
            # of the index alone there is nothing to unpack, and what is too short to hold one Zarr refuses
            whole = part is None and len(data) >= packing.index_bytes
            starts = list(packing.in_shard(data).values()) if whole else []
        for start in starts:
            size = unpacked_bytes(data[start : start + _LONGEST_HEAD])
            if size != packing.chunk_bytes:
                raise ValueError(f"{key} says that it holds {size} bytes, not {packing.chunk_bytes}")


def unpacked_bytes(head: BytesLike) -> int | None:
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
