"""Settings of earlier versions that are gone. Stores that were made with them keep them; nothing else takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ussim.errors import UssimError

_SCATTER = "every scatterer of the beam counts once"

RETIRED: dict[str, dict[str, tuple[str, str]]] = {
    "imaging": {
        "beam": ("0.1.0", "every scanline is an aperture's"),
        "lobe_exponent": ("0.1.0", "a wall is as bright as it faces the aperture"),
        "acceptance_rad": ("0.1.0", "what strays at a rough wall follows from its roughness_exponent"),
    },
    "lq": {"taps": ("0.1.0", _SCATTER)},
    "hq": {"taps": ("0.1.0", _SCATTER)},
}
"""By section and setting: the last version that had it, and what holds instead."""


def without_retired(section: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier version wrote down, without the settings that are gone."""
    return {name: value for name, value in fields.items() if name not in RETIRED.get(section, {})}


def refuse_retired(section: str, fields: Iterable[str]) -> None:
    """Say of a setting that is gone since when and why.

    Raises:
        UssimError: One of the fields is retired.
    """
    for field in fields:
        if field in RETIRED.get(section, {}):
            last, instead = RETIRED[section][field]
            raise UssimError(f"{section}.{field} was retired after {last}: {instead}; leave it out")
