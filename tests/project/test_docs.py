"""What the documentation says exists: links, pictures, commands, options, Python names, error messages."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import sys
import unicodedata
from pathlib import Path

import click
import pytest
from support import ROOT

DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
PROGRAMS = {"ussim": "cli.ussim", "translate": "cli.translate", "ussim-pipeline": "cli.ussim_pipeline"}


def fenced(text: str) -> list[tuple[str, str]]:
    """(language, content) of a page's fenced blocks, in order."""
    blocks = re.findall(r"^```([^`\n]*)\n(.*?)^```\s*$", text, flags=re.MULTILINE | re.DOTALL)
    return [(language.strip(), content) for language, content in blocks]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as code hosts and MyST make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = "".join(c for c in plain if c in " -_" or unicodedata.category(c)[0] in "LN")
        found.add(kept.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_relative_links_and_pictures_resolve(page):
    broken = []
    for target in re.findall(r"!?\[[^]]*\]\(([^)\s]+)\)", prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page if not name else (page.parent / name)
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(target)
    assert not broken


def test_every_page_is_in_the_table_of_contents():
    index = (DOCS / "index.md").read_text("utf-8")
    trees = "\n".join(re.findall(r"```\{toctree\}(.*?)```", index, flags=re.DOTALL))
    listed = set(re.findall(r"^(?:[^\n:]*<)?([a-z_]+)>?$", trees, flags=re.MULTILINE))
    assert listed == {page.stem for page in DOCS.glob("*.md")} - {"index"}


def commands_of(page: Path) -> list[str]:
    """Command lines of our programs in the shell blocks of a page, comments and pipes cut off."""
    shell = ("", "sh", "bash", "console")
    blocks = [content for language, content in fenced(page.read_text("utf-8")) if language in shell]
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines = [re.split(r"\s(?:#|\||&&?)\s*", line.removeprefix("$ "))[0] for line in lines]
    return [line for line in lines if line.split(" ")[0] in PROGRAMS]


COMMANDS = [(name, line) for name, page in zip(NAMES, PAGES, strict=True) for line in commands_of(page)]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line[:50]}" for page, line in COMMANDS])
def test_command_lines_parse(page, line):
    program, *words = shlex.split(line)
    command: click.Command = importlib.import_module(PROGRAMS[program]).main
    context = click.Context(command, info_name=program)
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        context = click.Context(command, info_name=name, parent=context)
    # Types are checked, callbacks of the commands are not run.
    command.parse_args(context, words)


def test_the_pages_show_commands_of_both_programs():
    assert {line.split()[0] for _, line in COMMANDS} == set(PROGRAMS)
    assert len(COMMANDS) > 15


API = re.findall(r"^\.\. (auto\w+|py:data):: (\S+)", (DOCS / "api.md").read_text("utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize(("directive", "name"), API, ids=[name for _, name in API])
def test_names_of_the_api_reference_import(directive, name):
    if directive == "automodule":
        importlib.import_module(name)
        return
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    assert directive == "py:data" or callable(thing)


@pytest.mark.parametrize("package", ["ussim", "translate", "meshes"])
def test_the_api_reference_holds_all_that_a_package_exports(package):
    module = importlib.import_module(package)
    documented = {name.rsplit(".", 1)[-1] for _, name in API if name.startswith(package)}
    assert {name for name in module.__all__ if not name.startswith("__")} <= documented


def message_texts() -> str:
    """All string literals of the sources, one a line; what an f-string fills in is an ellipsis."""
    texts = []
    for package in ("ussim", "translate", "meshes", "cli"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                    texts.append("".join(parts))
    return "\n".join(" ".join(text.split()) for text in texts)


def test_error_messages_of_the_troubleshooting_page_are_the_programs():
    page = (DOCS / "troubleshooting.md").read_text("utf-8")
    terms = [line for line in page.splitlines() if line.startswith("`") and not line.startswith("`pip")]
    messages = [message for line in terms for message in re.findall(r"`([^`]+)`", line)]
    assert len(messages) > 30
    texts = message_texts()
    invented = []
    for message in messages:
        longest = max(re.split(r"…|'[^']*'|\d+|[:;] ", message), key=len).strip(" :;,")
        if len(longest) < 4 or longest not in texts:
            invented.append(message)
    assert not invented


def test_the_physics_table_was_written_from_the_committed_measurements_of_tests_there_are(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    script = importlib.import_module("measure_physics")
    page = script.PAGE.read_text("utf-8")
    results = json.loads(script.RESULTS.read_text("utf-8"))
    assert script.page_with_table(page, results) == page
    for row in script.ROWS:  # a renamed test leaves no stale row behind
        file, function = row.test.split("::")
        (path,) = (ROOT / "tests").rglob(file)
        assert f"def {function}(" in path.read_text("utf-8")


def test_the_table_of_qualities_was_written_from_the_committed_measurement(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    script = importlib.import_module("compare_qualities")
    page = script.PAGE.read_text("utf-8")
    assert script.page_with_table(page, json.loads(script.RESULTS.read_text("utf-8"))) == page
