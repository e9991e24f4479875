"""Read a TOML file into a checked pydantic model; every mistake becomes one line that says where it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ussim.errors import UssimError
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
        data = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise UssimError(f"{path}: no such file") from None
    except OSError as error:
        raise UssimError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UssimError(f"{path}: must be UTF-8 text, but byte {error.start} is not") from None
    except tomllib.TOMLDecodeError as error:
        raise UssimError(f"{path}: not valid TOML: {error}") from None
    return validated(model, data, f"{path}: ")
