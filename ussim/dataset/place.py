"""Where a store lies: in a folder of this machine, or under a URL in a bucket of an object store."""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from ussim.dataset.local_place import LocalPlace
from ussim.dataset.remote_place import RemotePlace
from ussim.errors import UssimError

if TYPE_CHECKING:
    from zarr.abc.store import Store

    from ussim.dataset.packing import Packing

SCHEMES = ("s3", "gs", "az", "file", "memory")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_CRUSHED = re.compile(rf"({'|'.join(SCHEMES)}):/")
_BUCKET_AND_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)/([A-Za-z0-9._=+-]+(?:/[A-Za-z0-9._=+-]+)*)/?")


class Place(Protocol):
    """Where a store lies, or is to lie. Names are relative to it, with slashes: ``claims/000012/3``.

    Whatever goes wrong is a ``UssimError`` of one line, but for writing to a full or failing disk, which stays the
    ``OSError`` that it is. No message holds a credential.

    Attributes:
        where: Its path or URL, as it is told to users.
        name: The last part of it.
        folder: The folder, None if there is none on this machine: then there are no locks either.
        sharded: Whether a store that is made here has all frames of a unit in one file or object.
    """

    @property
    def where(self) -> Path | str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def folder(self) -> Path | None: ...  # noqa: D102
    @property
    def sharded(self) -> bool: ...  # noqa: D102

    # Single files or objects ----------------------------------------------------------------------
    def read(self, name: str) -> bytes | None:
        """All of one, None if it is not there."""

    def has(self, name: str) -> bool:
        """Whether it is there."""

    def create(self, name: str, data: bytes) -> bool:
        """Make one, whole; False if it is there already. Of several who try at once one makes it."""

    def list(self, folder: str = "") -> builtins.list[str]:
        """Names of all that lie in a folder and the folders in it, in order; none if there is no such folder."""

    def folders(self) -> builtins.list[str]:
        """Names of the folders right below, in order."""

    def sizes(self) -> dict[str, int]:
        """Bytes of everything, by name; also of what is half-written."""

    def remove(self, name: str) -> None:
        """Remove one; nothing happens if it is not there."""

    # The store ------------------------------------------------------------------------------------
    def absence(self) -> str:
        """Why there is no store here, in words."""

    def is_vacant(self) -> bool:
        """Whether a store can be created here."""

    def require(self) -> None:
        """Refuse a place where nothing can be made, before the work for it is done."""

    def create_whole(self, write: Callable[[Store], None]) -> bool:
        """Create what is written, whole or not at all; False if the place is taken.

        Args:
            write: Writes a store to where it is told.
        """

    def files(self, packings: Mapping[str, Packing], *, read_only: bool = False) -> Store:
        """The store as Zarr reads and writes it.

        Args:
            packings: What the files of each array hold; that of "" is for arrays that are not named.
            read_only: Whether nothing may be written.
        """

    def remove_leftovers(self, names: Collection[str]) -> None:
        """Remove what a killed process left half-written of some files."""

    def flush(self, names: Collection[str]) -> None:
        """Wait until files would survive a power cut."""

    def bytes_free(self) -> int | None:
        """Room for more; None if nobody says."""


Where = str | Path | Place
"""A path, a URL as text, or a place."""


def everywhere(place: Place) -> str | Path:
    """A path or URL that names a place also for processes that begin in another folder."""
    return place.where if place.folder is None else place.folder.absolute()


def place_of(where: Where) -> Place:
    """The place that a path or a URL names.

    ``s3://bucket/key``, ``gs://bucket/key`` and ``az://container/key`` are object stores, whose credentials are in the
    environment; ``file:///path`` is a folder; ``memory://name/key`` is in the memory of this process.

    Raises:
        UssimError: A URL of another form, with credentials in it, or without the extra ``remote``.
    """
    if isinstance(where, LocalPlace | RemotePlace):
        return where
    text = os.fspath(where)  # type: ignore[arg-type]  # what is no place is a path or text
    found = _URL.match(text)
    if found is None:
        if crushed := _CRUSHED.match(text):
            raise UssimError(f"{crushed[1]}:/ begins no path: write a URL, {crushed[1]}://…, and give it as text")
        return LocalPlace(Path(text))
    scheme, rest = found[1].lower(), found[2]
    # whatever is refused is not repeated: it may hold a secret
    if scheme not in SCHEMES:
        raise UssimError(
            f"{found[1]}://…: unknown kind of URL; allowed: a path, {', '.join(f'{s}://…' for s in SCHEMES)}"
        )
    if "@" in rest or "?" in rest or "#" in rest:
        raise UssimError(f"{scheme}://…: a URL holds no user, password or query: set credentials in the environment")
    if scheme == "file":
        if not rest.startswith("/"):
            raise UssimError("file://…: names no folder; allowed: file:///absolute/path")
        return LocalPlace(Path(unquote(rest)))
    parts = _BUCKET_AND_KEY.fullmatch(rest)
    if parts is None or {".", ".."} & set(parts[2].split("/")):
        raise UssimError(
            f"{scheme}://…: names no bucket and key; allowed: {scheme}://bucket/key, of letters, digits and . _ - = + /"
        )
    return RemotePlace(scheme, parts[1], parts[2])
