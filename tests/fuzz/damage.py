"""Mistakes made in texts of lines, in JSON and in bytes. All chance comes from the ``rng`` that is given."""

from __future__ import annotations

import json
import random
import re
import struct
from pathlib import Path
from typing import Any

from fuzz.values import value

MOST_MISTAKES = 3


def mistakes(rng: random.Random) -> range:
    """How many: mostly one, which is easiest to understand."""
    return range(rng.choice([1, 1, 1, 2, MOST_MISTAKES]))


def damage_text(rng: random.Random, path: Path) -> None:
    """Mistakes in a file of lines such as ``key = value``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for _ in mistakes(rng):
        lines = _damaged_lines(rng, lines) or [""]
    data = "\n".join(lines).encode("utf-8", errors="surrogatepass")
    path.write_bytes(_damaged_bytes(rng, data) if rng.random() < 0.05 else data)


def _damaged_lines(rng: random.Random, lines: list[str]) -> list[str]:
    at = rng.randrange(len(lines))
    line = lines[at]
    key, equals, old = line.partition("=")
    numbers = list(re.finditer(r"-?\d+(\.\d+)?", old))
    others = ["key", "drop", "twice", "insert", "cut", "many"]  # which the parser mostly refuses: the lesser half
    match rng.choice(["value"] * 5 + ["number"] * 5 + others):
        case "value" if equals:
            return [*lines[:at], f"{key}= {value(rng)}", *lines[at + 1 :]]
        case "number" if numbers:
            one = rng.choice(numbers)
            return [*lines[:at], f"{key}={old[: one.start()]}{value(rng)}{old[one.end() :]}", *lines[at + 1 :]]
        case "key" if equals:
            return [*lines[:at], f"{rng.choice([value(rng), key.strip() + 'x', 'name'])} ={old}", *lines[at + 1 :]]
        case "drop":
            return lines[:at] + lines[at + 1 :]
        case "twice":
            return [*lines[:at], line, *lines[at:]]
        case "many" if line.startswith("["):  # a table, or a part of one, again and again
            return lines + lines[at:] * rng.choice([1, 2, 100])
        case "cut":
            return [*lines[:at], line[: rng.randint(0, len(line))]]
        case _:
            column = rng.randint(0, len(line))
            return [*lines[:at], line[:column] + value(rng) + line[column:], *lines[at + 1 :]]


def damage_json(rng: random.Random, path: Path) -> None:
    """Mistakes in the tree of a JSON file; now and then in its bytes."""
    if rng.random() < 0.1:
        path.write_bytes(_damaged_bytes(rng, path.read_bytes()))
    else:
        path.write_text(damaged_json(rng, json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")


def damaged_json(rng: random.Random, tree: Any) -> str:
    """The text of a tree in which some values, keys or entries are others."""
    raw: dict[str, str] = {}
    for _ in mistakes(rng):
        tree = _damaged_tree(rng, tree, raw)
    text = json.dumps(tree)
    for mark, new in raw.items():
        text = text.replace(f'"{mark}"', new.encode("utf-8", "replace").decode())
    return text


def _damaged_tree(rng: random.Random, tree: Any, raw: dict[str, str]) -> Any:
    places = list(_places(tree))
    mark = f"@@{len(raw)}@@"
    raw[mark] = value(rng)
    if not places or rng.random() < 0.02:
        return mark
    parent, key = rng.choice(places)
    match rng.choice(["value", "value", "value", "value", "key", "drop", "other", "wrap", "many"]):
        case "key" if isinstance(parent, dict):
            parent[f"{key}x"] = parent.pop(key)
        case "drop":
            del parent[key]
        case "other":  # the value of another place, perhaps of another type
            other, there = rng.choice(places)
            if other is not parent or there != key:
                parent[key] = json.loads(json.dumps(other[there]))
        case "wrap":
            parent[key] = rng.choice([[parent[key]], {"x": parent[key]}])
        case "many" if isinstance(parent, list):
            parent += [parent[key]] * rng.choice([1, 2, 300])
        case _:
            parent[key] = mark
    return tree


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in items:
        yield tree, key
        yield from _places(below)


def damage_bytes(rng: random.Random, path: Path) -> None:
    """Mistakes in the bytes of a file."""
    path.write_bytes(_damaged_bytes(rng, path.read_bytes()))


def _damaged_bytes(rng: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in mistakes(rng):
        # Headers are short and decide most: half of the damage is done to the first bytes.
        at = rng.randint(0, min(len(data), 200) if rng.random() < 0.5 else len(data))
        match rng.choice(["cut", "flip", "flip", "set", "set", "drop", "double", "insert", "zero"]):
            case "cut":
                del data[at:]
            case "flip":
                if at < len(data):
                    data[at] ^= 1 << rng.randrange(8)
            case "set":
                new = _field(rng)
                data[at : at + len(new)] = new
            case "drop":
                del data[at : at + rng.choice([1, 4, 64, 4096])]
            case "double":
                data[at:at] = data[at : at + rng.choice([1, 4, 64, 4096])]
            case "insert":
                data[at:at] = value(rng)[:80].encode("utf-8", "replace")
            case "zero":
                count = rng.choice([4, 64, 4096])
                data[at : at + count] = bytes(len(data[at : at + count]))
    return bytes(data)


def _field(rng: random.Random) -> bytes:
    """A field of a header: a length, an offset, a size, that is another."""
    number = rng.choice([0, 1, 2, 255, 65535, 2**20, 2**28, 2**31 - 1, 2**31, 2**32 - 1])
    real = rng.choice([0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf")])
    text = rng.choice([b"nan", b"-1", b"1e999", b"\xff\xff", b"99999999"])
    return rng.choice([struct.pack("<I", number), struct.pack(">I", number), struct.pack("<f", real), text])
