"""Random damage for readers: texts and files with mistakes in them, and the one way in which they may be refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st

from ussim.errors import UssimError

HANGS_AFTER_S = 60

# What a mistaken hand, a broken disk or an attacker puts where a value belongs, in TOML, JSON or after --set.
VALUES = st.one_of(
    st.sampled_from([
        "0", "-1", "1", "0.0", "1e999", "-1e300", "1e-320", "nan", "inf", "NaN", "Infinity", "9223372036854775808",
        "1" + "0" * 400, "7" * 4400, "0x7fffffff", "true", "null", '""', '"x"', '"liver"', '"\\u0000"', '"a\\nb"',
        '"\\u001b[31m"', '"\\u2028"', '"../.."', '"/dev/null"', "[]", "{}", "[[]]", "[0, 0, 0]", "[nan, 0.0, 0.0]",
        "[" * 3000,
        "[1e308, 1e308, 1e308]", '"' + "long" * 500 + '"', "2020-01-01", "99999-99-99", "'''", '"""', "\x00", "\ufeff",
    ]),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=8),
)  # fmt: skip


@contextmanager
def only_mistakes_are_refused() -> Iterator[None]:
    """Whatever a reader is given: it takes it, or raises a UssimError of one printable line, in finite time."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"no answer in {HANGS_AFTER_S} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANGS_AFTER_S)
    try:
        yield
    except UssimError as error:
        message = str(error)
        assert message.strip(), "an empty message"
        assert message.isprintable(), f"control characters or line breaks in the message: {message!r}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@st.composite
def damaged_text(draw: st.DrawFn, text: str, most: int = 3) -> str:
    """A text of lines such as ``key = value`` or ``"key": value`` with a few mistakes in it."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        match draw(st.sampled_from(["value", "value", "value", "key", "drop", "double", "insert", "cut", "move"])):
            case "value":
                mark = "=" if "=" in line else ":"
                key, found, old = line.partition(mark)
                comma = "," if old.rstrip().endswith(",") else ""
                lines[at] = f"{key}{found} {draw(VALUES)}{comma}" if found else draw(VALUES)
            case "key":
                lines[at] = draw(VALUES) + line[draw(st.integers(0, len(line))) :]
            case "drop":
                del lines[at]
            case "double":
                lines.insert(at, line)
            case "insert":
                column = draw(st.integers(0, len(line)))
                lines[at] = line[:column] + draw(VALUES) + line[column:]
            case "cut":
                lines = [*lines[:at], line[: draw(st.integers(0, len(line)))]]
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        lines = lines or [""]
    return "\n".join(lines)


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes, most: int = 3) -> bytes:
    """A file that is cut, flipped in places, or has pieces missing, doubled or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, most))):
        # Headers are short and decide most: half of the damage is done to the first bytes.
        at = draw(st.one_of(st.integers(0, min(len(data), 200)), st.integers(0, len(data))))
        match draw(st.sampled_from(["cut", "flip", "set", "drop", "double", "insert"])):
            case "cut":
                del data[at:]
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(data):
                new = draw(st.sampled_from([b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"nan", b"-1", b"1e999"]))
                data[at : at + len(new)] = new
            case "drop":
                del data[at : at + draw(st.integers(1, 64))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "insert":
                data[at:at] = draw(st.one_of(st.binary(max_size=16), VALUES.map(lambda text: text[:80].encode())))
    return bytes(data)
