"""Settings: every mistake becomes one line that says where it is, and ``--set key=value`` is read in one way."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ussim.errors import UssimError
from ussim.files import read_file

Model = TypeVar("Model", bound=BaseModel)

_MOST_DIGITS = 19  # of 2⁶³ − 1
_ENDS = "']0123456789"  # of the name or number of a table
# What pydantic calls a key that does not belong: in a model, in a dataclass.
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


# Checking ---------------------------------------------------------------------------------------------


def validated(model: type[Model], data: Any, where: str) -> Model:
    """Plain data as a checked model.

    Args:
        model: What the data must look like.
        data: From a file, a header, a caller.
        where: What the message begins with, such as ``scene.toml: ``.

    Raises:
        UssimError: They do not fit; see :func:`explain`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UssimError(f"{where}{explain(error, model, data)}") from None


def read_json(model: type[Model], path: Path) -> Model:
    """A JSON file as a checked model.

    Raises:
        UssimError: It cannot be read, is no JSON, or does not fit; one line that begins with its path.
    """
    try:
        data = json.loads(read_file(path))
    except OSError as error:
        raise UssimError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UssimError(f"{path}: not valid JSON: {error}") from None
    return validated(model, data, f"{path}: ")


def explain(error: ValidationError, model: type[BaseModel], data: Any) -> str:
    """Return a validation error as one line: place, value, what is allowed, how many errors follow.

    Args:
        error: What pydantic raised.
        model: The model that was being filled.
        data: The raw content it was filled from; its ``name`` entries name the tables in the message.
    """
    # A misspelt key is also a missing one: the misspelling says more.
    mistakes = sorted(error.errors(include_url=False), key=lambda one: one["type"] not in UNKNOWN_KEY)
    first, *others = mistakes
    *tables, last = first["loc"] or ("",)
    if first["type"] in UNKNOWN_KEY:
        what = f"unknown key '{last}': {suggest(str(last), _field_names(model, tables))}"
        place = _place(tables, data)
    elif first["type"] == "missing":
        what = f"missing key '{last}'"
        place = _place(tables, data)
    else:
        what = _requirement(first["msg"], _field(model, first["loc"]))
        place = _place(first["loc"], data)
        if not isinstance(first["input"], dict | list):
            place = f"{place} = {_short(first['input'])}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {what}{more}" if place else f"{what}{more}"


def _place(loc: Iterable[str | int], data: Any) -> str:
    """Spell a location: ('surface', 2, 'scale') → "surface 'skull': scale"; unnamed tables count from 1."""
    text = ""
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
        if isinstance(part, str):
            text += f"{': ' if text[-1] in _ENDS else '.'}{part}" if text else part
        elif isinstance(data, dict):
            name = data.get("name")
            text += f" '{name}'" if isinstance(name, str) and name else f" {part + 1}"
        else:
            text += f"[{part}]"
    return text


def _short(value: Any, length: int = 60) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits, which TOML reads where they are hexadecimal
        return "a number of thousands of digits"
    return text if len(text) <= length else text[: length - 1] + "…"


def _requirement(message: str, field: Any) -> str:
    """Return pydantic's message with the whole allowed range, not only the bound that was hit."""
    text = message.removeprefix("Value error, ").replace("Input should", "must", 1)
    limits: dict[str, Any] = {}
    for rule in getattr(field, "metadata", ()):
        limits |= {key: getattr(rule, key) for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)}
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    allowed = ", ".join(f"{words[key]} {value:.10g}" for key, value in limits.items())
    return f"{text}; allowed: {allowed}" if allowed else text


def _walk(model: Any, loc: Iterable[str | int]) -> tuple[Any, Any]:
    """Follow a location through nested models: (the last field met, the type reached)."""
    field, kind = None, model
    for part in loc:
        fields = getattr(kind, "__pydantic_fields__", None)
        if isinstance(part, str) and fields and part in fields:
            field = fields[part]
            kind = field.annotation
        else:
            kind = next(iter(get_args(kind)), None)
    return field, kind


def _field(model: Any, loc: Iterable[str | int]) -> Any:
    return _walk(model, loc)[0]


def _field_names(model: Any, loc: Iterable[str | int]) -> list[str]:
    return list(getattr(_walk(model, loc)[1], "__pydantic_fields__", {}))


def suggest(word: str, allowed: Iterable[str]) -> str:
    """Return ``did you mean 'x'? allowed: x, y, z`` for a word that is none of the allowed ones."""
    allowed = list(allowed)
    close = difflib.get_close_matches(word, allowed, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}allowed: {', '.join(allowed)}"


# Typed by a user --------------------------------------------------------------------------------------


def parse_assignments(
    texts: Iterable[str], sections: Iterable[str], example: str, option: str = "--set"
) -> dict[str, dict[str, str]]:
    """Sort ``section.field=value`` texts by section.

    Args:
        texts: What was typed; white space around key and value does not count.
        sections: Names of the sections; with the single name ``""`` keys have no section.
        example: A right one, for messages.
        option: What they were given with.

    Returns:
        The text of each value, by section and field; every section is present.

    Raises:
        UssimError: A text of another form, an unknown section, or a field given twice.
    """
    values: dict[str, dict[str, str]] = {section: {} for section in sections}
    named = [section for section in values if section]
    for text in texts:
        match = re.fullmatch(r"\s*(?:(\w+)\.)?(\w+)\s*=\s*(.*?)\s*", text, re.DOTALL)
        if match is None or bool(match[1]) != bool(named):
            if named:
                form = f"write section.field=value with a section of {', '.join(named)}"
            else:
                form = "write key=value"
            raise UssimError(f"{option} {text}: {form}, as in {example}")
        section, field, value = match[1] or "", match[2], match[3]
        if section not in values:
            hint = nearest(section, named)
            raise UssimError(f"{option} {text}: no section {section!r}{hint}: must be {any_of(named)}")
        if field in values[section]:
            raise UssimError(f"{option} {section}{'.' if section else ''}{field} is given twice")
        values[section][field] = value
    return values


def whole_number(text: str) -> int | None:
    """A whole number as it is typed; None if it is none, or longer than any that could be meant."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def literal(text: str) -> Any:
    """A typed value: as JSON where it is JSON, ``none`` for null, else the text itself."""
    if text.lower() in ("none", "null"):
        return None
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text


def apply_values(model: Model, values: Mapping[str, Any], section: str) -> Model:
    """A copy of a settings model with some fields replaced by what a user typed or gave.

    Args:
        model: The settings to start from.
        values: The new values by field name; text is read as it is typed, see :func:`literal`.
        section: What the settings are called on the command line.

    Raises:
        UssimError: An unknown field or a value that is not allowed.
    """
    kind = type(model)
    for field in values:
        if field not in kind.model_fields:
            known = list(kind.model_fields)
            raise UssimError(f"{section} has no setting {field!r}{nearest(field, known)}: must be {any_of(known)}")
    if not values:
        return model
    typed = {field: literal(value) if isinstance(value, str) else value for field, value in values.items()}
    try:
        return kind.model_validate({**model.model_dump(), **typed})
    except ValidationError as error:
        raise UssimError(_explain_typed(error, kind, values, section)) from None


def _explain_typed(error: ValidationError, kind: type[BaseModel], values: Mapping[str, Any], section: str) -> str:
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
        return any_of(map(str, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(_type_in_words(kind) for kind in inner)
    if origin in (tuple, list):
        return "a list such as [1, 2]"
    return "a value of type " + getattr(annotation, "__name__", str(annotation))


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def any_of(names: Iterable[str]) -> str:
    """``one of x, y, z``."""
    return "one of " + ", ".join(names)
