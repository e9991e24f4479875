"""Datasets over several scenes: who shows what, and the same bytes however they are made."""

from __future__ import annotations

import numpy as np
import pytest
from support import scenes
from support.jobs import SMALL, FakeRenderer, all_files

from meshes.anatomies import anatomy_sources, parse_weeks, weeks_of
from ussim.dataset import job
from ussim.dataset.plan import Plan, make_plan
from ussim.dataset.schema import spread_over_scenes
from ussim.dataset.series import SceneSource, read_series
from ussim.dataset.store import Dataset
from ussim.dataset.verify import verify
from ussim.errors import UssimError
from ussim.pictures.contact_sheet import contact_sheet
from ussim.probe.settings import build_settings
from ussim.scene.scene import Scene
from ussim.scene.sweep import Sweep, SweepKey


class Renderer(FakeRenderer):
    """Pictures that also depend on the scene."""

    loaded: list[str]

    def __init__(self, plan, backend, tgc_db):
        super().__init__(plan, backend, tgc_db)
        self.digest = int(plan.scene.digest[:8], 16)

    def fit_tgc(self, poses):
        samples = self.plan.settings.probe.axial_samples
        self.tgc_db = np.linspace(0, self.digest % 97, samples).astype(np.float32)
        return self.tgc_db

    def render(self, poses, quality, frames):
        key = [self.plan.seed, quality.rays, self.digest, round(float(self.tgc_db.sum()) * 1e3)]
        images = [np.random.default_rng([*key, f]).integers(0, 256, self.mask.shape, np.uint8) for f in frames]
        return np.stack(images) * self.mask


def ball(radius: float, tissue: str = "liver") -> Scene:
    ends = [SweepKey(position_mm=(x, 0.0, 0.0), axial=(0, 0, 1), lateral=(1, 0, 0)) for x in (-8.0, 8.0)]
    surface = scenes.sphere(radius, centre=(0, 0, 5 + radius), tissue=tissue)
    return Scene.from_surfaces([surface], sweeps={"exam": Sweep("exam", tuple(ends))}, name=f"ball {radius}")


def plan_of(count: int = 3, frames: int = 14, balls=None, **keys) -> Plan:
    balls = balls or [ball(50.0 + number) for number in range(count)]
    sources = [SceneSource(seed, 22.0, "tiny", lambda b=b: b) for seed, b in enumerate(balls)]
    first, series = read_series(sources, frames)
    return make_plan(first, frames, build_settings(SMALL), unit_frames=4, series=series, **keys)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "a.zarr"
    assert job.run(plan_of(), path, make_renderer=Renderer).rendered == 14
    return path


def test_frames_are_spread_evenly_and_the_store_says_which_scene_they_show(whole):
    data = Dataset.open(whole)
    assert np.bincount(data.scene).tolist() == [5, 5, 4]
    assert [row.seed for row in data.header.scenes] == [0, 1, 2]
    assert [row.digest for row in data.header.scenes] == [ball(50.0 + n).digest for n in range(3)]
    assert str(data.array("scene").dtype) == "uint16"
    np.testing.assert_array_equal(data.scene, spread_over_scenes(14, 3))


def test_the_scenes_together_cover_the_sweep_evenly(whole):
    x = Dataset.open(whole).poses[:, 0, 3]
    np.testing.assert_allclose(np.sort(x), np.linspace(-8, 8, 14))


def test_each_frame_is_rendered_from_its_own_scene(whole):
    data = Dataset.open(whole)
    tgc = np.asarray(data.header.tgc_db, np.float32)
    plan = plan_of()
    for frame in (0, 4, 5, 13):
        renderer = Renderer(plan.of_scene(int(data.scene[frame])), "cpu", tgc)
        expected = renderer.render(None, plan.settings.qualities["hq"], np.array([frame]))[0]
        np.testing.assert_array_equal(data.frame(frame).hq, expected)


def test_the_gain_is_the_mean_over_the_first_scenes(whole):
    plan = plan_of()
    curves = [Renderer(plan.of_scene(n), "cpu", None).fit_tgc(None) for n in range(3)]
    np.testing.assert_allclose(Dataset.open(whole).header.tgc_db, np.mean(curves, axis=0), rtol=1e-6)


def test_a_series_is_sound_and_can_be_drawn(whole, tmp_path):
    assert verify(whole).problems == []
    assert contact_sheet(Dataset.open(whole), [0, 13], panel_width=100).width > 400


def test_verify_finds_a_wrong_scene_number(whole, tmp_path):
    job.run(plan_of(), tmp_path / "a.zarr", make_renderer=Renderer)
    Dataset.open(tmp_path / "a.zarr", mode="r+").array("scene")[0] = 2
    assert verify(tmp_path / "a.zarr").problems == ["scene: is not 3 scenes spread evenly over 14 frames"]


def test_shards_and_a_resumed_job_give_the_bytes_of_the_whole(whole, tmp_path):
    path = tmp_path / "a.zarr"
    for shard in ((2, 2), (1, 2)):
        job.run(plan_of(), path, make_renderer=Renderer, shard=shard)
    assert all_files(path) == all_files(whole)
    for unit in (1, 2):  # unit 1 spans two scenes
        (path / "done" / "c" / str(unit)).unlink()
        (path / "hq" / "c" / str(4 * unit) / "0" / "0").unlink()
    assert job.run(plan_of(), path, make_renderer=Renderer, resume=True).rendered == 8
    assert all_files(path) == all_files(whole)


def test_a_store_of_other_scenes_is_refused(whole):
    other = plan_of(balls=[ball(50.0), ball(51.0), ball(40.0)])
    with pytest.raises(UssimError, match=r"other settings: scene\.digest"):
        job.run(other, whole, make_renderer=Renderer, resume=True)


def test_a_store_of_one_scene_has_no_trace_of_series(tmp_path):
    plan = make_plan(ball(50.0), 3, build_settings(SMALL))
    job.run(plan, tmp_path / "a.zarr", make_renderer=Renderer)
    data = Dataset.open(tmp_path / "a.zarr")
    assert "scenes" not in data.attrs
    assert not (tmp_path / "a.zarr" / "scene").exists()
    assert data.scene.tolist() == [0, 0, 0]


def test_scenes_that_do_not_fit_together_are_refused():
    with pytest.raises(UssimError, match="seed 1: has other tissues than that of seed 0"):
        plan_of(balls=[ball(50.0), ball(50.0, "brain")])
    with pytest.raises(UssimError, match="frames = 2 is not allowed with 3 scenes"):
        plan_of(frames=2)
    away = Scene.from_surfaces([scenes.sphere(20, centre=(0, 0, 90))], sweeps=ball(50.0).sweeps)
    with pytest.raises(UssimError, match=r"exam of seed 0.*off the body"):
        plan_of(balls=[away])


def test_a_scene_that_changes_after_planning_is_noticed():
    balls = iter([ball(50.0), ball(40.0)])
    _, series = read_series([SceneSource(5, 22.0, "tiny", lambda: next(balls))], 2)
    with pytest.raises(UssimError, match="seed 5: changed while it was in use"):
        series.load(0)


def test_ages_are_one_number_or_a_range_that_the_seeds_fill():
    assert parse_weeks("22") == (22, 22)
    assert parse_weeks("18-30.5") == (18, 30.5)
    ages = [weeks_of(seed, (18, 30)) for seed in range(24)]
    assert np.histogram(ages, 6, (18, 30))[0].min() >= 3
    for text in ("", "old", "30-18", "-3", "18-", "nan"):
        with pytest.raises(UssimError, match="write one age or a range"):
            parse_weeks(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, "tiny"), "scenes = 0"),
        ((1, "huge"), "huge"),
        ((1, "tiny", -1), "seed"),
        ((1, "tiny", 0, (12.0, 20.0)), "16 to 36"),
    ],
)
def test_a_wrong_choice_of_anatomies_is_one_clear_error(arguments, words):
    with pytest.raises(UssimError, match=words):
        anatomy_sources(*arguments)
