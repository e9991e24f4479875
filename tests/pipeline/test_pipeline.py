"""``ussim-pipeline``: one command from a scene to a report, that keeps, names and resumes what it should."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import PATIENCE_S, ROOT, scenes
from support.commands import assert_one_line_error
from support.pipelines import FRAMES, SETTINGS, content, pipeline

from cli.pipeline import STEP_NAMES, steps
from cli.pipeline.report.evaluation import load_evaluation
from translate.training.trainer import Trainer
from ussim.dataset.store import Dataset


def states(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "pipeline.json")
    }


# What it makes ----------------------------------------------------------------------------------------


def test_a_run_gives_dataset_generators_evaluation_images_and_report(finished):
    dataset = Dataset.open(finished / "dataset.zarr")
    assert dataset.complete
    tests = np.flatnonzero(dataset.split)
    images = sorted((finished / "enhanced").glob("*.png"))
    assert [path.name for path in images] == [f"frame_{frame:06d}.png" for frame in tests]
    image = np.asarray(Image.open(images[0]))
    assert image.shape == (96, 133)
    assert image[dataset.mask == 0].max() == 0
    assert image[dataset.mask == 1].std() > 0
    rows = load_evaluation(finished / "evaluation").tables[0].rows
    assert [row[0] for row in rows] == ["Low quality", "L2HM", "L2HMSA"]
    assert (finished / "report.html").stat().st_size > 50_000


def test_the_steps_are_done_in_the_order_of_their_names_and_after_what_they_use():
    assert tuple(step.name for step in steps.STEPS) == STEP_NAMES
    for step in steps.STEPS:
        assert all(STEP_NAMES.index(name) < STEP_NAMES.index(step.name) for name in step.needs)


def test_a_second_run_does_nothing(ball_scene, finished, monkeypatch):
    for step in steps.STEPS:
        monkeypatch.setattr(type(step), "run", lambda *_: pytest.fail("a finished step was run again"))
    before = states(finished)
    for arguments in ((), (ball_scene, *SETTINGS), ("--resume",)):
        result = pipeline("run", "-o", finished, *arguments)
        assert result.exit_code == 0, result.output
    assert states(finished) == before


def test_from_redoes_a_step_and_all_that_use_it_to_the_same_result(copied):
    before, times = content(copied), states(copied)
    result = pipeline("run", "-o", copied, "--from", "train")
    assert result.exit_code == 0, result.output
    assert content(copied) == before
    after = states(copied)
    rendered = [name for name in times if name.startswith("dataset.zarr/hq/")]
    assert all(times[name] == after[name] for name in rendered)
    assert times["runs/LM/generator.safetensors"][0] != after["runs/LM/generator.safetensors"][0]


def test_frames_can_be_spread_over_several_anatomies(tmp_path, monkeypatch):
    from meshes import anatomies
    from ussim.dataset.series import SceneSource
    from ussim.scene.sweep import Sweep, SweepKey

    def ball(radius):
        keys = [SweepKey((x, 0, 0), (0, 0, 1), (1, 0, 0)) for x in (-4.0, 4.0)]
        sphere = scenes.sphere(radius, (0, 0, radius + 5), tissue="liver")
        return scenes.Scene.from_surfaces([sphere], sweeps={"exam": Sweep("exam", tuple(keys))})

    sources = [
        SceneSource(seed, 22.0, "tiny", lambda radius=radius: ball(radius)) for seed, radius in ((3, 50), (4, 60))
    ]
    monkeypatch.setattr(anatomies, "anatomy_sources", lambda *_: sources)
    several = [one for one in SETTINGS if "variants" not in one]
    several += ["--set=scene.count=2", "--set=train.variants=LMSA", "--set=train.split=scene"]
    result = pipeline("run", "-o", tmp_path / "out", *several)
    assert result.exit_code == 0, result.output
    dataset = Dataset.open(tmp_path / "out" / "dataset.zarr")
    shown = [int(path.stem[6:]) for path in sorted((tmp_path / "out" / "enhanced").glob("*.png"))]
    assert set(dataset.scene[shown]) in ({0}, {1})  # a whole anatomy was held out
    assert len(shown) == FRAMES / 2
    assert all(np.asarray(Image.open(path)).any() for path in (tmp_path / "out" / "enhanced").glob("*.png"))
    assert [row.seed for row in dataset.header.scenes] == [3, 4]
    assert "2 scenes" in (tmp_path / "out" / "report.html").read_text()


# Stops ------------------------------------------------------------------------------------------------

STOPS = {
    "render": ("ussim.dataset.store.Dataset.write_unit", 3),
    "train": ("translate.training.trainer.Trainer.step", 9),  # in the second variant, after a checkpoint
    "evaluate": ("translate.evaluation.collect.Collector.take", 2),
    "apply": ("translate.use.inference.View.enhance", 2),
    "report": ("cli.pipeline.report.page.frame_rows", 1),
}


def stop_at(monkeypatch, name: str, call: int, error: BaseException) -> None:
    """Make a function raise at its n-th call."""
    import importlib

    module, owner = name.rsplit(".", 1)[0], None
    try:
        owner = importlib.import_module(module)
    except ModuleNotFoundError:
        module, cls = module.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), cls)
    attribute = name.rsplit(".", 1)[1]
    whole, calls = getattr(owner, attribute), iter(range(1, 10**6))

    def stopping(*arguments, **keys):
        if next(calls) == call:
            raise error
        return whole(*arguments, **keys)

    monkeypatch.setattr(owner, attribute, stopping)


@pytest.mark.parametrize("step", STOPS)
def test_a_run_stopped_in_any_step_goes_on_to_the_same_result(step, ball_scene, finished, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    earlier = STEP_NAMES[: STEP_NAMES.index(step)]
    # what came before is the same, so take it from the finished run
    shutil.copytree(finished, folder)
    for name in STEP_NAMES[len(earlier) :]:
        (folder / "steps" / f"{name}.json").unlink()
    for name, path in {
        "render": "dataset.zarr",
        "train": "runs",
        "evaluate": "evaluation",
        "apply": "enhanced",
    }.items():
        if name not in earlier:
            shutil.rmtree(folder / path)
    if "apply" not in earlier:
        shutil.rmtree(folder / "dataset.zarr" / "enhanced", ignore_errors=True)
    (folder / "report.html").unlink()

    with monkeypatch.context() as patch:
        stop_at(patch, *STOPS[step], KeyboardInterrupt())
        result = pipeline("run", "-o", folder, "--resume")
    assert_one_line_error(result, f"{step}: ", f"finished and kept: {', '.join(earlier)}", "--resume", code=130)
    assert_one_line_error(pipeline("run", "-o", folder), f"stopped at {step}", "--resume")
    result = pipeline("run", "-o", folder, "--resume")
    assert result.exit_code == 0, result.output
    assert content(folder) == content(finished)
    assert json.loads((folder / "steps" / f"{step}.json").read_text())["sessions"] == 2


def test_a_process_that_is_killed_and_resumed_with_fewer_threads_gives_the_same_result(ball_scene, finished, tmp_path):
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "cli.ussim_pipeline", "run", str(ball_scene), "-o", str(folder), *SETTINGS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "runs" / "LM" / "checkpoint_last.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "--resume"], cwd=ROOT, env=environment, check=True, capture_output=True)
    assert content(folder) == content(finished)


@pytest.mark.parametrize("damage", ["cut", "lost", "flip"])
def test_a_training_whose_weights_are_damaged_goes_on_from_its_checkpoint(finished, copied, monkeypatch, damage):
    run = copied / "runs" / "LM"
    stop_at(monkeypatch, "translate.training.trainer.Trainer.step", 9, KeyboardInterrupt())  # in that of LMSA
    assert pipeline("run", "-o", copied, "--from", "train").exit_code == 130
    monkeypatch.undo()
    weights = run / "generator.safetensors"
    whole = weights.read_bytes()
    match damage:
        case "cut":
            weights.write_bytes(whole[:100])
        case "lost":
            weights.unlink()
        case "flip":
            weights.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    steps_done: list[int] = []
    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, batch: (steps_done.append(self.iteration), step(self, batch))[1])
    result = pipeline("run", "-o", copied, "--resume")
    assert result.exit_code == 0, result.output
    assert weights.read_bytes() == whole
    assert len(steps_done) < 6, "what LM had learnt is not learnt again"
    assert content(copied) == content(finished)


def test_a_training_whose_checkpoint_is_damaged_is_named_and_kept(copied, monkeypatch):
    stop_at(monkeypatch, "translate.training.trainer.Trainer.step", 4, KeyboardInterrupt())
    assert pipeline("run", "-o", copied, "--from", "train").exit_code == 130
    monkeypatch.undo()
    checkpoint = copied / "runs" / "LM" / "checkpoint_last.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    before = {path: path.read_bytes() for path in (copied / "runs").rglob("*") if path.is_file()}
    assert_one_line_error(pipeline("run", "-o", copied, "--resume"), f"{checkpoint}: damaged checkpoint")
    assert {path: path.read_bytes() for path in (copied / "runs").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_running_out_of_memory_says_what_is_finished_and_how_to_go_on(copied, monkeypatch, error):
    stop_at(monkeypatch, "translate.training.trainer.Trainer.step", 3, error)
    result = pipeline("run", "-o", copied, "--from", "train")
    assert_one_line_error(result, "train: out of memory", "finished and kept: scene, render; go on with --resume")


def test_another_error_of_the_gpu_stays_what_it_is(copied, monkeypatch):
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    stop_at(monkeypatch, "translate.training.trainer.Trainer.step", 3, error)
    assert pipeline("run", "-o", copied, "--from", "train").exception is error


def test_leftovers_of_a_killed_process_are_swept_away(copied):
    (copied / ".evaluation.0a1b.partial").mkdir()
    (copied / ".evaluation.0a1b.partial" / "report.json").write_text("{}")
    (copied / ".report.html.0a1b.partial").write_text("half")
    assert pipeline("run", "-o", copied).exit_code == 0
    assert not list(copied.glob(".*.partial"))


def test_a_full_disk_is_noticed_before_rendering(ball_scene, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3 * 10**8))
    result = pipeline("run", ball_scene, "-o", tmp_path / "out", *SETTINGS)
    assert_one_line_error(result, "render: ", "GB are free", "finished and kept: scene")
    assert not (tmp_path / "out" / "dataset.zarr").exists()


# What has changed -------------------------------------------------------------------------------------


def test_a_changed_setting_names_the_steps_it_makes_stale(copied):
    before = states(copied)
    result = pipeline("run", "-o", copied, "--set", "train.iterations=8")
    assert_one_line_error(
        result, "changed: train.iterations: 6 → 8", "stale: train, evaluate, apply, report", "--from train"
    )
    assert states(copied) == before
    result = pipeline("run", "-o", copied, "--set", "evaluate.seed=1")
    assert_one_line_error(result, "evaluate.seed: 0 → 1", "stale: evaluate, report;", "--from evaluate")
    result = pipeline("run", "-o", copied, "--set", "hq.rays=8", "--from", "train")
    assert_one_line_error(result, "hq.rays: 4 → 8", "stale: render;", "--from render")
    assert states(copied) == before


def test_a_changed_setting_is_used_from_the_step_it_concerns(copied):
    result = pipeline("run", "-o", copied, "--set", "train.iterations=8", "--from", "train")
    assert result.exit_code == 0, result.output
    assert json.loads((copied / "runs" / "LMSA" / "settings.json").read_text())["train"]["iterations"] == 8
    assert pipeline("run", "-o", copied, "--dry-run").stdout.count(" done") == len(STEP_NAMES)


def test_a_changed_scene_makes_all_stale(ball_scene, finished, tmp_path):
    moved = Path(shutil.copytree(ball_scene, tmp_path / "scene"))
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    settings = json.loads((folder / "pipeline.json").read_text())
    (folder / "pipeline.json").write_text(json.dumps({**settings, "scene_path": str(moved)}))
    assert pipeline("run", "-o", folder).exit_code == 0
    text = (moved / "scene.toml").read_text()
    (moved / "scene.toml").write_text(text.replace('tissue = "liver"', 'tissue = "brain"'))
    result = pipeline("run", "-o", folder)
    assert_one_line_error(result, "scene: ", f"stale: {', '.join(STEP_NAMES)}", "--from scene")


def test_damaged_output_is_noticed(copied):
    (copied / "evaluation" / "report.json").write_text("{}")
    result = pipeline("run", "-o", copied)
    assert_one_line_error(result, "evaluate: its output was changed", "stale: evaluate, report;")
    assert pipeline("run", "-o", copied, "--from", "evaluate").exit_code == 0


# Mistakes ---------------------------------------------------------------------------------------------


def test_a_scene_that_fails_its_check_stops_before_any_rendering(tmp_path):
    mesh = scenes.sphere_mesh(60, (0, 0, 65))
    mesh.update_faces(np.arange(len(mesh.faces)) > 3)
    scenes.write_scene(tmp_path / "scene", {"torn": mesh}, extra=scenes.SWEEP)
    result = pipeline("run", tmp_path / "scene", "-o", tmp_path / "out", *SETTINGS)
    assert_one_line_error(result, "scene: ", "surface 'torn'", "finished and kept: nothing yet")
    assert not (tmp_path / "out" / "dataset.zarr").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert_one_line_error(pipeline("run", "-o", tmp_path), "not made by ussim-pipeline")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_processes_do_not_work_in_one_folder(copied):
    from ussim.lock import only_writer

    with only_writer(copied, "pipeline", "taken"):
        assert_one_line_error(pipeline("run", "-o", copied, "--from", "report"), "another ussim-pipeline")
