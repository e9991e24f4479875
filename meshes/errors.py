"""Errors that a user of the anatomy builder can cause; every message is one line."""

from __future__ import annotations

from ussim.errors import UssimError


class MeshesError(UssimError):
    """Base of the builder's errors."""


class SettingError(MeshesError):
    """A setting is outside its allowed range.

    Args:
        field: name of the setting.
        value: the value that was given.
        allowed: the allowed values, in words.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} = {value!r} is not allowed: use {allowed}")
        self.field, self.value, self.allowed = field, value, allowed


class SurfaceError(MeshesError):
    """A surface could not be made as a closed, outward-wound triangle mesh."""


class OutputError(MeshesError):
    """The scene folder cannot be written."""
