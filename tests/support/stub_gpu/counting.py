"""Counts what kernels do: instructions of all threads, by kind, from the optimised code of one thread."""

from __future__ import annotations

import re

COUNTED = ("float", "integer", "memory", "loaded_bytes", "stored_bytes", "other")
"""Arithmetic on floats (a quotient or a root counts as eight, as many as it takes); on whole numbers, comparisons and
conversions; accesses of memory beyond the thread's own arrays, and their bytes; branches, selections and accesses of
those arrays."""

_FLOAT = {"fadd": 1, "fsub": 1, "fmul": 1, "fneg": 1, "fcmp": 1, "fdiv": 8, "frem": 8}
_INTEGER = (
    "add sub mul and or xor shl lshr ashr icmp sext zext trunc fptosi fptoui sitofp uitofp fpext fptrunc bitcast"
    " getelementptr udiv sdiv urem srem"
).split()
_OTHER = "br switch select ret call".split()
_BYTES = {"float": 4, "i32": 4, "i64": 8, "double": 8, "ptr": 8, "i8": 1, "i16": 2, "i1": 1}


def with_counters(text: str) -> str:
    """A module whose blocks add to the global ``counts``, in the order of :data:`COUNTED`, each time they run."""
    out, own = [], set()
    block: list[str] = []
    counts = dict.fromkeys(COUNTED, 0)
    number = 0
    is_inside = False
    for line in text.splitlines():
        words = line.strip().split()
        if line.startswith("define"):
            is_inside = True
        if not is_inside or not words:
            out.append(line)
            continue
        name = words[0] if len(words) > 2 and words[1] == "=" else ""
        code = words[2:] if name else words
        if code and code[0] in ("tail", "musttail", "notail"):
            code = code[1:]
        kind = code[0] if code else ""
        if kind == "alloca" or (kind == "getelementptr" and any(word.rstrip(",") in own for word in code)):
            own.add(name)
        elif kind in _FLOAT:
            counts["float"] += _FLOAT[kind]
        elif kind == "call" and "@llvm.sqrt" in line:
            counts["float"] += 8
        elif kind == "call" and re.search(r"@llvm\.(minnum|maxnum|fabs|floor|ceil|fma|min|max)", line):
            counts["float"] += 1
        elif kind in ("load", "store", "atomicrmw", "cmpxchg"):
            pointer = re.findall(r"ptr (%[\w.\"$-]+|@[\w.\"$-]+)", line)
            if any(one in own for one in pointer) or "@registers" in line:
                counts["other"] += 1
            else:
                counts["memory"] += 1
                typed = re.match(r"(?:load|store)(?: volatile)? ([\w]+)", " ".join(code))
                size = _BYTES.get(typed[1], 8) if typed else 4
                counts["loaded_bytes" if kind == "load" else "stored_bytes"] += size
        elif kind in _INTEGER:
            counts["integer"] += 1
        elif kind in _OTHER:
            counts["other"] += 1
        if kind in ("br", "ret", "switch", "unreachable"):
            for index, value in enumerate(counts.values()):
                if value:
                    number += 1
                    place = f"getelementptr inbounds ([{len(COUNTED)} x i64], ptr @counts, i64 0, i64 {index})"
                    block += [
                        f"  %counted{number} = load i64, ptr {place}",
                        f"  %more{number} = add i64 %counted{number}, {value}",
                        f"  store i64 %more{number}, ptr {place}",
                    ]
            out += block
            block, counts = [], dict.fromkeys(COUNTED, 0)
        out.append(line)
        if line.startswith("}"):
            is_inside = False
    return "\n".join([*out, f"@counts = global [{len(COUNTED)} x i64] zeroinitializer", ""])
