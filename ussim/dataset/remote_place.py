"""A store under a URL, in a bucket of an object store.

Objects are whole or not there, and on the disk once a request has succeeded. There are no locks: processes whose units
differ never write the same object, and units that two of them render have the same bytes.
"""

from __future__ import annotations

import builtins
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ussim.errors import UssimError

if TYPE_CHECKING:
    from zarr.abc.store import Store

    from ussim.dataset.packing import Packing

# A request that fails is asked again for a while; a server that takes connections and is silent holds one for
# as long as a request may take. Together that stays below half a minute.
_RETRY: Any = {
    "max_retries": 20,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=3), "base": 2},
}
_CLIENT: Any = {"timeout": timedelta(seconds=20), "connect_timeout": timedelta(seconds=5)}
_ALLOW_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_OTHERS_WAIT_S = 5.0
"""How long another process may take from its first object of a new store to its last."""

_memories: dict[str, Any] = {}


class LostConnectionError(UssimError):
    """An object store that cannot be reached, does not answer or fails, also after some time."""


class RemotePlace:
    """A prefix in a bucket; see :class:`ussim.dataset.place.Place` for what it does.

    Args:
        scheme: ``s3``, ``gs``, ``az`` or ``memory``.
        bucket: Name of the bucket or container.
        key: Where in it; the objects of the store have names that begin with it.

    Raises:
        UssimError: The extra ``remote`` is not installed, or the environment holds half of a credential.
    """

    folder = None
    sharded = True

    def __init__(self, scheme: str, bucket: str, key: str):
        self.bucket, self.key = bucket, key
        self.where = f"{scheme}://{bucket}/{key}"
        try:
            from obstore.store import MemoryStore, from_url
        except ModuleNotFoundError:
            raise UssimError(f'{self}: a URL needs the package obstore: pip install "ussim[remote]"') from None
        _check_environment(self.where)
        with self.told():
            if scheme == "memory":
                self._objects = _memories.setdefault(self.where, MemoryStore())
            else:
                # given options stand in for what the environment says of the client
                client: Any = {
                    **_CLIENT,
                    "allow_http": os.environ.get(_ALLOW_HTTP[scheme], "").lower() in ("true", "1"),
                }
                self._objects = from_url(self.where, client_options=client, retry_config=_RETRY)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self.where

    def __repr__(self) -> str:
        return f"RemotePlace({self.where!r})"

    @contextmanager
    def told(self, name: str = "") -> Iterator[None]:
        """Say in one line what an object store refused. What it says itself may hold keys and signatures.

        Args:
            name: The object in question.
        """
        try:
            yield
        except (ValueError, UssimError):
            raise
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # what obstore makes of an endpoint that is no URL
                raise UssimError(f"{self.where}: the environment holds what is no endpoint, region or key") from None
            if not isinstance(error, Exception):
                raise
            kind, reason = self._reason(error)
            raise kind(f"{self.where}{'/' if name else ''}{name}: {reason}") from None

    def _reason(self, error: Exception) -> tuple[type[UssimError], str]:
        """What went wrong and what to do, in words that hold nothing of the server's."""
        text, bucket = str(error), f"bucket {self.bucket!r}"
        found = re.search(r"status code: (\d{3})", text)
        status = int(found[1]) if found else 0
        if _lacks_bucket(error):
            return UssimError, f"no such {bucket}: make it, or correct the URL"
        if any(sign in text for sign in ("source: Missing", "169.254.169.254", "metadata.google")):
            names = _CREDENTIALS.get(self.where.partition(":")[0], "")
            return UssimError, f"no credentials for {bucket}: set {names} in the environment"
        if status in (401, 403):
            return UssimError, f"no permission ({status}) in {bucket}: see to the credentials in the environment"
        if "BadScheme" in text:
            return UssimError, f"the endpoint of {bucket} is not https: set AWS_ALLOW_HTTP=true if that is meant"
        if "configured region" in text:
            return UssimError, f"{bucket} is in another region: set AWS_REGION"
        if 400 <= status < 500 and status != 429:
            return UssimError, f"the server refused the request ({status}) in {bucket}: see to endpoint and region"
        what = f"the server failed ({status})" if status else "no connection to the server, or no answer in time"
        return LostConnectionError, f"{what} for {bucket}: see to network and endpoint, and try again"

    # Single objects -------------------------------------------------------------------------------
    def read(self, name: str) -> bytes | None:
        """All of an object, None if it is not there."""
        import obstore

        with self.told(name):
            try:
                return bytes(obstore.get(self._objects, name).bytes())
            except FileNotFoundError as error:
                if _lacks_bucket(error):
                    raise
                return None

    def has(self, name: str) -> bool:
        """Whether there is an object of this name."""
        import obstore

        with self.told(name):
            try:
                obstore.head(self._objects, name)
            except FileNotFoundError:
                return False
            return True

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; False if it is there already.

        Where an answer is lost it is not asked again, so that nobody takes an object of its own for another's.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self.told(name):
            try:
                obstore.put(self._objects, name, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def list(self, folder: str = "") -> builtins.list[str]:
        """Names of all objects below a prefix, in order."""
        return sorted(self._sizes(folder))

    def folders(self) -> builtins.list[str]:
        """Names of what is like a folder right below, in order."""
        import obstore

        with self.told():
            return sorted(obstore.list_with_delimiter(self._objects)["common_prefixes"])

    def sizes(self) -> dict[str, int]:
        """Bytes of every object, by name."""
        return self._sizes("")

    def _sizes(self, folder: str) -> dict[str, int]:
        import obstore

        with self.told(folder):
            found = obstore.list(self._objects, prefix=folder or None).collect()
            return {one["path"]: one["size"] for one in found}

    def remove(self, name: str) -> None:
        """Remove an object; nothing happens if it is not there."""
        import obstore

        with self.told(name):
            try:
                obstore.delete(self._objects, name)
            except FileNotFoundError:
                pass

    # The store ------------------------------------------------------------------------------------
    def absence(self) -> str:
        """Why there is no store here, in words."""
        return f"no such store: bucket {self.bucket!r} has no {self.key}/zarr.json"

    def is_vacant(self) -> bool:
        """Whether there is no root yet: it is made last, and what lies here without one is no store."""
        return self.read("zarr.json") is None

    def require(self) -> None:
        """Refuse a bucket that is not there or cannot be read, before the work for it is done."""
        self.list("zarr.json")

    def create_whole(self, write: Callable[[Store], None]) -> bool:
        """Create a store whose root comes last; False if another's is there.

        No object is ever written over, and all who create a store here go through its objects in one order: whoever
        finds one that differs from his own goes no further, so that of several stores one is made.
        """
        from zarr.storage import MemoryStore

        objects: dict[str, Any] = {}
        write(MemoryStore(objects))
        root = objects.pop("zarr.json")
        strangers = sorted(set(self.list()) - set(objects))
        different = next(
            (name for name in strangers or sorted(objects) if not self._is_as(name, objects.get(name))), ""
        )
        if not different:
            return self.create("zarr.json", root.to_bytes())
        end = time.monotonic() + _OTHERS_WAIT_S
        while self.is_vacant():
            if time.monotonic() > end:
                raise UssimError(
                    f"{self}: holds no store, but objects that are of no store to be made here, as {different}: "
                    "remove them, or choose another key"
                )
            time.sleep(0.2)
        return False

    def _is_as(self, name: str, wanted: Any) -> bool:
        """Whether an object that may have been there is as it is wanted; if it was not, it is made."""
        if wanted is None:
            return False
        data = wanted.to_bytes()
        return self.create(name, data) or self.read(name) == data

    def files(self, packings: Mapping[str, Packing], *, read_only: bool = False) -> Store:
        """The store as Zarr reads and writes it."""
        from ussim.dataset.checked_objects import CheckedObjects

        return CheckedObjects(self._objects, packings, self.told, read_only=read_only)

    def remove_leftovers(self, names: Collection[str]) -> None:
        """Nothing: no object is ever half-written."""

    def flush(self, names: Collection[str]) -> None:
        """Nothing: what was taken is safe."""

    def bytes_free(self) -> None:
        """Nobody says."""


def _check_environment(where: str) -> None:
    """Refuse settings that would crash the library: most often a key that ends with a line break.

    Raises:
        UssimError: There are some; only their name is told.
    """
    for name, value in os.environ.items():
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")) and not value.isprintable():
            raise UssimError(f"{where}: {name} holds a line break or another control character; allowed: a single line")


def _lacks_bucket(error: Exception) -> bool:
    text = str(error)
    return any(sign in text for sign in ("NoSuchBucket", "ContainerNotFound", "bucket does not exist"))
