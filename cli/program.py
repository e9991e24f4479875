"""What every program has in common: help that ends with an example, errors of one line, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from cli.say import quiet_libraries, say_error, say_warning
from ussim.errors import UssimError, refusal
from ussim.stop import all_is_done, exit_code, in_words, work_begins

USAGE_ERROR = 2
NO_ARGUMENTS = getattr(click.exceptions, "NoArgsIsHelpError", ())  # since click 8.2; before, help was no error


class _WithExample:
    """A command whose help ends with lines to copy.

    Args:
        example: One command line per line; they are shown as they are, never wrapped.
    """

    def __init__(self, *args: Any, example: str = "", **extra: Any):
        super().__init__(*args, **extra)
        self.example = example

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(context, formatter)
        lines = self.example.splitlines()
        if lines:
            with formatter.section("Examples" if len(lines) > 1 else "Example"):
                for line in lines:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence, whole: the list of commands wraps it."""
        return super().get_short_help_str(limit=1000)


class Command(_WithExample, click.Command):
    """One command."""


class CommandGroup(_WithExample, click.Group):
    """A command that has commands of its own."""

    command_class = Command
    group_class = type  # subgroups are groups of this kind

    def list_commands(self, context: click.Context) -> list[str]:
        """The commands in the order in which they are used, not in that of the alphabet."""
        return list(self.commands)


class Program(CommandGroup):
    """Commands that end with 0, 1 (a check failed), 2 (a mistake in the input), or 128 and a signal's number.

    Args:
        optional: Modules that a plain installation lacks, and the extra that brings each.
    """

    group_class = CommandGroup
    complete_var: str | None = None  # where a shell asks for completions; click derives it from the command if None

    def __init__(self, *args: Any, optional: Mapping[str, str] | None = None, **extra: Any):
        super().__init__(*args, **extra)
        self._optional = dict(optional or {})

    def invoke(self, context: click.Context) -> Any:
        """Run a command; where an optional module is missing, say what to install."""
        try:
            return super().invoke(context)
        except ModuleNotFoundError as error:
            if error.name not in self._optional:
                raise
            wanted = self._optional[error.name]
            raise UssimError(f"{error.name} is not installed: pip install 'ussim[{wanted}]'") from None

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command line and exit."""
        extra.setdefault("complete_var", self.complete_var)
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        with quiet_libraries(say_warning):
            code = self._code(*args, **extra)
        all_is_done()
        sys.exit(_flushed(code))

    def _code(self, *args: Any, **extra: Any) -> int:
        """Run the command line; errors become a line and an exit code. A defect of ours stays what it is."""
        try:
            work_begins()
            code = super().main(*args, standalone_mode=False, **extra)
            sys.stdout.flush()  # a full disk may show only now
            return code if isinstance(code, int) else 0
        except UssimError as error:
            say_error(str(error))
            return exit_code() if getattr(error, "interrupted", False) else USAGE_ERROR
        except click.UsageError as error:
            if isinstance(error, NO_ARGUMENTS):
                error.show()  # the help
            else:
                command = error.ctx.command_path if error.ctx else "ussim"
                say_error(f"{error.format_message()} (see {command} --help)")
        except click.ClickException as error:
            say_error(error.format_message())
        except (KeyboardInterrupt, click.Abort):
            say_error(in_words())
            return exit_code()
        except BrokenPipeError:
            return 1  # its reader, such as head, has seen enough; click says so of other streams
        except Exception as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = "standard output"  # files are named
            refused = refusal(error)
            if not refused:
                raise
            say_error(refused)
        return USAGE_ERROR


def _flushed(code: int) -> int:
    """The exit code, once what was said has gone out; what cannot go out is dropped, lest Python complain of it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def command(name: str | None = None, *, example: str, **extra: Any) -> Callable[[Callable[..., Any]], Command]:
    """Decorate a function as a command that a program takes up with ``add_command``."""
    return click.command(name, cls=Command, example=example, **extra)


def command_group(
    name: str | None = None, *, example: str, **extra: Any
) -> Callable[[Callable[..., Any]], CommandGroup]:
    """Decorate a function as a group that a program takes up with ``add_command``."""
    return click.group(name, cls=CommandGroup, example=example, **extra)
