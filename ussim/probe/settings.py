"""Everything about a rendering that is neither the scene nor the choice of frames, as a user may change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ussim.errors import UssimError
from ussim.probe.retired import refuse_retired
from ussim.settings import any_of, apply_values, nearest, parse_assignments

if TYPE_CHECKING:
    from ussim.probe.imaging import Imaging
    from ussim.probe.probe import Probe
    from ussim.probe.quality import Quality

SECTIONS = ("probe", "imaging", "lq", "hq")


@dataclass(frozen=True)
class Settings:
    """Everything about a rendering that is neither the scene nor the choice of frames.

    Attributes:
        probe: The transducer and its image grid.
        imaging: Receive chain, display and physics settings.
        qualities: The images to render, by name, in the order ``lq``, ``hq``.
    """

    probe: Probe
    imaging: Imaging
    qualities: dict[str, Quality]


def build_settings(
    assignments: Iterable[str] = (),
    qualities: Iterable[str] = ("lq", "hq"),
    size: tuple[int, int] | None = None,
    **sections: Mapping[str, Any],
) -> Settings:
    """The default settings, changed by what a user says, as text or as values::

        build_settings(["probe.kind=linear", "hq.rays=64"])
        build_settings(probe={"kind": "linear"}, hq={"rays": 64})

    Args:
        assignments: ``section.field=value`` texts; sections are ``probe``, ``imaging``, ``lq`` and ``hq``.
        qualities: Names of the presets to render.
        size: Image height and width in pixels, short for ``probe.image_height`` and ``probe.image_width``.
        **sections: The same sections as keywords: values by field name.

    Returns:
        The settings, validated.

    Raises:
        UssimError: A section, field or value that is not allowed, or one given twice; the message names it.
    """
    from ussim.probe.imaging import Imaging
    from ussim.probe.probe import KINDS, make_probe
    from ussim.probe.quality import PRESETS

    names = _quality_names(qualities, PRESETS)
    values = _joined(parse_assignments(assignments, SECTIONS, "probe.depth_mm=120"), sections)
    for section, fields in values.items():
        refuse_retired(section, fields)
    for field, pixels in zip(("image_height", "image_width"), size or (), strict=False):
        if field in values["probe"]:
            raise UssimError(f"--size and --set probe.{field} say the same thing twice: give one of them")
        values["probe"][field] = pixels
    for name in PRESETS:
        if values[name] and name not in names:
            raise UssimError(f"--set {name}.{next(iter(values[name]))}: {name} is not rendered (--quality)")

    kind = values["probe"].pop("kind", "convex")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UssimError(f"probe.kind = {kind!r} is not allowed{nearest(str(kind), KINDS)}: must be {any_of(KINDS)}")
    probe = apply_values(make_probe(kind), values["probe"], "probe")
    imaging = apply_values(Imaging(), values["imaging"], "imaging")
    presets = {name: apply_values(PRESETS[name], values[name], name) for name in names}
    return Settings(probe=probe, imaging=imaging, qualities=presets)


def _joined(
    typed: Mapping[str, Mapping[str, str]], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What was typed and what was given as values, by section and field."""
    values: dict[str, dict[str, Any]] = {section: dict(fields) for section, fields in typed.items()}
    for section, fields in given.items():
        if section not in values:
            raise UssimError(f"no section {section!r}{nearest(section, values)}: must be {any_of(values)}")
        if not isinstance(fields, Mapping):
            raise UssimError(f"{section} = {fields!r} is not allowed: must be values by field name")
        for field, value in fields.items():
            if field in values[section]:
                raise UssimError(f"{section}.{field} is given twice, as text and as a value: give one of them")
            values[section][field] = value
    return values


def _quality_names(wanted: Iterable[str], presets: Mapping[str, Any]) -> list[str]:
    wanted = list(wanted)
    for name in wanted:
        if name not in presets:
            raise UssimError(f"--quality {name!r} is not allowed{nearest(name, presets)}: must be {any_of(presets)}")
    if not wanted:
        raise UssimError(f"--quality is empty: must be {any_of(presets)}")
    return [name for name in presets if name in wanted]
