"""Names as people gave them, in any alphabet, yet fit for a file, a command line and a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LONGEST_NAME = 48
"""Letters; as UTF-8 at most four times as many bytes, which every file system takes with an ending."""
# Files cannot be called so under Windows, whatever their ending.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)
# Letters by their kind, but without a shape.
_INVISIBLE = "\u115f\u1160\u3164\uffa0"


def clean_name(text: str) -> str:
    """A name that can stand in a scene file, in a file name and on a command line; may come out empty.

    Letters and digits of any alphabet, the marks on them, ``_`` and ``-`` stay; anything else becomes ``_``. A clean
    name stays as it is.
    """
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(letter if _belongs(letter) else " " for letter in composed)
    name = _trimmed("_".join(kept.split()))
    name = _trimmed(name[:LONGEST_NAME])
    return f"{name}_1" if _DEVICES.fullmatch(name) else name


def unique_names(names: Sequence[str]) -> list[str]:
    """The same names, the second of one kind as ``name_2``; capitals alone make no difference, as in many folders."""
    taken: set[str] = set()
    unique = []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            ending = f"_{number}"
            candidate = f"{name[: LONGEST_NAME - len(ending)]}{ending}"
        taken.add(candidate.casefold())
        unique.append(candidate)
    return unique


def _belongs(letter: str) -> bool:
    is_letter = letter.isalnum() or unicodedata.category(letter) in ("Mn", "Mc")
    return letter in "_-" or (is_letter and letter not in _INVISIBLE)


def _trimmed(name: str) -> str:
    """Without what joins words, or marks a letter that is not there, at its ends."""
    name = name.strip("_-")
    while name and unicodedata.category(name[0])[0] == "M":
        name = name[1:].lstrip("_-")
    return name
