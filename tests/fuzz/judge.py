"""One case: commands run in this process, and what must hold of each, whatever it was given."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

HANGS_AFTER_S = 20
MOST_BYTES = 2 * 2**30
LONGEST_LINE = 1300
EXIT_CODES = (0, 1, 2, 130)
NOISE = re.compile(r"\w*Warning:|^\s*(INFO|WARNING|ERROR|DEBUG)\b|\.py:\d+|^(libpng|OMP|terminate)\b", re.MULTILINE)
PROGRAMS = {"ussim": "cli.ussim", "translate": "cli.translate", "ussim-pipeline": "cli.ussim_pipeline"}


@dataclass(frozen=True)
class Command:
    """A command line."""

    program: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join([self.program, *self.arguments])


def command(program: str, *arguments: object) -> Command:
    return Command(program, tuple(str(argument) for argument in arguments))


class HangError(BaseException):
    """It takes too long. Not an Exception, which a command may handle."""


@dataclass(frozen=True)
class Verdict:
    """What came of a command.

    Attributes:
        code: Its exit code; −1 if it did not end by itself.
        fault: ``traceback``, ``hang``, ``memory``, ``long line``, ``noise``, ``exit code`` or ``outside``; empty if
            all is well.
        where: What is the same for all inputs that meet the same fault.
        seconds: How long it took.
        bytes: By how much the memory grew at most.
        said: Its last line on stderr, or the traceback.
    """

    code: int
    fault: str = ""
    where: str = ""
    seconds: float = 0.0
    bytes: int = 0
    said: str = ""


def judge(one: Command, case: Path, may_write: tuple[str, ...] = ("out",)) -> Verdict:
    """Run a command and look at how it ended.

    Args:
        one: The command.
        case: Folder of the case, the only one in its parent.
        may_write: What of it the command may change.
    """
    before, rss = _listing(case, may_write), _memory("VmRSS")
    _reset_peak()
    began = time.monotonic()
    with _limited(), _native_stderr(case.parent.parent / "native.txt") as native:
        try:
            result = invoke(one)
            fault, where, said = _fault(result)
            code = result.exit_code
        except HangError as error:
            code, fault, where, said = -1, "hang", _frames(error), traceback.format_exc()
    seconds, grown = time.monotonic() - began, _memory("VmHWM") - rss
    if not fault and native():
        fault, where, said = "noise", native()[:60], native()
    if not fault and grown > MOST_BYTES:
        fault, where = "memory", " ".join(one.arguments[:2])
    if not fault and _listing(case, may_write) != before:
        fault, where, said = "outside", "", str(_listing(case, may_write) ^ before)
    return Verdict(code, fault, where, seconds, grown, said)


def invoke(one: Command) -> Result:
    from importlib import import_module

    return CliRunner().invoke(import_module(PROGRAMS[one.program]).main, list(one.arguments))


def _fault(result: Result) -> tuple[str, str, str]:
    """The fault of a result, where it is, and what was said."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        text = "".join(traceback.format_exception(result.exception))
        return "traceback", f"{type(result.exception).__name__} at {_frames(result.exception)}", text
    lines = result.stderr.splitlines()
    said = lines[-1] if lines else ""
    errors = [line for line in lines if line.startswith("error: ")]
    if result.exit_code not in EXIT_CODES:
        return "exit code", str(result.exit_code), result.output
    if "Traceback" in result.output:
        return "traceback", "printed", result.output
    if NOISE.search("\n".join(line for line in lines if not line.startswith(("error: ", "warning: ")))):
        return "noise", said[:60], result.stderr
    if result.exit_code == 2 and (len(errors) != 1 or lines[-1] != errors[0]):
        return "exit code", f"{len(errors)} error lines", result.stderr
    longest = max(lines, key=len, default="")
    if len(longest) > LONGEST_LINE or not all(line.isprintable() for line in lines):
        return "long line", longest[:60], longest
    return "", "", said


def _frames(error: BaseException) -> str:
    """Where an error arose: the last line of ours, and the last of all."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    root = Path(__file__).resolve().parents[2]
    ours = [(path.relative_to(root), line) for path, line in frames
            if path.is_relative_to(root) and path.relative_to(root).parts[0] not in ("tests", ".venv")]  # fmt: skip
    last = f"{frames[-1][0].name}:{frames[-1][1]}" if frames else "?"
    return f"{ours[-1][0]}:{ours[-1][1]} ({last})" if ours else last


def _listing(case: Path, may_write: tuple[str, ...]) -> set[tuple[str, int]]:
    """Names and sizes of all files that no command has to do with, also beside the folder of the case."""
    found = {(str(path), 0) for path in case.parent.iterdir()}
    found |= {(str(path), 0) for path in Path("/tmp").glob("escaped*")}
    for top in case.iterdir():
        if top.name not in may_write:
            found |= {(str(path), path.stat().st_size if path.is_file() else 0) for path in [top, *top.rglob("*")]}
    return {(name, size) for name, size in found if not name.endswith(".lock")}


@contextmanager
def _limited() -> Iterator[None]:
    """An alarm. A watch on memory is in the parent; see ``worker.py``."""

    def give_up(*_: object) -> None:
        signal.alarm(5)  # if somebody swallows this one
        raise HangError

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def _native_stderr(path: Path) -> Iterator:
    """What libraries write past Python."""
    kept = [os.dup(1), os.dup(2)]
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    try:
        yield lambda: path.read_text(errors="replace")
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for one in (*kept, handle):
            os.close(one)


def _memory(name: str, process: str = "self") -> int:
    """A line of the process's status [bytes]."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"{name}:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def resident(process: int) -> int:
    """Memory that a process has now [bytes]."""
    return _memory("VmRSS", str(process))


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # then the peak is that of all cases so far, which bounds it
