"""The ``ussim`` command, end to end: what it writes, says and returns, and how it meets mistakes."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import PATIENCE_S, scenes
from support.commands import assert_one_line_error, ussim, ussim_process, wait_for
from support.jobs import all_files

from ussim.dataset.digests import attributes_digest
from ussim.dataset.store import Dataset
from ussim.errors import UssimError

SMALL = (
    "--size=120x166",
    "--unit=2",
    "--backend=cpu",
    "--set=probe.scanlines=24",
    "--set=probe.axial_samples=256",
    "--set=hq.rays=4",
)
FRAMES, UNITS = 41, 21  # enough that a signal arrives before the end


@pytest.fixture(scope="module")
def store(ball_scene, tmp_path_factory) -> Path:
    """Small frames of it. Tests do not change this store."""
    path = tmp_path_factory.mktemp("store") / "ball.zarr"
    result = ussim("render", ball_scene, "-o", path, "--frames", FRAMES, *SMALL)
    assert result.exit_code == 0, result.output
    assert f"{FRAMES} frames in" in result.stdout
    assert f"{UNITS} of {UNITS} units are done" in result.stdout
    assert f"rendered: {FRAMES} of {FRAMES} frames" in result.stderr
    return path


# Scenes -----------------------------------------------------------------------------------------------


def test_scene_info_lists_surfaces_tissues_and_sweeps(ball_scene):
    result = ussim("scene", "info", ball_scene)
    assert result.exit_code == 0, result.output
    for word in ("ball", "stone", "fetal_bone", "1280", "120.0 × 120.0 × 120.0", "exam", "across the ball"):
        assert word in result.stdout
    assert not any(line != line.rstrip() for line in result.stdout.splitlines())
    data = json.loads(ussim("scene", "info", ball_scene, "--json").stdout)
    assert data["ok"]
    assert [surface["name"] for surface in data["surfaces"]] == ["ball", "stone"]
    assert [tissue["name"] for tissue in data["tissues"]] == [
        "outside the sector",
        "gel",
        "liver",
        "fetal_bone",
    ]
    assert list(data["sweeps"]) == ["exam", "away"]


def test_scene_info_shows_what_is_wrong_and_returns_1(tmp_path):
    mesh = scenes.sphere_mesh(60)
    mesh.update_faces(np.arange(len(mesh.faces)) > 3)
    scenes.write_scene(tmp_path, {"holey": mesh, "good": scenes.box_mesh((9, 9, 9), (200, 0, 0))})
    result = ussim("scene", "info", tmp_path)
    assert result.exit_code == 1
    assert "holey" in result.stdout
    assert "good" in result.stdout
    data = json.loads(ussim("scene", "info", tmp_path, "--json").stdout)
    assert [surface["ok"] for surface in data["surfaces"]] == [False, True]
    assert_one_line_error(ussim("render", tmp_path, "-o", tmp_path / "a.zarr", "-n", 1), "holey")


def test_scene_build_hands_its_options_over_and_shows_mistakes_in_one_line(tmp_path, monkeypatch):
    import meshes

    calls = []

    def build_scene(detail, folder, **options):
        options.pop("progress")("sampling the skull")
        calls.append((detail, folder, options))
        if detail == "huge":
            raise meshes.SettingError("detail", "huge", "demo or paper")
        return folder / "scene.toml"

    monkeypatch.setattr(meshes, "place_cached_scene", build_scene)
    result = ussim("scene", "build", "--detail", "demo", "-o", tmp_path, "--seed", 4, "--weeks", 20)
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "scene.toml") in result.stdout
    assert result.stderr == "sampling the skull\n"
    assert calls == [("demo", tmp_path, {"seed": 4, "weeks": 20.0})]
    assert_one_line_error(ussim("scene", "build", "--detail", "huge", "-o", tmp_path), "detail = 'huge'")


def test_scene_phantom_makes_a_scene_that_scene_info_knows(tmp_path):
    result = ussim("scene", "phantom", "pins", "-o", tmp_path / "p")
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "p" / "scene.toml") in result.stdout
    data = json.loads(ussim("scene", "info", tmp_path / "p", "--json").stdout)
    assert data["ok"]
    assert data["points"] == 34
    assert "34 points" in ussim("scene", "info", tmp_path / "p").stdout
    unknown = ussim("scene", "phantom", "pinz", "-o", tmp_path / "q")
    assert_one_line_error(unknown, "phantom = 'pinz'", "allowed: pins, cysts, grey-scale, uniform")
    assert not (tmp_path / "q").exists()


# Rendering --------------------------------------------------------------------------------------------


def test_a_rendered_store_is_sound_and_shows_the_ball_and_the_stones_shadow(store):
    assert ussim("verify", store).exit_code == 0
    dataset = Dataset.open(store)
    assert dataset.complete
    frame = dataset.frame(FRAMES // 2)  # the middle of the sweep: probe above the centre
    x0, z0 = dataset.header.image.origin_mm
    mm = dataset.header.image.mm_per_pixel

    def at(x_mm: float, z_mm: float) -> tuple[int, int]:
        return round((z_mm - z0) / mm), round((x_mm - x0) / mm)

    names = {row["id"]: row["name"] for row in dataset.header.tissues}
    assert names[frame.segmentation[at(0, 45)]] == "fetal_bone"
    assert names[frame.segmentation[at(25, 60)]] == "liver"
    assert names[frame.segmentation[at(0, 1)]] == "gel"
    assert frame.segmentation[0, 0] == 0
    assert frame.attenuation[at(0, 80)] < 0.8 * frame.attenuation[at(25, 80)], "less arrives behind bone"
    assert frame.lq[frame.mask == 1].any()
    assert frame.hq[frame.mask == 1].any()


def test_the_bytes_do_not_depend_on_the_number_of_workers(ball_scene, store, tmp_path):
    process = ussim_process(
        "render", ball_scene, "-o", tmp_path / "a.zarr", "-n", FRAMES, *SMALL, NUMBA_NUM_THREADS="1"
    )
    assert process.wait() == 0, process.stderr.read()
    assert all_files(tmp_path / "a.zarr") == all_files(store)


def test_a_killed_command_that_is_resumed_gives_the_bytes_of_an_uninterrupted_one(ball_scene, store, tmp_path):
    path = tmp_path / "a.zarr"
    hold = "from support.jobs import hold_from; hold_from(1)"
    process = ussim_process("render", ball_scene, "-o", path, "-n", FRAMES, *SMALL, first=hold)
    wait_for(path / "done" / "c" / "0", process)
    process.kill()
    process.wait()
    assert Dataset.open(path).done.sum() == 1
    result = ussim("render", ball_scene, "-o", path, "-n", FRAMES, *SMALL, "--resume")
    assert result.exit_code == 0, result.output
    assert all_files(path) == all_files(store)


def test_ctrl_c_keeps_finished_units_returns_130_and_says_how_to_go_on(ball_scene, store, tmp_path):
    path = tmp_path / "a.zarr"
    process = ussim_process("render", ball_scene, "-o", path, "-n", 3000, *SMALL)  # far from done when it is stopped
    wait_for(path / "done" / "c" / "0", process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "units are finished and kept; run the same command with --resume" in stderr.splitlines()[-1]
    assert Dataset.open(path).done[0]


def test_the_union_of_shards_is_the_whole(ball_scene, store, tmp_path):
    path = tmp_path / "a.zarr"
    for shard in ("2/2", "1/2"):
        assert ussim("render", ball_scene, "-o", path, "-n", FRAMES, *SMALL, "--shard", shard).exit_code == 0
    assert all_files(path) == all_files(store)


def test_a_store_is_neither_overwritten_nor_resumed_with_other_settings(ball_scene, store):
    before = all_files(store)
    again = ("render", ball_scene, "-o", store, "-n", FRAMES, *SMALL)
    assert_one_line_error(ussim(*again), str(store), "exists already", "--resume")
    assert_one_line_error(ussim(*again, "--resume", "--seed", 1), "seed is 0 in the store and 1 here")
    result = ussim(*again, "--resume")
    assert (result.exit_code, all_files(store)) == (0, before)
    assert "nothing left to render" in result.stdout


def test_a_resume_on_another_machine_warns_in_one_line_and_goes_on(ball_scene, store, tmp_path):
    path = Path(shutil.copytree(store, tmp_path / "a.zarr"))
    group = json.loads((path / "zarr.json").read_text())
    group["attributes"]["machine"]["numba"] = "0.1"
    group["attributes"]["sha256"] = attributes_digest(group["attributes"])
    text = json.dumps(group)
    (path / "zarr.json").write_text(text)
    (path / "done" / "c" / "0").unlink()
    result = ussim("render", ball_scene, "-o", path, "-n", FRAMES, *SMALL, "--resume")
    assert result.exit_code == 0
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert f"{path} was begun with Numba 0.1 (here" in warnings[0]
    assert (path / "zarr.json").read_text() == text


def test_a_dry_run_shows_the_plan_and_writes_nothing(ball_scene, tmp_path):
    path = tmp_path / "a.zarr"
    arguments = (
        "render",
        ball_scene,
        "-o",
        path,
        "-n",
        20,
        *SMALL,
        "--quality",
        "lq",
        "--dry-run",
        "--shard",
        "1/2",
    )
    arguments = tuple(a for a in arguments if not str(a).startswith("--set=hq"))
    text = ussim(*arguments)
    assert text.exit_code == 0, text.output
    assert "nothing was rendered" in text.stdout
    plan = json.loads(ussim(*arguments, "--json").stdout)
    assert (plan["frames"], plan["test_frames"]) == (20, 2)
    assert (plan["units"], plan["units_to_render"], plan["frames_to_render"]) == (10, 5, 10)
    assert plan["bytes_in_memory"] == {
        "lq": 20 * 120 * 166,
        "segmentation": 20 * 120 * 166,
        "attenuation": 796800,
    }
    assert plan["probe"]["scanlines"] == 24
    assert list(plan["qualities"]) == ["lq"]
    assert not list(tmp_path.iterdir())


def test_set_chooses_the_probe(ball_scene, tmp_path):
    def plan(*arguments: str) -> dict:
        result = ussim("render", ball_scene, "-o", tmp_path / "a.zarr", "-n", 1, "--dry-run", "--json", *arguments)
        return json.loads(result.stdout)

    for kind in ("convex", "linear", "phased"):
        assert plan(f"--set=probe.kind={kind}")["probe"]["kind"] == kind
    linear = plan("--set=probe.kind=linear", "--set=probe.width_mm=38", "--size=64x48")
    assert linear["probe"]["width_mm"] == 38.0
    assert (linear["image"]["height"], linear["image"]["width"]) == (64, 48)


MISTAKES = [
    (["--set", "probe.depht_mm=120"], ["'depht_mm'", "did you mean 'depth_mm'?"]),
    (["--set", "prob.depth_mm=120"], ["'prob'", "did you mean 'probe'?", "imaging"]),
    (["--set", "depth_mm=120"], ["section.field=value"]),
    (["--set", "probe.depth_mm"], ["section.field=value"]),
    (["--set", "probe.depth_mm=deep"], ["probe.depth_mm = 'deep'", "a number >= 5 and <= 500"]),
    (["--set", "probe.depth_mm=-3"], ["probe.depth_mm = '-3'", ">= 5"]),
    (["--set", "probe.depth_mm=nan"], ["probe.depth_mm = 'nan'", ">= 5"]),
    (["--set", "hq.rays=1.5"], ["hq.rays = '1.5'", "a whole number >= 1"]),
    (["--set", "hq.rays=2", "--set", "hq.rays=3"], ["hq.rays is given twice"]),
    (["--set", "hq.rays=2", "--quality", "lq"], ["hq is not rendered"]),
    (["--set", "probe.kind=convexx"], ["'convexx'", "did you mean 'convex'?", "linear, phased"]),
    (["--set", "probe.width_mm=40"], ["'width_mm'", "field_of_view_deg"]),
    (["--size", "120"], ["--size 120", "1000x1386"]),
    (["--size", "1x1"], ["probe.image_height", ">= 16"]),
    (["--size", "64x64", "--set", "probe.image_width=80"], ["probe.image_width", "twice"]),
    (["--quality", "lq,uq"], ["'uq'", "lq, hq"]),
    (["--quality", ","], ["--quality is empty"]),
    (["--sweep", "exma"], ["exma", "exam"]),
    (["--sweep", "away"], ["sweep 'away', frame 0", "points away"]),
    (["--frames", "0"], ["frames = 0"]),
    (["--frames", "many"], ["'many' is not a valid integer"]),
    (["--seed", "-1"], ["seed = -1"]),
    (["--unit", "0"], ["unit = 0"]),
    (["--shard", "3/2"], ["--shard 3/2", "1/4"]),
    (["--backend", "tpu"], ["'tpu'", "cuda"]),
    (["--json"], ["--dry-run"]),
    (["--colour", "red"], ["--colour"]),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2_and_writes_nothing(ball_scene, tmp_path, arguments, words):
    result = ussim("render", ball_scene, "-o", tmp_path / "a.zarr", "--frames", "4", *arguments)
    assert_one_line_error(result, *words)
    assert not list(tmp_path.iterdir())


def test_a_missing_scene_is_named(tmp_path):
    result = ussim("render", tmp_path / "nowhere", "-o", tmp_path / "a.zarr", "-n", 1)
    assert_one_line_error(result, str(tmp_path / "nowhere"))


# Stores -----------------------------------------------------------------------------------------------


def test_preview_writes_a_png_of_the_frames_asked_for(store, tmp_path):
    result = ussim("preview", store, 0, 4, "-o", tmp_path / "sheet.png", "--width", 200)
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 200
        assert np.asarray(sheet).max() > 200
    assert_one_line_error(ussim("preview", store, 41, "-o", tmp_path / "b.png"), "frame 41 does not exist", "0 to 40")
    assert_one_line_error(ussim("preview", tmp_path / "no.zarr", "-o", tmp_path / "b.png"), "no such store")


def test_info_shows_what_a_store_was_made_with(store):
    text = ussim("info", store).stdout
    for word in (
        "41 (4 for testing)",
        "21 of 21 units",
        "120 × 166 px",
        "lq + hq",
        "exam",
        "fetal_bone",
        "scanlines=24",
    ):
        assert word in text
    data = json.loads(ussim("info", store, "--json").stdout)
    assert (data["units"], data["units_done"]) == (UNITS, UNITS)
    assert data["attributes"]["probe"]["scanlines"] == 24
    assert data["attributes"] == Dataset.open(store).attrs


def test_verify_returns_1_and_names_the_damage(ball_scene, tmp_path):
    path = tmp_path / "a.zarr"
    assert ussim("render", ball_scene, "-o", path, "-n", 2, *SMALL).exit_code == 0
    chunk = path / "hq" / "c" / "1" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 255
    chunk.write_bytes(data)
    result = ussim("verify", path)
    assert result.exit_code == 1
    assert "corrupt chunk in array 'hq', frame 1" in result.stdout
    verdict = json.loads(ussim("verify", path, "--json").stdout)
    assert (verdict["ok"], len(verdict["problems"]), verdict["frames_done"]) == (False, 1, 2)
    assert_one_line_error(ussim("preview", path, 1, "-o", tmp_path / "a.png"), "corrupt chunk", "'hq', frame 1")
    assert_one_line_error(ussim("verify", tmp_path), "not a Zarr v3 store")


def test_bench_prints_the_figures_it_is_given(monkeypatch, tmp_path):
    from ussim.render import bench

    figures = {"device": "abacus", "frame_ms": {"lq": {"single": 12.5, "batched": 3.25}}}
    asked = []

    def run(path, **options):
        asked.append(path)
        return figures

    import meshes

    built = []
    monkeypatch.setattr(bench, "run", run)
    monkeypatch.setattr(meshes, "build_scene", lambda detail, folder: built.append(detail) or folder / "scene.toml")
    assert json.loads(ussim("bench", "--json").stdout) == figures
    text = ussim("bench", tmp_path).stdout
    assert "frame_ms.lq.single" in text
    assert "12.5" in text
    assert built == ["demo"]  # without a scene, the demo scene
    assert asked[0].name == "scene.toml"
    assert asked[1] == tmp_path


def test_other_errors_keep_their_traceback(monkeypatch, store):
    def broken(path):
        raise ZeroDivisionError("a bug, not a mistake of the user")

    monkeypatch.setattr(Dataset, "open", broken)
    result = ussim("info", store)
    assert isinstance(result.exception, ZeroDivisionError)
    assert not isinstance(result.exception, UssimError)
