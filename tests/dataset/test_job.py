"""Jobs: the same bytes whatever interrupts or divides them, nothing lost, mistakes found before rendering."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, scenes
from support.commands import wait_for
from support.jobs import SMALL, FakeRenderer, SlowRenderer, all_files, ball_plan, ball_scene

from ussim.dataset import job
from ussim.dataset.plan import make_plan, parse_shard
from ussim.dataset.poses import check_poses
from ussim.dataset.schema import make_split
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError
from ussim.probe.settings import build_settings
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep, SweepKey


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of a store that nothing interrupted."""
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    summary = job.run(ball_plan(), path, make_renderer=FakeRenderer)
    assert (summary.rendered, summary.units_done, summary.units) == (22, 6, 6)
    assert verify(path).problems == []
    return all_files(path)


# Same bytes -------------------------------------------------------------------------------------------


def test_two_runs_of_one_plan_give_the_same_files(tmp_path, whole):
    job.run(ball_plan(), tmp_path / "other.zarr", make_renderer=FakeRenderer)
    assert all_files(tmp_path / "other.zarr") == whole


def test_frames_do_not_depend_on_the_batch(tmp_path, whole):
    class Batched(FakeRenderer):
        def batch_size(self, qualities):
            return 11

    job.run(ball_plan(), tmp_path / "a.zarr", make_renderer=Batched)
    assert all_files(tmp_path / "a.zarr") == whole


def test_a_store_can_be_rendered_again_from_what_it_holds(tmp_path, whole):
    first = job.run(ball_plan(settings=("hq.rays=8",), seed=5), tmp_path / "a.zarr", make_renderer=FakeRenderer)
    header = Dataset.open(first.path).header
    from ussim.probe.imaging import Imaging
    from ussim.probe.probe import make_probe
    from ussim.probe.quality import Quality
    from ussim.probe.settings import Settings

    settings = Settings(
        probe=make_probe(**header.probe),
        imaging=Imaging(**header.imaging),
        qualities={name: Quality(**header.qualities[name]) for name in ("lq", "hq")},
    )
    again = make_plan(
        ball_scene(), header.frames, settings, header.sweep, header.seed, header.unit_frames, header.backend
    )
    assert again.scene.digest == header.scene.digest
    job.run(again, tmp_path / "b.zarr", make_renderer=FakeRenderer)
    assert all_files(tmp_path / "b.zarr") == all_files(tmp_path / "a.zarr")


def test_a_killed_job_that_is_resumed_gives_the_bytes_of_an_uninterrupted_one(tmp_path, whole):
    path = tmp_path / "a.zarr"
    code = "import sys; from support.jobs import *; from ussim.dataset import job; hold_from(int(sys.argv[2]))\n"
    code += "job.run(ball_plan(), sys.argv[1], make_renderer=FakeRenderer, resume=True)"
    for units in (1, 3):  # killed twice
        process = subprocess.Popen([sys.executable, "-c", code, str(path), str(units)], env=_environment())
        for unit in range(units):
            wait_for(path / "done" / "c" / str(unit), process)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = Dataset.open(path).done
    assert done.sum() == 3

    renderers = []
    summary = job.run(ball_plan(), path, make_renderer=_remember(renderers), resume=True)
    assert summary.units_done == 6
    missing = [f for unit in np.flatnonzero(~done) for f in Dataset.open(path).header.unit_range(int(unit))]
    assert sorted(set(renderers[0].rendered)) == missing, "resume renders the missing units and no other"
    assert all_files(path) == whole


def test_data_that_came_to_disk_without_a_done_flag_are_written_again(tmp_path, whole):
    path = tmp_path / "a.zarr"
    job.run(ball_plan(), path, make_renderer=FakeRenderer)
    (path / "done" / "c" / "2").unlink()
    (path / "hq" / "c" / "9" / "0" / "0").write_bytes(b"cut short")
    (path / "hq" / "c" / "10" / "0" / "0").unlink()
    (path / "hq" / "c" / "10" / "0" / "0.1234.partial").write_bytes(b"half")
    summary = job.run(ball_plan(), path, make_renderer=FakeRenderer, resume=True)
    assert summary.rendered == 4
    assert all_files(path) == whole


def test_resuming_a_complete_store_renders_nothing(tmp_path, whole):
    path = tmp_path / "a.zarr"
    job.run(ball_plan(), path, make_renderer=FakeRenderer)
    renderers = []
    summary = job.run(ball_plan(), path, make_renderer=_remember(renderers), resume=True)
    assert (summary.rendered, renderers) == (0, [])
    assert all_files(path) == whole


def test_the_union_of_shards_is_the_whole(tmp_path, whole):
    path = tmp_path / "a.zarr"
    rendered = []
    for shard in ((2, 3), (3, 3), (1, 3)):
        renderers = []
        job.run(ball_plan(), path, make_renderer=_remember(renderers), shard=shard)
        rendered.append(sorted(set(renderers[0].rendered)))
    assert rendered[0] == [4, 5, 6, 7, 16, 17, 18, 19], "every third unit, from the second"
    assert sorted(frame for frames in rendered for frame in frames) == list(range(22))
    assert all_files(path) == whole


def _render_shard(path: Path, index: int) -> int:
    return job.run(ball_plan(), path, make_renderer=SlowRenderer, shard=(index, 2)).rendered


def test_shards_that_start_at_once_share_one_store(tmp_path, whole):
    path = tmp_path / "a.zarr"
    with get_context("spawn").Pool(2) as pool:
        rendered = pool.starmap(_render_shard, [(path, index) for index in (1, 2)], chunksize=1)
    assert sum(rendered) == 22
    assert all_files(path) == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_split_and_gain_do_not_depend_on_how_a_store_was_made(tmp_path):
    job.run(ball_plan(seed=3), tmp_path / "a.zarr", make_renderer=FakeRenderer)
    job.run(ball_plan(seed=3, frames=6), tmp_path / "b.zarr", make_renderer=FakeRenderer)
    long, short = Dataset.open(tmp_path / "a.zarr"), Dataset.open(tmp_path / "b.zarr")
    np.testing.assert_array_equal(long.split, make_split(22, 3))
    assert long.header.tgc_db == short.header.tgc_db
    # a float32 survives the attributes to the last bit
    plan = ball_plan(seed=3)
    fitted = FakeRenderer(plan, "cpu", None).fit_tgc(plan.scene.sweep("exam").poses(job.TGC_POSES))
    np.testing.assert_array_equal(np.asarray(long.header.tgc_db, np.float32), fitted)


def test_only_the_images_asked_for_are_rendered(tmp_path):
    plan = replace(ball_plan(), settings=build_settings(SMALL, ["lq"]))
    job.run(plan, tmp_path / "a.zarr", make_renderer=FakeRenderer)
    assert Dataset.open(tmp_path / "a.zarr").qualities == ("lq",)
    assert not (tmp_path / "a.zarr" / "hq").exists()


def test_a_gpu_that_fails_leaves_what_was_written_and_the_cpu_goes_on(tmp_path, whole):
    class Failing(FakeRenderer):
        backend_name = "cuda"

        def render(self, poses, quality, frames):
            if frames[-1] > 12:
                raise UssimError("backend = 'cuda': the GPU failed (CUDA_ERROR_X); --backend cpu does without it")
            return super().render(poses, quality, frames)

    path = tmp_path / "a.zarr"
    with pytest.raises(UssimError, match=r"the GPU failed .*: 3 of 6 units are finished and kept; .*--resume"):
        job.run(ball_plan(), path, make_renderer=Failing)
    assert Dataset.open(path).done.any()
    summary = job.run(ball_plan(backend="cpu"), path, make_renderer=FakeRenderer, resume=True)
    assert summary.units_done == 6
    began_elsewhere = {name: data for name, data in all_files(path).items() if name != "zarr.json"}
    assert began_elsewhere == {name: data for name, data in whole.items() if name != "zarr.json"}


# Stores that must not be touched ----------------------------------------------------------------------


def test_an_existing_store_is_never_overwritten(tmp_path, whole):
    path = tmp_path / "a.zarr"
    job.run(ball_plan(), path, make_renderer=FakeRenderer)
    with pytest.raises(UssimError, match="exists already: give --resume"):
        job.run(ball_plan(seed=1), path, make_renderer=FakeRenderer)
    assert all_files(path) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed is 0 in the store and 1 here"),
        ({"frames": 23}, "frames is 22 in the store and 23 here"),
        ({"unit_frames": 2}, "unit_frames is 4 in the store and 2 here"),
        (
            {"settings": ("imaging.dynamic_range_db=50",)},
            "imaging.dynamic_range_db is 66.0 in the store and 50.0",
        ),
        ({"settings": ("hq.rays=7",)}, "qualities.hq.rays is 32 in the store and 7 here"),
        ({"settings": ("probe.focus_mm=50",)}, "probe.focus_mm is 70.0 in the store and 50.0 here"),
    ],
)
@pytest.mark.parametrize("how", [{"resume": True}, {"shard": (1, 2)}])
def test_a_store_with_other_settings_is_refused_by_the_name_of_the_setting(tmp_path, whole, change, message, how):
    path = tmp_path / "a.zarr"
    job.run(ball_plan(), path, make_renderer=FakeRenderer)
    with pytest.raises(UssimError) as caught:
        job.run(ball_plan(**change), path, make_renderer=FakeRenderer, **how)
    assert message in str(caught.value)
    assert all_files(path) == whole


def test_a_store_of_another_scene_is_refused(tmp_path):
    path = tmp_path / "a.zarr"
    job.run(ball_plan(), path, make_renderer=FakeRenderer)
    other = Scene.from_surfaces([scenes.sphere(59, centre=(0, 0, 65))], sweeps=ball_scene().sweeps, name="ball")
    with pytest.raises(UssimError, match=r"scene\.digest is '[0-9a-f]+… in the store and '[0-9a-f]+… here"):
        job.run(replace(ball_plan(), scene=other), path, make_renderer=FakeRenderer, resume=True)


def test_something_else_at_the_path_is_left_alone(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.tex").write_text("years")
    for how in ({}, {"resume": True}, {"shard": (1, 2)}):
        with pytest.raises(UssimError, match=r"exists already|not a Zarr"):
            job.run(ball_plan(), tmp_path / "a.zarr", make_renderer=FakeRenderer, **how)
    assert all_files(tmp_path) == {"a.zarr/thesis.tex": b"years"}


# Ends -------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_what_is_finished_and_says_how_to_go_on(tmp_path, whole, monkeypatch):
    path = tmp_path / "a.zarr"
    original = Dataset.write_unit

    def fill_up(self, unit, data):
        if unit >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, unit, data)

    monkeypatch.setattr(Dataset, "write_unit", fill_up)
    with pytest.raises(UssimError) as caught:
        job.run(ball_plan(), path, make_renderer=FakeRenderer)
    assert str(caught.value) == (
        f"{path}: the disk is full: 2 of 6 units are finished and kept; run the same command with --resume to go on"
    )
    monkeypatch.undo()
    job.run(ball_plan(), path, make_renderer=FakeRenderer, resume=True)
    assert all_files(path) == whole


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UssimError, match=r"file/a\.zarr: cannot be made"):
        job.run(ball_plan(), tmp_path / "file" / "a.zarr", make_renderer=FakeRenderer)


def test_ctrl_c_keeps_finished_units_and_says_how_to_go_on(tmp_path, whole):
    path = tmp_path / "a.zarr"

    class Stopped(FakeRenderer):
        def maps(self, poses):
            if len(self.rendered) > 24:
                raise KeyboardInterrupt
            return super().maps(poses)

    with pytest.raises(job.InterruptedJobError, match=r"3 of 6 units are finished.*--resume"):
        job.run(ball_plan(), path, make_renderer=Stopped)
    assert Dataset.open(path).done.tolist() == [True] * 3 + [False] * 3
    job.run(ball_plan(), path, make_renderer=FakeRenderer, resume=True)
    assert all_files(path) == whole


def test_an_error_of_the_renderer_surfaces_as_it_is(tmp_path):
    class Broken(FakeRenderer):
        def maps(self, poses):
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        job.run(ball_plan(), tmp_path / "a.zarr", make_renderer=Broken)


def test_progress_counts_every_frame_once(tmp_path):
    calls = []
    job.run(
        ball_plan(),
        tmp_path / "a.zarr",
        make_renderer=FakeRenderer,
        progress=lambda *call: calls.append(call),
    )
    rendered = [(done, total) for phase, done, total in calls if phase == "render"]
    frames_done = [done for done, _ in rendered]
    assert {total for _, total in rendered} == {22}
    assert (frames_done[0], frames_done[-1]) == (0, 22)
    assert frames_done == sorted(set(frames_done))


# Plans and poses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames = 0 is not allowed"),
        ({"seed": -1}, "seed = -1 is not allowed"),
        ({"unit_frames": 0}, "unit = 0 is not allowed"),
        ({"backend": "tpu"}, "must be one of auto, cpu, cuda"),
        ({"sweep": "exma"}, "exam"),
    ],
)
def test_a_plan_out_of_range_is_refused(change, message):
    with pytest.raises(UssimError, match=message):
        ball_plan(**change)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2", "/", ""])
def test_a_shard_of_another_form_is_refused(text):
    with pytest.raises(UssimError, match="write i/n"):
        parse_shard(text)
    assert parse_shard("2/4") == (2, 4)


def _pose(change: Callable[[np.ndarray], object]) -> np.ndarray:
    poses = np.repeat(scenes.facing_pose()[None], 4, axis=0)
    change(poses[2])
    return poses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pose: pose.__setitem__((0, 3), np.nan), "NaN or infinity"),
        (lambda pose: pose.__setitem__((1, 3), np.inf), "NaN or infinity"),
        (lambda pose: pose.__setitem__((0, 0), 1.01), "not orthonormal"),
        (lambda pose: pose.__setitem__((0, 0), -1), "mirrors"),
        (lambda pose: pose.__setitem__((3, 0), 1), "last row"),
        (lambda pose: pose.__setitem__((2, 3), -20), "25.0 mm off the body; allowed: at most 15 mm"),
        (lambda pose: pose.__setitem__((0, 3), 500), "no surface lies in front"),
        (
            lambda pose: pose.__setitem__((slice(0, 3), slice(1, 3)), [[0, 0], [-1, 0], [0, -1]]),
            "points away",
        ),
    ],
)
def test_a_pose_that_gives_no_image_is_refused_by_frame_and_sweep(change, message):
    with pytest.raises(UssimError) as caught:
        check_poses(ball_scene(), _pose(change), sweep="exam")
    assert str(caught.value).startswith("sweep 'exam', frame 2: ")
    assert message in str(caught.value)


def test_poses_on_and_in_the_body_are_taken():
    check_poses(ball_scene(), _pose(lambda pose: pose.__setitem__((2, 3), 30)))


def test_bad_poses_are_found_before_anything_is_written(tmp_path):
    away = SweepKey(position_mm=(0.0, 0.0, -40.0), axial=(0, 0, 1), lateral=(1, 0, 0))
    scene = Scene.from_surfaces(
        [scenes.sphere(60, centre=(0, 0, 65))], sweeps={"exam": Sweep("exam", (away,))}, name="ball"
    )
    with pytest.raises(UssimError, match=r"frame 0: the probe is 45\.0 mm off the body.*\(22 of 22 frames\)"):
        job.run(replace(ball_plan(), scene=scene), tmp_path / "a.zarr", make_renderer=FakeRenderer)
    assert not list(tmp_path.iterdir())


# Helpers ----------------------------------------------------------------------------------------------


def _remember(renderers: list[FakeRenderer]) -> job.RendererFactory:
    def make(plan, backend, tgc_db):
        renderers.append(FakeRenderer(plan, backend, tgc_db))
        return renderers[-1]

    return make


def _environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
