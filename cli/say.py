"""What the programs say on stderr: notes, warnings and errors of one line; and nothing of what libraries say."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from ussim.errors import UssimWarning, one_line, printable


def say(text: str) -> None:
    """Tell how far it is. Nobody may be there to hear it any more: that ends no work."""
    with suppress(OSError):
        click.echo(printable(text), err=True)


def say_warning(text: str) -> None:
    """Tell in one line what is no error."""
    say(f"warning: {one_line(' '.join(text.split()))}")


def say_error(text: str) -> None:
    """Tell in one line what ends the command."""
    say(f"error: {one_line(' '.join(text.split()))}")


@contextmanager
def quiet_libraries(tell: Callable[[str], None]) -> Iterator[None]:
    """Warnings of ours are told once each; those of libraries, meant for programmers, are not shown, nor their logs.

    Args:
        tell: What one of ours is told with.
    """
    disabled = logging.root.manager.disable

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UssimWarning):
            tell(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UssimWarning)
        warnings.showwarning = show
        logging.disable()  # some libraries bring a handler of their own
        try:
            yield
        finally:
            logging.disable(disabled)
