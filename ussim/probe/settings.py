"""Settings from the command line: ``probe.depth_mm=120`` becomes a checked field of a settings model."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ussim.errors import UssimError

if TYPE_CHECKING:
    from ussim.probe.imaging import Imaging
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

    probe: BaseModel
    imaging: Imaging
    qualities: dict[str, Quality]


def build_settings(
    assignments: Iterable[str] = (),
    qualities: Iterable[str] = ("lq", "hq"),
    size: tuple[int, int] | None = None,
) -> Settings:
    """The default settings, changed by the assignments of a user.

    Args:
        assignments: ``section.field=value`` texts; sections are ``probe``, ``imaging``, ``lq`` and ``hq``.
        qualities: Names of the presets to render.
        size: Image height and width in pixels, short for ``probe.image_height`` and ``probe.image_width``.

    Returns:
        The settings, validated.

    Raises:
        UssimError: A section, field or value that is not allowed; the message names it and what is.
    """
    from ussim.probe.imaging import Imaging
    from ussim.probe.probe import KINDS, make_probe
    from ussim.probe.quality import PRESETS

    names = _quality_names(qualities, PRESETS)
    values = parse_assignments(assignments)
    for field, pixels in zip(("image_height", "image_width"), size or (), strict=False):
        if field in values["probe"]:
            raise UssimError(f"--size and --set probe.{field} say the same thing twice: give one of them")
        values["probe"][field] = str(pixels)
    for name in PRESETS:
        if values[name] and name not in names:
            raise UssimError(f"--set {name}.{next(iter(values[name]))}: {name} is not rendered (--quality)")

    kind = values["probe"].pop("kind", "convex")
    if kind not in KINDS:
        raise UssimError(f"probe.kind = {kind!r} is not allowed{_nearest(kind, KINDS)}: must be {_any_of(KINDS)}")
    probe = apply_values(make_probe(kind), values["probe"], "probe")
    imaging = apply_values(Imaging(), values["imaging"], "imaging")
    presets = {name: apply_values(PRESETS[name], values[name], name) for name in names}
    return Settings(probe=probe, imaging=imaging, qualities=presets)


def parse_assignments(assignments: Iterable[str]) -> dict[str, dict[str, str]]:
    """Sort ``section.field=value`` texts by section.

    Returns:
        The text of each value, by section and field; every section is present.

    Raises:
        UssimError: A text of another form, an unknown section, or a field given twice.
    """
    values: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for text in assignments:
        match = re.fullmatch(r"\s*(\w+)\.(\w+)\s*=\s*(.*?)\s*", text)
        if match is None:
            raise UssimError(
                f"--set {text}: write section.field=value with a section of {', '.join(SECTIONS)}, "
                "as in probe.depth_mm=120"
            )
        section, field, value = match.groups()
        if section not in values:
            hint = _nearest(section, SECTIONS)
            raise UssimError(f"--set {text}: no section {section!r}{hint}: must be {_any_of(SECTIONS)}")
        if field in values[section]:
            raise UssimError(f"--set {section}.{field} is given twice")
        values[section][field] = value
    return values


def apply_values(model: BaseModel, values: Mapping[str, str], section: str) -> BaseModel:
    """A copy of a settings model with some fields replaced by what a user typed.

    Args:
        model: The settings to start from.
        values: Text of the new values by field name.
        section: What the settings are called on the command line.

    Raises:
        UssimError: An unknown field or a value that is not allowed.
    """
    kind = type(model)
    for field in values:
        if field not in kind.model_fields:
            known = list(kind.model_fields)
            raise UssimError(f"{section} has no setting {field!r}{_nearest(field, known)}: must be {_any_of(known)}")
    if not values:
        return model
    typed = {field: _literal(text) for field, text in values.items()}
    try:
        return kind.model_validate({**model.model_dump(), **typed})
    except ValidationError as error:
        raise UssimError(_explain(error, kind, values, section)) from None


def _quality_names(wanted: Iterable[str], presets: Mapping[str, Any]) -> list[str]:
    wanted = list(wanted)
    for name in wanted:
        if name not in presets:
            raise UssimError(f"--quality {name!r} is not allowed{_nearest(name, presets)}: must be {_any_of(presets)}")
    if not wanted:
        raise UssimError(f"--quality is empty: must be {_any_of(presets)}")
    return [name for name in presets if name in wanted]


def _literal(text: str) -> Any:
    """Lists and none are spelled as in JSON; all else stays text for pydantic to convert."""
    if text.lower() in ("none", "null"):
        return None
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _explain(error: ValidationError, kind: type[BaseModel], values: Mapping[str, str], section: str) -> str:
    """One line for the first thing pydantic complains about."""
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    reason = re.sub(r"^(Value error|Assertion failed), |^Input should be ", "", first["msg"])
    if field not in values:  # a rule between fields: name what was typed
        typed = ", ".join(f"{section}.{name} = {value}" for name, value in values.items())
        return f"{typed}: {reason}"
    if first["type"] in ("value_error", "assertion_error"):  # a rule of the model's own says it best
        return f"{section}.{field} = {values[field]} is not allowed: {reason}"
    return f"{section}.{field} = {values[field]!r} is not allowed: must be {allowed_values(kind, field)}"


def allowed_values(kind: type[BaseModel], field: str) -> str:
    """What a field of a settings model accepts, in words: ``a number > 0 and <= 400``."""
    info = kind.model_fields[field]
    bounds = []
    for item in info.metadata:
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if getattr(item, name, None) is not None:
                bounds.append(f"{sign} {getattr(item, name):g}")
    return " ".join([_type_in_words(info.annotation), " and ".join(bounds)]).strip()


def _type_in_words(annotation: Any) -> str:
    plain = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    if annotation in plain:
        return plain[annotation]
    if annotation is type(None):
        return "none"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _any_of(map(str, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(_type_in_words(kind) for kind in inner)
    if origin in (tuple, list):
        return "a list such as [1, 2]"
    return "a value of type " + getattr(annotation, "__name__", str(annotation))


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _any_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(names)
