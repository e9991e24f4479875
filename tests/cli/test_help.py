"""Help, versions and completion of every command of every program that the package installs."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from support import ROOT

from cli import surroundings
from cli.completion import SHELLS

SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
MODULES = {name: f"cli.{name.replace('-', '_')}" for name in SCRIPTS}
PROGRAMS: dict[str, click.Group] = {name: importlib.import_module(module).main for name, module in MODULES.items()}


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


COMMANDS = dict(one for name, main in PROGRAMS.items() for one in walk(main, (name,)))
every_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def parse(line: str) -> tuple[str, ...]:
    """The command that a line calls; fails if the command would refuse its options or arguments."""
    words = shlex.split(line.split(">")[0])
    path = [words.pop(0)]
    command: click.Command = PROGRAMS[path[0]]
    while isinstance(command, click.Group):
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    command.make_context(" ".join(path), words).close()
    return tuple(path)


def help_of(path: tuple[str, ...]) -> str:
    result = CliRunner().invoke(PROGRAMS[path[0]], [*path[1:], "--help"], prog_name=path[0])
    assert result.exit_code == 0, result.output
    return result.output


@every_command
def test_help_ends_with_examples_that_the_command_takes(path):
    text = help_of(path)
    assert text.startswith("Usage: " + " ".join(path))
    _, heading, block = text.rpartition("\nExample")
    assert heading, f"{' '.join(path)} --help shows no example"
    lines = [line.strip() for line in block.splitlines()[1:]]
    assert lines
    for line in lines:
        called = parse(line)
        assert called[: len(path)] == path, f"an example of {' '.join(path)} calls {' '.join(called)}"


@every_command
def test_every_option_and_command_is_explained(path):
    command = COMMANDS[path]
    assert command.help
    unexplained = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert not unexplained


def test_an_example_with_an_option_that_is_not_there_is_found():
    with pytest.raises(click.UsageError):
        parse("ussim render scene -o data.zarr --frames 3 --shape round")
    with pytest.raises(click.UsageError):
        parse("ussim render scene -o data.zarr")
    with pytest.raises(KeyError):
        parse("ussim scene burn scene")


@pytest.mark.parametrize("option", ["--output", "--backend", "--device", "--set", "--json", "--seed", "--resume"])
def test_an_option_has_the_same_form_in_every_command_that_has_it(option):
    forms = set()
    for command in COMMANDS.values():
        for one in command.params:
            if option in one.opts:
                forms.add((tuple(one.opts), one.is_flag, one.multiple, type(one.type).__name__))
    assert len(forms) == 1, forms


@pytest.mark.parametrize("path", [path for path in COMMANDS if isinstance(COMMANDS[path], click.Group)], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(path):
    result = CliRunner().invoke(PROGRAMS[path[0]], path[1:], prog_name=path[0])
    assert result.exit_code == 2
    assert result.output.rstrip() == help_of(path).rstrip()


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_names_the_program_and_the_version(program):
    from ussim import __version__

    text = CliRunner().invoke(PROGRAMS[program], ["--version"]).output
    assert text.startswith(program)
    assert text.endswith(f" {__version__}\n")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_a_script_that_calls_the_program(program, shell):
    result = CliRunner().invoke(PROGRAMS[program], ["completion", shell])
    assert result.exit_code == 0, result.output
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    assert f"{variable}={shell}_complete" in result.stdout
    assert program in result.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_shells_questions_are_answered(program):
    module = MODULES[program]
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    question = {"COMP_WORDS": f"{program} completion ", "COMP_CWORD": "2", variable: "bash_complete"}
    process = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT, env={**os.environ, **question}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert process.stdout.split() == [f"plain,{shell}" for shell in SHELLS]


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_installed_program_calls_its_command(program, monkeypatch):
    called = []
    monkeypatch.setattr(surroundings, "end_on_signals", lambda: None)
    monkeypatch.setattr(PROGRAMS[program], "main", lambda *_, **__: called.append(program))
    module, _, function = SCRIPTS[program].partition(":")
    getattr(importlib.import_module(module), function)()
    assert called == [program]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program):
    module = MODULES[program]
    code = f"import sys; from {module} import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(process.stdout.splitlines()[-1].split())
    assert module in imported
    heavy = {"numpy", "numba", "zarr", "pydantic", "trimesh", "scipy", "PIL", "rich.console", "torch", "nibabel"}
    assert not imported & heavy
