"""The packages build on each other in one direction: what the tracer is made of knows nothing of what uses it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support import ROOT

FORBIDDEN = {
    "ussim": {"meshes", "translate", "cli", "torch"},
    "meshes": {"translate", "cli", "torch"},
    "translate": {"meshes", "cli"},
}


def imports_of(path: Path) -> set[str]:
    """Top-level names of all modules a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_nothing_that_stands_above_it(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(path.relative_to(ROOT)): found for path in files if (found := imports_of(path) & FORBIDDEN[package])}
    assert not wrong


def test_translate_reads_the_store_and_leaves_the_kernels_alone():
    modules = set()
    for path in (ROOT / "translate").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    assert not {
        name
        for name in modules
        if name.startswith(("ussim.render.kernels", "ussim.render.physics", "ussim.render.backends"))
    }
