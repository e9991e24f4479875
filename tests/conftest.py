"""Fixtures that take long to make and that several files use."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support import IS_WORKER, scenes
from support.pipelines import SETTINGS, pipeline

# The same examples on every machine and in every run; to search further: pytest --hypothesis-profile=search
COMMON = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fixed", derandomize=True, max_examples=200, **COMMON)
settings.register_profile("search", max_examples=5000, **COMMON)
settings.load_profile("fixed")


TOGETHER = ("tests/meshes/", "tests/pipeline/", "tests/render/test_aperture")
"""Beginnings of paths of tests that share what takes long to make: anatomies, a finished pipeline, compiled stages."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file share a worker, and so do files that share what takes long to make."""
    from xdist.scheduler import LoadScopeScheduling

    class ByWhatTheyShare(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((together for together in TOGETHER if together in file), file)

    return ByWhatTheyShare(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test records may be a number of NumPy's, which no worker can send: make it one of Python's."""
    report = yield
    report.user_properties = [
        (name, getattr(value, "item", lambda v=value: v)()) for name, value in report.user_properties
    ]
    return report


@pytest.fixture(scope="session", autouse=True)
def one_numba_thread_a_worker() -> None:
    """Not by NUMBA_NUM_THREADS: a test may still ask for all of them."""
    if IS_WORKER:
        import numba

        numba.set_num_threads(1)


@pytest.fixture(scope="session")
def ball_scene(tmp_path_factory) -> Path:
    """A ball of liver with a stone in it, 5 mm below the probe."""
    folder = tmp_path_factory.mktemp("scene")
    ball, stone = scenes.sphere_mesh(60, (0, 0, 65)), scenes.sphere_mesh(8, (0, 0, 45), subdivisions=2)
    path = scenes.write_scene(folder, {"ball": ball, "stone": stone}, extra=scenes.SWEEP)
    before, _, after = path.read_text().rpartition('tissue = "liver"')
    path.write_text(before + 'tissue = "fetal_bone"' + after)
    return folder


@pytest.fixture(scope="session")
def finished(ball_scene, tmp_path_factory) -> Path:
    """A pipeline's folder when all is done. Tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    result = pipeline("run", ball_scene, "-o", folder, *SETTINGS)
    assert result.exit_code == 0, result.output
    assert str(folder / "report.html") in result.stdout
    return folder
