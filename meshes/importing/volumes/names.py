"""What labels are called: tables in headers, and the files of names that other programs write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from meshes.importing.volumes.raw import require_file
from ussim.errors import UssimError

_LARGEST_FILE = 16 << 20
_MOST_DIGITS = 19  # of a label: below 2⁶³
# 1 255 0 0 1 1 1 "liver"                ITK-SNAP
_SNAP = re.compile(r'\s*(\d+)(?:\s+[\d.]+){6}\s+"(.*)"\s*')
# 17  Left-Hippocampus  220 216 20 0     FreeSurfer, and Slicer's colour tables
_LUT = re.compile(r"\s*(\d+)\s+(\S.*?)(?:\s+\d+){3,4}\s*")
_TABLE = re.compile(r'\s*(\d+)\s*[\t,;]\s*"?([^\t,;"]+)"?(?:[\t,;].*)?')  # index, name, further columns
NAME_FILES = "JSON (dataset.json, labels.json), ITK-SNAP's labels, FreeSurfer's colour table, or TSV of index and name"


def names_in_xml(content: Any) -> dict[int, str]:
    """Names in the label table of a NIfTI header's extension, as TotalSegmentator and Connectome Workbench write them.

    Args:
        content: Bytes or text of the extension, of any kind.

    Returns:
        Names by label; none if it is something else.
    """
    data = content.encode() if isinstance(content, str) else content
    if not isinstance(data, bytes) or b"<LabelTable" not in data or b"<!ENTITY" in data:
        return {}
    try:
        table = ElementTree.fromstring(data.strip(b"\0 \r\n"))
    except ElementTree.ParseError:
        return {}
    found = [(label.get("Key", ""), (label.text or "").strip()) for label in table.iter("Label")]
    return {int(key): name for key, name in found if _is_label(key) and name}


def read_names(path: Path) -> dict[int, str]:
    """Read a file of names.

    Raises:
        UssimError: It is missing, too large, no text, or holds no names in a form known here.
    """
    require_file(path)
    if path.stat().st_size > _LARGEST_FILE:
        raise UssimError(f"{path}: {path.stat().st_size:,} bytes; allowed: at most {_LARGEST_FILE:,}")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UssimError(f"{path}: must be UTF-8 text, but byte {error.start} is not") from None
    except OSError as error:
        raise UssimError(f"{path}: cannot be read: {error.strerror or error}") from None
    readers: list[Callable[[str], dict[int, str]]] = [_from_json] if text.lstrip()[:1] in ("{", "[") else [_from_lines]
    try:
        found = {value: name for value, name in readers[0](text).items() if value and name}
    except (ValueError, RecursionError) as error:
        raise UssimError(f"{path}: not valid JSON: {str(error)[:120]}") from None
    if not found:
        raise UssimError(f"{path}: no names of labels in it; allowed: {NAME_FILES}")
    return found


def _is_label(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MOST_DIGITS


def _from_json(text: str) -> dict[int, str]:
    """``{"labels": {"liver": 1}}``, ``{"labels": {"1": "liver"}}``, and the same without ``labels``."""
    data = json.loads(text)
    table = data.get("labels", data) if isinstance(data, dict) else {}
    found: dict[int, str] = {}
    for key, value in table.items() if isinstance(table, dict) else ():
        if _is_label(key) and isinstance(value, str):
            found[int(key)] = value.strip()
        elif isinstance(value, int) and not isinstance(value, bool):
            found[value] = key.strip()
    return found


def _from_lines(text: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for line in text.splitlines():
        match = next((match for form in (_SNAP, _LUT, _TABLE) if (match := form.fullmatch(line[:2000]))), None)
        if match and _is_label(match[1]):
            found[int(match[1])] = match[2].strip()
    return found
