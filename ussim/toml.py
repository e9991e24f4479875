"""Read a TOML file into a checked pydantic model; every mistake becomes one line that says where it is."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ussim.errors import UssimError

Model = TypeVar("Model", bound=BaseModel)

# What pydantic calls a key that does not belong: in a model, in a dataclass.
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


def read_toml(path: Path, model: type[Model]) -> Model:
    """Read and validate one TOML file.

    Args:
        path: The file.
        model: What its content must look like.

    Returns:
        The validated content.

    Raises:
        UssimError: The file is missing, unreadable, not TOML, or does not fit the model. The message names
            the file, the table, the field, its value and what is allowed.
    """
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise UssimError(f"{path}: no such file") from None
    except OSError as error:
        raise UssimError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UssimError(f"{path}: must be UTF-8 text, but byte {error.start} is not") from None
    except tomllib.TOMLDecodeError as error:
        raise UssimError(f"{path}: not valid TOML: {error}") from None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UssimError(f"{path}: {explain(error, model, data)}") from None


def suggest(word: str, allowed: Iterable[str]) -> str:
    """Return ``did you mean 'x'? allowed: x, y, z`` for a word that is none of the allowed ones."""
    allowed = list(allowed)
    close = difflib.get_close_matches(word, allowed, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}allowed: {', '.join(allowed)}"


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
    more = f" (and {len(others)} more in this file)" if others else ""
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
            text += f": {part}" if text else part
        elif isinstance(data, dict):
            name = data.get("name")
            text += f" '{name}'" if isinstance(name, str) and name else f" {part + 1}"
        else:
            text += f"[{part}]"
    return text


def _short(value: Any, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"


def _requirement(message: str, field: Any) -> str:
    """Return pydantic's message with the whole allowed range, not only the bound that was hit."""
    text = message.removeprefix("Value error, ").replace("Input should", "must", 1)
    limits = {}
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
