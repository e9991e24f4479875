"""Shell completion: ``PROGRAM completion SHELL`` prints the script that makes the shell complete PROGRAM."""

from __future__ import annotations

import click

from cli.program import Command, Program

SHELLS = ("bash", "zsh", "fish")
_HOW = {
    "bash": "{program} completion bash >> ~/.bashrc",
    "zsh": "{program} completion zsh >> ~/.zshrc",
    "fish": "{program} completion fish > ~/.config/fish/completions/{program}.fish",
}


def add_completion(group: Program, program: str) -> None:
    """Give a program its ``completion`` command.

    Args:
        group: The program's outermost group.
        program: The name it is installed under, which is what the shell completes.
    """

    group.complete_var = _variable(program)

    @group.command(
        "completion",
        cls=Command,
        example="\n".join(how.format(program=program) for how in _HOW.values()),
        help=f"Print a script with which SHELL completes {program}: commands, options, choices and files.",
    )
    @click.argument("shell", type=click.Choice(SHELLS))
    def completion(shell: str) -> None:
        click.echo(completion_script(group, program, shell))


def completion_script(group: Program, program: str, shell: str) -> str:
    """The script for one of :data:`SHELLS`. It calls the program, so it stays right when options change."""
    from click.shell_completion import get_completion_class

    return get_completion_class(shell)(group, {}, program, _variable(program)).source()


def _variable(program: str) -> str:
    """The variable of the environment in which the shell asks: the same however the program was started."""
    return f"_{program}_complete".replace("-", "_").upper()
