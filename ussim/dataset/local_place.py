"""A store in a folder of this machine."""

from __future__ import annotations

import builtins
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ussim.errors import UssimError
from ussim.files import flush, flush_files, read_file, require_place, whole_folder
from ussim.scratch import PARTIAL, is_partial, scratch_beside

if TYPE_CHECKING:
    from zarr.abc.store import Store

    from ussim.dataset.packing import Packing


class LocalPlace:
    """A folder; see :class:`ussim.dataset.place.Place` for what it does.

    Args:
        folder: It may exist.
    """

    sharded = False

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def where(self) -> Path:
        """The folder, as it is told to users."""
        return self.folder

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    def __str__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"LocalPlace({str(self.folder)!r})"

    # Single files ---------------------------------------------------------------------------------
    def read(self, name: str) -> bytes | None:
        """All of an ordinary file, None if it is not there."""
        try:
            return read_file(self.folder / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UssimError(f"{self}: cannot read {name}: {error.strerror or error}") from None

    def has(self, name: str) -> bool:
        """Whether there is an ordinary file of this name."""
        return (self.folder / name).is_file()

    def create(self, name: str, data: bytes) -> bool:
        """Make a file, whole and on the disk; False if it is there already."""
        path = self.folder / name
        scratch = scratch_beside(path)
        try:
            while True:
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    scratch.write_bytes(data)
                    break
                except FileNotFoundError:  # somebody removed the last file of the folder, and so the folder
                    continue
            flush(scratch)
            try:
                os.link(scratch, path)  # of several exactly one succeeds, and nobody sees half a file
            except FileExistsError:
                return False
            flush(path.parent)
        except OSError as error:
            raise UssimError(f"{self}: cannot make {name}: {error.strerror or error}") from None
        finally:
            scratch.unlink(missing_ok=True)
        return True

    def list(self, folder: str = "") -> builtins.list[str]:
        """Names of all whole files in a folder and the folders in it, in order."""
        return sorted(name for name in self._names(folder) if not is_partial(Path(name)))

    def folders(self) -> builtins.list[str]:
        """Names of the folders right below, in order."""
        return sorted(entry.name for entry in os.scandir(self.folder) if entry.is_dir())

    def sizes(self) -> dict[str, int]:
        """Bytes of everything that is no folder, by name."""
        return {name: (self.folder / name).lstat().st_size for name in self._names("")}

    def _names(self, folder: str) -> builtins.list[str]:
        found = os.walk(self.folder / folder)
        return [
            (Path(parent) / file).relative_to(self.folder).as_posix() for parent, _, files in found for file in files
        ]

    def remove(self, name: str) -> None:
        """Remove a file, and its folders where it was the last; nothing happens if it is not there."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise UssimError(f"{self}: cannot remove {name}: {error.strerror or error}") from None
        for folder in Path(name).parents[:-1]:
            with suppress(OSError):  # there are others in it
                (self.folder / folder).rmdir()

    # The store ------------------------------------------------------------------------------------
    def absence(self) -> str:
        """Why there is no store here, in words."""
        if self.folder.is_dir():
            return "not a Zarr v3 store (no zarr.json in it)"
        return "not a store but a file" if self.folder.exists() else "no such store"

    def is_vacant(self) -> bool:
        """Whether there is nothing, or an empty folder."""
        return not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir()))

    def require(self) -> None:
        """Refuse a place where no folder can be made, before the work for it is done."""
        require_place(self.folder)

    def create_whole(self, write: Callable[[Store], None]) -> bool:
        """Create a store that appears with all its files or not at all; False if the place is taken."""
        from zarr.storage import LocalStore

        if not self.is_vacant():
            return False
        try:
            with whole_folder(self.folder) as scratch:
                write(LocalStore(scratch))
        except OSError as error:
            if not self.is_vacant():
                return False
            raise UssimError(f"{self}: cannot create the store: {error.strerror or error}") from None
        return True

    def files(self, packings: Mapping[str, Packing], *, read_only: bool = False) -> Store:
        """The store as Zarr reads and writes it."""
        from ussim.dataset.checked_files import CheckedFiles

        return CheckedFiles(self.folder, packings, read_only=read_only)

    def remove_leftovers(self, names: Collection[str]) -> None:
        """Remove what a killed process left half-written of some files."""
        for path in (self.folder / name for name in names):
            for leftover in path.parent.glob(f"{path.name}.*{PARTIAL}"):
                leftover.unlink(missing_ok=True)

    def flush(self, names: Collection[str]) -> None:
        """Wait until files are on the disk, and the names that lead to them."""
        flush_files([self.folder / name for name in names], self.folder)

    def bytes_free(self) -> int:
        """Room on the disk."""
        return shutil.disk_usage(next(parent for parent in self.folder.absolute().parents if parent.exists())).free
