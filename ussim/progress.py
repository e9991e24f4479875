"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What long work calls now and then, in the process that was asked for it."""

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Take note.

        Args:
            phase: What is being done.
            done: How much of it is done.
            total: How much there is.
            note: What is worth seeing meanwhile, such as losses; only work that has such a thing gives it.
        """
