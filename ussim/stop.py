"""Being told to stop: Ctrl-C, a cluster's SIGTERM, a lost terminal's SIGHUP.

A signal becomes a :class:`KeyboardInterrupt`, which work in progress catches to keep what is finished. Where none can
be raised, the process ends by itself: everything on the disk is whole at any moment, so that nothing is lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated: the terminal is gone"}
PATIENCE_S = 5.0
"""So long a signal may wait for Python to run again; a compiler may keep it from that for much longer."""

_received: list[int] = []
_ends_on_signals = threading.Event()
_handled = threading.Event()
_began = threading.Event()
_patient = threading.Event()  # set while whoever works ends by itself when it is told to stop


def end_on_signals() -> None:
    """Let signals end this process; called once, first of all. What the caller of the process ignores stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _ends_on_signals.set()
    threading.Thread(target=_watch, args=(reading,), daemon=True, name="ussim-signals").start()


def all_is_done() -> None:
    """From now on signals change nothing: the program has its exit code, and is only being taken down."""
    if _ends_on_signals.is_set():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def work_begins() -> None:
    """From now on a signal is raised, for the caller to catch. Earlier ones, of another program here, are forgotten."""
    _received.clear()
    _began.set()


def exit_code() -> int:
    """What a process that was told to stop ends with: 128 and the signal's number, as a shell has it."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


def in_words() -> str:
    """The signal in words."""
    return WORDS[signal.Signals(_received[-1]).name] if _received else WORDS["SIGINT"]


@contextmanager
def ask_to_stop() -> Iterator[threading.Event]:
    """An event that a signal sets, for work that ends by itself at the next good moment. A second Ctrl-C ends at once.

    In another thread than the main one, signals stay with whoever has them.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            _interrupt(number, frame)
        _received.append(number)
        _handled.set()
        stop.set()

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, ask)
    _patient.set()
    try:
        yield stop
    finally:
        _patient.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    # nobody would catch it yet; and libraries catch whatever ends an import, and go on without the module
    if not _began.is_set() or _imports(frame):
        _end()
    _handled.set()
    raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _watch(reading: int) -> None:
    """End the process if Python's handler of a signal does not come to run."""
    while number := os.read(reading, 1):
        if number[0] in SIGNALS and not _handled.wait(PATIENCE_S) and not _patient.is_set():
            _received.append(number[0])
            _end()


def _end() -> None:
    with open(sys.__stderr__.fileno() if sys.__stderr__ else os.devnull, "w", closefd=False) as stream:
        stream.write(f"\nerror: {in_words()}\n")
    os._exit(exit_code())
