"""TOML: files read into checked pydantic models, and text that cannot break out of the place it is written to."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from ussim.errors import UssimError
from ussim.files import read_file
from ussim.settings import Model, validated


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
        data = tomllib.loads(read_file(path).decode("utf-8"))
    except FileNotFoundError:
        raise UssimError(f"{path}: no such file") from None
    except OSError as error:
        raise UssimError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UssimError(f"{path}: must be UTF-8 text, but byte {error.start} is not") from None
    except ValueError as error:  # of the parser, or of Python where a number has thousands of digits
        raise UssimError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise UssimError(f"{path}: not valid TOML: brackets within brackets, too deep to read") from None
    return validated(model, data, f"{path}: ")


def toml_value(value: Any) -> str:
    """Write a text, a truth value, a number or a list of these; read back, it is the same value.

    Half a surrogate pair, which file names may hold and UTF-8 may not, becomes U+FFFD.

    Raises:
        TypeError: A value of another kind.
    """
    if isinstance(value, str):
        # JSON escapes what TOML forbids in a basic string, but for DEL.
        quoted = json.dumps(re.sub(r"[\ud800-\udfff]", "\ufffd", value), ensure_ascii=False)
        return quoted.replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    raise TypeError(f"{value!r} cannot be written as TOML")


def toml_comment(text: str) -> str:
    """Write a comment of one line, whatever the text holds."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"# {' '.join(plain.split())}".rstrip()
