"""Cases in a forked process that may hang, crash or eat memory without harm; a new one takes over where it fell."""

from __future__ import annotations

import json
import os
import random
import resource
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuzz.judge import HANGS_AFTER_S, MOST_BYTES, Command, Verdict, invoke, judge, resident

GRACE_S = 10
ADDRESS_BYTES = 12 * 2**30  # beyond it nothing is given, so that a wild request cannot take the machine down
RECYCLE = 400  # cases of one process: what libraries never give back does not add up


@dataclass(frozen=True)
class Kind:
    """A kind of case.

    Attributes:
        make: Writes the valid input into a folder.
        sound: Commands that must take the valid input; they also compile what the cases then find compiled.
        damage: Damages a copy of it, and says what commands to run.
        may_write: Entries of the folder, beside ``out``, that the commands may change.
        heavy: Modules to import before forking.
    """

    make: Callable[[Path], None]
    sound: Callable[[Path], list[Command]]
    damage: Callable[[random.Random, Path], list[Command]]
    may_write: tuple[str, ...] = ()
    heavy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a command of a case."""

    case: int
    command: str
    verdict: Verdict


def fill(kind: Kind, template: Path) -> None:
    """Write the valid input of a kind, in a process of its own: this one must stay without threads, to be forked."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _silence()
            kind.make(template)
            _try_out(kind, template)
            code = 0
        except BaseException as error:
            template.with_name("error.txt").write_text(repr(error))
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        error = template.with_name("error.txt")
        raise RuntimeError(f"no valid input: {error.read_text() if error.is_file() else 'the process fell'}")


def _try_out(kind: Kind, template: Path) -> None:
    """See that the valid input is taken, in a copy of it."""
    copy = template.with_name("sound") / "case"
    shutil.copytree(template, copy)
    (copy / "out").mkdir()
    for one in kind.sound(copy):
        result = invoke(one)
        if result.exit_code:
            raise RuntimeError(f"{one}: {result.output}")


def build(kind: Kind, name: str, seed: int, number: int, template: Path, area: Path) -> tuple[Path, list[Command]]:
    """The folder of a case, and its commands. The same numbers give the same case."""
    case = area / "case"
    shutil.rmtree(area, ignore_errors=True)
    shutil.copytree(template, case)
    commands = kind.damage(random.Random(f"{name} {seed} {number}"), case)
    (case / "out").mkdir(exist_ok=True)
    return case, commands


def outcomes(kind: Kind, name: str, seed: int, numbers: range, template: Path, work: Path) -> Iterator[Outcome]:
    """Run cases, one after another, in processes that are watched."""
    at = numbers.start
    while at < numbers.stop:
        stop = min(at + RECYCLE, numbers.stop)
        process, pipe = _fork(kind, name, seed, range(at, stop), template, work)
        end = ""
        for message in _messages(process, pipe):
            if isinstance(message, str):
                end = message
            elif message.get("done"):
                at = message["case"] + 1
            else:
                yield Outcome(message["case"], message["command"], Verdict(**message["verdict"]))
        _, status = os.waitpid(process, 0)
        if at < stop:  # it fell in this case
            fault = end or "exit code"
            where = (work / "command.txt").read_text()
            yield Outcome(at, where, Verdict(-1, fault, f"killed: {fault} {status}", said=where))
            at += 1


def _fork(kind: Kind, name: str, seed: int, numbers: range, template: Path, work: Path) -> tuple[int, int]:
    reader, writer = os.pipe()
    process = os.fork()
    if process:
        os.close(writer)
        return process, reader
    os.close(reader)  # else it would wait for ever for a parent that is gone
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _silence()
        with os.fdopen(writer, "w") as pipe:
            for number in numbers:
                case, commands = build(kind, name, seed, number, template, work / "area")
                for one in commands:
                    (work / "command.txt").write_text(str(one), errors="replace")
                    verdict = judge(one, case, ("out", *kind.may_write))
                    _send(pipe, case=number, command=str(one), verdict=asdict(verdict))
                _send(pipe, case=number, done=True)
        os._exit(0)
    except BaseException as error:  # of the campaign itself: tell it, or it goes unseen
        (work / "campaign_error.txt").write_text(repr(error))
        raise
    finally:
        os._exit(1)


def _send(pipe: Any, **fields: Any) -> None:
    pipe.write(json.dumps(fields) + "\n")
    pipe.flush()


def _messages(process: int, pipe: int) -> Iterator[Any]:
    """What a worker says; as text why it was killed, if it was."""
    with os.fdopen(pipe, "rb", buffering=0) as stream:
        text, heard, base = b"", time.monotonic(), resident(process)
        while True:
            if select.select([stream], [], [], 0.05)[0]:
                part = stream.read(65536)
                if not part:
                    return
                *lines, text = (text + part).split(b"\n")
                yield from map(json.loads, lines)
                heard = time.monotonic()
            elif time.monotonic() - heard > HANGS_AFTER_S + GRACE_S:
                os.kill(process, signal.SIGKILL)
                yield "hang"
                return
            elif resident(process) - base > 2 * MOST_BYTES:
                os.kill(process, signal.SIGKILL)
                yield "memory"
                return


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
