"""What a user is meant to see: mistakes, warnings, and what the operating system refuses, in one line each."""

from __future__ import annotations

import errno

LONGEST_MESSAGE = 1200
_REMEDIES = {
    errno.EACCES: "see that you may read or write it, or choose another place",
    errno.EPERM: "see that you may read or write it, or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EMFILE: "allow more open files: ulimit -n",
    errno.ENFILE: "close other programs",
    errno.EIO: "look after the disk",
}


class UssimError(Exception):
    """A mistake in what the user gave: a file, a setting, a scene or a store.

    The message is one line that names what is wrong, where, and what is allowed. The command line
    prints it as it is and exits with code 2; it never shows a traceback for it. Names in it come from files
    and may hold anything: line breaks and control characters are shown as Python writes them, ``\\n``, and
    what is too long to read is cut in the middle.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class UssimWarning(UserWarning):
    """What a user should know and need not act on."""


def printable(text: str) -> str:
    """A text whose control characters, which may command a terminal, are shown as Python writes them: ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def one_line(text: str) -> str:
    """A text as one line of printable signs, cut in the middle where it is too long to read."""
    text = printable(text)
    if len(text) <= LONGEST_MESSAGE:
        return text
    half = LONGEST_MESSAGE // 2
    return f"{text[:half]} … {text[-half:]}"


def refusal(error: BaseException) -> str:
    """What the operating system refused, in one line that names the place and a remedy; empty if it is a defect.

    Args:
        error: What reached the top of a program.
    """
    if isinstance(error, OSError) and error.errno is not None:
        what = error.strerror or str(error)
        where = f"{error.filename}: " if error.filename is not None else ""
        remedy = _REMEDIES.get(error.errno)
        return f"{where}{what}" + (f": {remedy}" if remedy else "")
    if is_out_of_memory(error):
        return f"out of memory ({' '.join(str(error).split())[:120]}): ask for less at once, or free some"
    if isinstance(error, ValueError) and "null" in str(error) and "byte" in str(error):
        return "a path holds a NUL byte; allowed: any other sign"
    if isinstance(error, UnicodeEncodeError):
        return f"a name holds bytes that are no text ({error.object[:80]!a}): rename the file"
    return ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or torch, which says so in a RuntimeError, ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate")
    )
