"""Machine code on disk: never older than its sources, and out of the way of other people's code."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core.dispatcher import Dispatcher
from support import ROOT

from ussim import code_folder, jit
from ussim.errors import UssimWarning

MODULES = (
    "meshes.shapes.sdf",
    "translate.evaluation.collect",
    "translate.data.metrics",
    "ussim.pictures.cutaway",
    "ussim.render.backends.cpu",
    "ussim.render.bench",
    "ussim.render.contact",
)
"""What, imported, brings all compiled functions along."""


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """Packages laid out as ours, in which ``meshes/shapes/user.py`` compiles in a constant of its neighbour."""
    files = {
        "ussim/jit.py": "",
        "ussim/render/kernels/rays.py": "",
        "meshes/shapes/rows.py": "CODE = 1",
        "meshes/shapes/user.py": "def code():\n    return CODE",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(jit, "_PACKAGE", tmp_path / "ussim")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def run_as_a_new_process(packages: Path) -> tuple[int, Path | None]:
    """What ``code()`` returns once compiled, and the folder it is kept in, if it is."""
    code_folder.usable_folder.cache_clear()
    jit._digest.cache_clear()
    names: dict[str, object] = {}
    for name in ("rows", "user"):
        path = packages / f"meshes/shapes/{name}.py"
        exec(compile(path.read_text(), str(path), "exec"), names)
    function = jit.compiled()(names["code"])
    value, place = function(), function.stats.cache_path
    return value, Path(place) if place else None


@pytest.mark.parametrize("chosen", ["", "chosen"], ids=["cache folder", "NUMBA_CACHE_DIR"])
def test_a_constant_of_another_file_is_not_taken_from_old_machine_code(packages, monkeypatch, chosen):
    place = packages / chosen if chosen else packages / "cache" / "ussim"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(place) if chosen else "")
    value, folder = run_as_a_new_process(packages)
    assert value == 1
    assert place in folder.parents
    assert list(folder.glob("*.nbc")), "machine code is kept"
    assert run_as_a_new_process(packages) == (1, folder)
    (packages / "meshes/shapes/rows.py").write_text("CODE = 2")
    assert run_as_a_new_process(packages)[0] == 2


def test_edits_elsewhere_cost_no_compilation(packages):
    user = packages / "meshes/shapes/user.py"
    before = jit.code_folder(user)
    (packages / "ussim/render/kernels/rays.py").write_text("CODE = 3")
    (packages / "ussim/pictures").mkdir()
    (packages / "ussim/pictures/sheet.py").write_text("")
    code_folder.usable_folder.cache_clear()
    jit._digest.cache_clear()
    assert jit.code_folder(user) == before
    assert {path.name for path in jit.compiled_from(packages / "ussim/render/kernels/rays.py")} == {"jit.py", "rays.py"}


@pytest.mark.parametrize("fault", ["file in the way", "another user's", "open to everybody", "full disk"])
def test_code_is_made_anew_each_time_where_no_folder_can_be_trusted_and_that_is_said(packages, monkeypatch, fault):
    place = packages / "chosen"
    place.mkdir()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(place))
    _, folder = run_as_a_new_process(packages)
    match fault:
        case "file in the way":
            shutil.rmtree(place)
            place.write_text("")
        case "another user's":
            monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
        case "open to everybody":
            folder.parent.chmod(0o777)
        case "full disk":
            monkeypatch.setattr(code_folder, "LEAST_FREE_BYTES", 2**62)
    code_folder._warn.cache_clear()
    with pytest.warns(UssimWarning, match=r"^compiled code is not kept, .*; choose a folder of your own with"):
        value, folder = run_as_a_new_process(packages)
    assert value == 1
    assert folder is None
    assert numba.config.CACHE_DIR == str(place)


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "overwritten"])
def test_code_that_a_power_cut_damaged_is_compiled_again(packages, kind, damage):
    _, folder = run_as_a_new_process(packages)
    assert folder
    (file,) = folder.glob(f"*.{kind}")
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "overwritten": b"\0" * len(whole)}[damage])
    assert run_as_a_new_process(packages) == (1, folder)


def test_a_new_folder_for_code_is_for_its_owner_alone(packages):
    _, folder = run_as_a_new_process(packages)
    assert folder
    assert folder.parent.stat().st_mode & 0o077 == 0


def compiled_functions() -> list[Dispatcher]:
    for module in MODULES:
        importlib.import_module(module)
    ours = {
        name: module for name, module in sys.modules.items() if name.startswith(("ussim.", "meshes.", "translate."))
    }
    found = {id(value): value for module in ours.values() for value in vars(module).values()}
    return [value for value in found.values() if isinstance(value, Dispatcher)]


def test_all_that_is_frozen_into_machine_code_is_in_its_digest():
    functions = compiled_functions()
    assert len(functions) > 80
    for function in functions:
        source = Path(function.py_func.__code__.co_filename)
        sources = set(jit.compiled_from(source))
        assert source in sources
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in ("ussim", "meshes"):
                continue
            used = {alias.asname or alias.name for alias in node.names} & set(function.py_func.__code__.co_names)
            home = Path(importlib.import_module(str(node.module)).__file__ or "")
            assert not used or home in sources, f"{source.name}: {used} of {home}"


def test_no_function_is_kept_under_its_own_file_alone():
    strays = [
        function.py_func.__qualname__
        for function in compiled_functions()
        if (path := function.stats.cache_path) is not None and not Path(path).parent.name.startswith("numba-")
    ]
    assert not strays


def test_numba_is_left_as_it_was_for_other_code():
    code = "import numba\nbefore = dict(vars(numba.config))\n"
    code += "".join(f"import {module}\n" for module in MODULES if not module.startswith("translate"))
    code += "assert {n: v for n, v in vars(numba.config).items() if n.isupper()} == "
    code += "{n: v for n, v in before.items() if n.isupper()}"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
