"""What stands where a value belongs, after a slip of the hand, a broken disk or an attack; as text of TOML or JSON."""

from __future__ import annotations

import random

NUMBERS = [
    "0", "-1", "1", "2", "3", "-0", "0.0", "-0.0", "0.5", "7", "63", "64", "255", "256", "1000", "4096", "8192",
    "65536", "1000000", "10000000", "1000000000000", "2147483648", "-2147483649", "4294967295", "9223372036854775808",
    "18446744073709551616", "1e300", "-1e300", "1e308", "1e999", "1e-320", "1e30", "1e10", "nan", "inf", "-inf", "NaN",
    "Infinity", "-Infinity", "0x7fffffff", "0x" + "f" * 5000, "1_000", "1" + "0" * 400, "7" * 5000, "-" + "7" * 5000,
    "0." + "3" * 5000,
]  # fmt: skip
TEXTS = [
    '""', '" "', '"x"', '"liver"', '"lq"', '"cpu"', '"none"', '"\\u0000"', '"a\\nb"', '"\\u001b[2J\\u0007"',
    '"\\u2028"',
    '"\\u202e"', '"\\ud800"', '"../../escaped"', '"/tmp/escaped-by-fuzz"', '"/dev/null"', '"/dev/zero"', '"."', '".."',
    '"' + "long" * 75 + '"', '"' + "y" * 5000 + '"', '"' + "ü" * 100000 + '"', '"=1+1|x"', '"{0}%s%n"', '"#000000"',
    '"nan"', '"1"', "'''", '"""', '"', "x", "liver",
]  # fmt: skip
SHAPES = [
    "null", "true", "false", "[]", "{}", "[[]]", "[{}]", "[0, 0, 0]", "[1, 2]", "[nan, 0.0, 0.0]", "[1, 2, 3, 4]",
    "[1e300, 1e300, 1e300]", "[1e-300, 0, 0]", "[1e308, 1e308, 1e308]", '["x"]', '{"x": 1}', "{x = 1}",
    "[" * 3000, "[" * 3000 + "]" * 3000, "2020-01-01", "99999-99-99", "12:00:00", "[" + "1, " * 5000 + "1]",
    "\x00", "\ufeff", "#", ",", "=", "",
]  # fmt: skip
WORDS = [
    "none",
    "cpu",
    "convex",
    "linear",
    "phased",
    "12-40",
    "1e9-2",
    "-",
    "99999x1",
    "x",
    "LM,LM",
    "reference",
    "fast",
]


def value(rng: random.Random) -> str:
    """One of them, or a number near none of them."""
    match rng.randrange(10):
        case 0 | 1 | 2:
            return rng.choice(NUMBERS)
        case 3 | 4:
            return rng.choice(TEXTS)
        case 5:
            return rng.choice(SHAPES)
        case _:
            return rng.choice(
                [str(rng.randint(-100, 10000)), repr(rng.uniform(-1e3, 1e3)), repr(rng.lognormvariate(0, 9))]
            )


def word(rng: random.Random) -> str:
    """What is typed after an option."""
    if rng.random() < 0.3:
        return rng.choice(WORDS)
    if rng.random() < 0.5:  # what may well be allowed
        return rng.choice(["1", "2", "3", "5", "8", "16", "32", "64", "100", "0.5", "1.5", "20", "40", "true", "false"])
    return value(rng).replace("\x00", "")  # no program can be given a NUL
