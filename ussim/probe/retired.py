"""Settings of earlier versions that are gone. Stores that were made with them keep them; nothing else takes them."""

from __future__ import annotations

from collections.abc import Iterable

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


def refuse_retired(section: str, fields: Iterable[str]) -> None:
    """Say of a setting that is gone since when and why.

    Raises:
        UssimError: One of the fields is retired.
    """
    for field in fields:
        if field in RETIRED.get(section, {}):
            last, instead = RETIRED[section][field]
            raise UssimError(f"{section}.{field} was retired after {last}: {instead}; leave it out")
