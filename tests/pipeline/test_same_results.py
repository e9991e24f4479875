"""The same settings give the same bytes: in one command or in many, whatever the caller says of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import ROOT
from support.jobs import all_files
from support.pipelines import SMALL

from translate.settings import Run, TrainSettings


def call(name: str, *words: object, **environment: str) -> None:
    """A program in a process of its own."""
    code = f"from cli.start import {name}; {name}()"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    subprocess.run([sys.executable, "-c", code, *map(str, words)], env=env, check=True, capture_output=True)


def training_options(run: Path) -> list[str]:
    """What a run was trained with, as a user types it."""
    defaults = TrainSettings.make().model_dump()
    given = {name: value for name, value in Run.load(run).train.model_dump().items() if value != defaults[name]}
    return [f"--set={name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in given.items()]


def test_single_commands_make_what_the_pipeline_makes_also_with_fewer_threads_asked_for(ball_scene, finished, tmp_path):
    store, one_thread = tmp_path / "dataset.zarr", {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    frames = [f"--set={name}={SMALL[name]}" for name in SMALL if name.startswith(("probe.", "hq."))]
    size = ("-n", SMALL["render.frames"], f"--size={SMALL['render.size']}", f"--unit={SMALL['render.unit']}")
    call("ussim", "render", ball_scene, "-o", store, *size, *frames, **one_thread)
    runs = [tmp_path / "runs" / name for name in ("LM", "LMSA")]
    for run in runs:
        options = training_options(finished / "runs" / run.name)
        call("translate", "train", store, "-o", run, *options, **one_thread)
    call("translate", "apply", runs[1], store, "--split=test", **one_thread)
    ours, theirs = all_files(tmp_path), all_files(finished)
    names = [name for name in theirs if name.startswith("dataset.zarr/") or name.endswith(".safetensors")]
    assert len(names) > 100
    assert [name for name in names if ours.get(name) != theirs[name]] == []
