"""What the tests of the pipeline share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A finished pipeline's folder, to change."""
    return Path(shutil.copytree(finished, tmp_path / "out"))
