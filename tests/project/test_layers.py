"""Imports go one way, from package to package and room to room: what a thing is made of knows nothing of its users.

Every import counts, also those inside functions and those for types alone.
"""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from support import ROOT

PACKAGES = ("ussim", "meshes", "translate", "cli")
FORBIDDEN = {
    "ussim": {"meshes", "translate", "cli", "torch"},
    "meshes": {"translate", "cli", "torch"},
    "translate": {"meshes", "cli"},
}
# Of each package: its rooms, lowest first. A file beside the rooms is plumbing for them or, below, stands on them.
ROOMS = {
    "ussim": ("scene", "probe", "render", "dataset", "pictures"),
    "meshes": ("shapes", "mother", "fetus", "planes"),
    "translate": ("data", "model", "training", "use", "evaluation"),
}
APART = {("ussim.scene", "ussim.probe"), ("ussim.probe", "ussim.scene")}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> dict[str, set[str]]:
    """For every module of ours the names it imports, as dotted as they can be resolved."""
    files = {module_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
    found = {}
    for module, path in files.items():
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in files else node.module for name in inner}
        found[module] = names
    return found


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_nothing_that_stands_above_it(package):
    modules = {name: used for name, used in imports().items() if name.split(".")[0] == package}
    assert modules
    wrong = {name: used for name, all_used in modules.items()
             if (used := {u for u in all_used if u.split(".")[0] in FORBIDDEN[package]})}  # fmt: skip
    assert not wrong


def test_no_files_import_each_other_in_a_circle():
    graph = {name: {used for used in all_used if used in imports()} for name, all_used in imports().items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circle of imports: {' → '.join(reversed(error.args[1]))}")
    assert len(order) == len(graph) > 100


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_downwards_only(package):
    rank = {f"{package}.{room}": number for number, room in enumerate(ROOMS[package])}
    assert all((ROOT / name.replace(".", "/") / "__init__.py").is_file() for name in rank)
    wrong = [
        f"{module} imports {used}"
        for module, all_used in imports().items()
        for used in all_used
        if (here := room_of(module)) in rank
        and (there := room_of(used)) in rank
        and (rank[there] > rank[here] or (here, there) in APART)
    ]
    assert not wrong


def test_rooms_as_wholes_form_no_circle():
    graph: dict[str, set[str]] = {}
    for module, all_used in imports().items():
        if module in PACKAGES:  # names for users, imported when first used
            continue
        here = room_of(module)
        graph.setdefault(here, set())
        graph[here] |= {there for used in all_used if (there := room_of(used)) != here and used in imports()}
    graph = {name: used - set(PACKAGES) for name, used in graph.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circle of rooms: {' → '.join(reversed(error.args[1]))}")


def test_translate_reads_the_store_and_leaves_the_tracer_alone():
    used = {name for module, names in imports().items() if module.startswith("translate") for name in names}
    assert not {name for name in used if name.startswith(("ussim.render", "ussim.scene"))}
