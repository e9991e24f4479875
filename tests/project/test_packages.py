"""What packages say of themselves, in more than one place, agrees."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib

import pytest
from support import ROOT

import ussim

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize("package", ["ussim", "translate"])
def test_type_checkers_see_the_names_that_a_package_exports(package):
    module = importlib.import_module(package)
    homes = {}
    for node in ast.parse((ROOT / package / "__init__.pyi").read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            homes |= {alias.asname: node.module for alias in node.names}
    assert homes == {name: f"{package}.{home}" for name, home in module._HOMES.items()}


def test_one_version():
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [ussim.__version__]


def test_folders_and_files_that_the_guide_for_contributors_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:ussim|meshes|translate|cli|tests)/[\w/.]+)`", text)
    assert len(named) > 15
    assert not [path for path in named if not (ROOT / path).exists()]
    for test in re.findall(r"`(test_\w+|[A-Z_]{8,})`", text):
        assert any(test in path.read_text("utf-8") for path in ROOT.glob("*/*/*.py")), test
