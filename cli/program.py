"""How a command line ends: errors are one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import sys
from typing import Any

import click

from ussim.errors import UssimError

USAGE_ERROR = 2
INTERRUPTED = 130


class Program(click.Group):
    """Commands that end with 0, 1 (a check failed), 2 (a mistake in the input) or 130 (Ctrl-C)."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command line and exit."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except UssimError as error:
            code = INTERRUPTED if getattr(error, "interrupted", False) else USAGE_ERROR
            _say(str(error))
        except click.UsageError as error:
            code = USAGE_ERROR
            command = error.ctx.command_path if error.ctx else "ussim"
            _say(f"{error.format_message()} (see {command} --help)")
        except click.ClickException as error:
            code = USAGE_ERROR
            _say(error.format_message())
        except (KeyboardInterrupt, click.Abort):
            code = INTERRUPTED
            _say("interrupted")
        sys.exit(code if isinstance(code, int) else 0)


def _say(message: str) -> None:
    click.echo("error: " + " ".join(message.split()), err=True)
