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
        assignments: ``section.field=value`` texts; sections are ``probe``, ``imaging``, ``lq`` and ``hq``. ``preset``
            of the latter two names the preset that the image starts from, such as ``reference``.
        qualities: Names of the images to render.
        size: Image height and width in pixels, short for ``probe.image_height`` and ``probe.image_width``.
        **sections: The same sections as keywords: values by field name.

    Returns:
        The settings, validated.

    Raises:
        UssimError: A section, field or value that is not allowed, one given twice, or a probe that cannot be built; the
            message names it.
    """
    from ussim.probe.imaging import Imaging
    from ussim.probe.probe import KINDS, make_probe
    from ussim.probe.quality import IMAGES, PRESETS

    names = _quality_names(qualities, IMAGES)
    values = _joined(parse_assignments(assignments, SECTIONS, "probe.depth_mm=120"), sections)
    for section, fields in values.items():
        refuse_retired(section, fields)
    for field, pixels in zip(("image_height", "image_width"), size or (), strict=False):
        if field in values["probe"]:
            raise UssimError(f"--size and --set probe.{field} say the same thing twice: give one of them")
        values["probe"][field] = pixels
    for name in IMAGES:
        if values[name] and name not in names:
            raise UssimError(f"--set {name}.{next(iter(values[name]))}: {name} is not rendered (--quality)")

    kind = values["probe"].pop("kind", "convex")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UssimError(f"probe.kind = {kind!r} is not allowed{nearest(str(kind), KINDS)}: must be {any_of(KINDS)}")
    probe = apply_values(make_probe(kind), values["probe"], "probe")
    _refuse_impossible(probe)
    imaging = apply_values(Imaging(), values["imaging"], "imaging")
    chosen = {name: _preset(values[name].pop("preset", name), name, PRESETS) for name in names}
    presets = {name: apply_values(chosen[name], values[name], name) for name in names}
    return Settings(probe=probe, imaging=imaging, qualities=presets)


def _preset(wanted: Any, section: str, presets: Mapping[str, Quality]) -> Quality:
    if not isinstance(wanted, str) or wanted not in presets:
        hint = nearest(str(wanted), presets)
        raise UssimError(f"{section}.preset = {wanted!r} is not allowed{hint}: must be {any_of(presets)}")
    return presets[wanted]


def _refuse_impossible(probe: Probe) -> None:
    """Say of a probe that nobody could build what of it may be.

    Raises:
        UssimError: Its aperture is wider than its face, or its lens would have to be deeper than a half cylinder.
    """
    face_mm = probe.face_width_mm
    if probe.aperture_mm > face_mm * (1 + 1e-9):
        raise UssimError(
            f"probe.aperture_mm = {probe.aperture_mm:g} is not allowed: the face of the probe is {face_mm:g} mm wide; "
            f"must be a number > 0.5 and <= {face_mm:g}"
        )
    half_mm = probe.elevation_aperture_mm / 2
    if probe.elevation_focus_mm < half_mm:
        raise UssimError(
            f"probe.elevation_focus_mm = {probe.elevation_focus_mm:g} is not allowed: it lies inside the lens, which "
            f"is {probe.elevation_aperture_mm:g} mm high; must be a number >= {half_mm:g} and <= 500"
        )


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


def _quality_names(wanted: Iterable[str], images: Iterable[str]) -> list[str]:
    wanted, images = list(wanted), list(images)
    for name in wanted:
        if name not in images:
            raise UssimError(f"--quality {name!r} is not allowed{nearest(name, images)}: must be {any_of(images)}")
    if not wanted:
        raise UssimError(f"--quality is empty: must be {any_of(images)}")
    return [name for name in images if name in wanted]
