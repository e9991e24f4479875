"""Text that people write: whatever stands in it, a reader takes it or says in one line what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import scenes
from support.fuzz import VALUES, damaged_text, only_mistakes_are_refused
from support.jobs import FakeRenderer, ball_plan

from cli.pipeline.settings import make_settings
from meshes.importing.label_map import read_labels
from translate.settings import DataInfo, Run, TrainSettings
from ussim.dataset import job
from ussim.dataset.schema import read_header
from ussim.dataset.store import Dataset
from ussim.probe.settings import build_settings
from ussim.scene.file import read_scene_file
from ussim.scene.scene import Scene
from ussim.scene.tissue import TissueLibrary
from ussim.settings import literal, parse_assignments

LABEL_MAP = """format = 1
[[label]]
value = 1
name = "body"
tissue = "soft_tissue"
priority = 3
[[label]]
value = 2
ignore = true
"""
TISSUES = """format = 1
[[tissue]]
name = "jelly"
speed_m_s = 1540.0
density_kg_m3 = 1000.0
attenuation_db_cm_mhz = 0.5
scatter_mean = 0.1
scatter_density = 0.5
scatter_std = 0.2
roughness_exponent = 100.0
thickness_mm = 0.1
source = "a guess"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A valid scene with a tissue library of its own."""
    path = tmp_path_factory.mktemp("damaged")
    meshes = {"ball": scenes.sphere_mesh(60, (0, 0, 65), 1), "stone": scenes.sphere_mesh(8, (0, 0, 45), 1)}
    scenes.write_scene(path, meshes, extra='group = "mother"\nscale = 1.0\n' + scenes.SWEEP)
    return path


SCENE_TOML = 'format = 1\nname = "test scene"\nbackground = "gel"\ntissues = ["more.toml"]\n' + "".join(
    f'[[surface]]\nname = "{name}"\nmesh = "{name}.stl"\ntissue = "liver"\npriority = {priority}\ngroup = "mother"\n'
    "scale = 1.0\n"
    "transform = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]\n"
    for name, priority in (("ball", 10), ("stone", 11))
) + scenes.SWEEP  # fmt: skip


def load_scene(folder, text: str) -> None:
    path = folder / "scene.toml"
    (folder / "more.toml").write_text(TISSUES)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with only_mistakes_are_refused():
        read_scene_file(path)
    with only_mistakes_are_refused():
        Scene.load(path)


def test_the_scene_that_is_damaged_here_is_a_good_one(folder):
    (folder / "more.toml").write_text(TISSUES)
    (folder / "scene.toml").write_text(SCENE_TOML)
    assert len(Scene.load(folder).surfaces) == 2


@given(text=damaged_text(SCENE_TOML))
def test_a_damaged_scene_file_is_refused_in_one_line(folder, text):
    load_scene(folder, text)


@given(text=st.text(max_size=60))
def test_any_text_for_a_scene_is_refused_in_one_line(folder, text):
    load_scene(folder, text)


@given(text=damaged_text(TISSUES))
def test_a_damaged_tissue_library_is_refused_in_one_line(folder, text):
    path = folder / "library.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with only_mistakes_are_refused():
        TissueLibrary.load(path)


@given(text=damaged_text(LABEL_MAP))
def test_a_damaged_label_map_is_refused_in_one_line(folder, text):
    path = folder / "labels.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with only_mistakes_are_refused():
        read_labels({1: 10, 2: 20}, path, {}, [], folder / "volume.nii")


# Typed settings -----------------------------------------------------------------------------------------

RUN_SETTINGS = Run(
    train=TrainSettings(),
    data=DataInfo(
        store="a.zarr", digest="0", tissues=("gel", "liver"), probe={}, train_frames=1, test_frames=1,
        image={"height": 8, "width": 8, "mm_per_pixel": 0.5, "origin_mm": (0.0, 0.0)},
    ),
).model_dump_json(indent=1)  # fmt: skip
RENDER_KEYS = [
    "probe.kind", "probe.depth_mm", "probe.scanlines", "probe.image_height", "probe.image_width", "probe.focus_mm",
    "probe.width_mm", "probe.radius_mm", "probe.axial_samples", "probe.frequency_mhz",
    "imaging.dynamic_range_db", "imaging.tgc", "imaging.noise_db", "lq.rays", "hq.rays", "hq.layers",
]  # fmt: skip
TRAIN_KEYS = ["inputs", "model", "ngf", "depth", "crop", "norm", "residual", "iterations", "learning_rate", "seed"]
PIPELINE_KEYS = [
    "scene.detail", "scene.seed", "scene.weeks", "scene.count", "render.frames", "render.size", "render.sweep",
    "render.unit", "train.variants", "evaluate.crop", "apply.split",
    *(f"train.{key}" for key in TRAIN_KEYS), *RENDER_KEYS,
]  # fmt: skip
TYPED = st.one_of(
    VALUES, st.sampled_from(["none", "cpu", "convex", "linear", "12-40", "1e9-2", "-", "99999x1", "x", "LM,LM"])
)


def assignments(keys: list[str]) -> st.SearchStrategy[list[str]]:
    one = st.one_of(
        st.builds("{}={}".format, st.sampled_from(keys), TYPED),
        st.builds("{}={}".format, st.text(max_size=6), TYPED),
        st.text(max_size=10),
    )
    return st.lists(one, min_size=1, max_size=3)


@given(texts=assignments(RENDER_KEYS))
def test_any_set_option_of_a_rendering_is_taken_or_refused_in_one_line(texts):
    with only_mistakes_are_refused():
        settings = build_settings(texts)
        assert settings.probe.mask().ndim == 2 if max(settings.probe.image_shape) < 3000 else True


@given(texts=assignments(PIPELINE_KEYS))
def test_any_set_option_of_a_pipeline_is_taken_or_refused_in_one_line(texts):
    with only_mistakes_are_refused():
        make_settings("demo", None, texts)


@given(texts=assignments(TRAIN_KEYS))
def test_any_set_option_of_a_training_is_taken_or_refused_in_one_line(texts):
    with only_mistakes_are_refused():
        values = parse_assignments(texts, ("",), "ema=0.999")[""]
        TrainSettings.make(**{name: literal(text) for name, text in values.items()})


@given(text=damaged_text(RUN_SETTINGS))
def test_damaged_settings_of_a_run_are_refused_in_one_line(folder, text):
    (folder / "settings.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with only_mistakes_are_refused():
        Run.load(folder)


# Stores -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    job.run(ball_plan(frames=4), path, make_renderer=FakeRenderer)
    return path, {file: file.read_text() for file in path.rglob("zarr.json")}


def open_damaged(store, name: str, damage) -> None:
    path, texts = store
    file = path / name / "zarr.json"
    pretty = json.dumps(json.loads(texts[file]), indent=1)
    file.write_text(damage(pretty), encoding="utf-8", errors="surrogatepass")
    try:
        with only_mistakes_are_refused():
            read_header(path)
        with only_mistakes_are_refused():
            repr(Dataset.open(path))
    finally:
        file.write_text(texts[file])


@given(data=st.data())
def test_a_damaged_header_is_refused_in_one_line(store, data):
    open_damaged(store, "", lambda text: data.draw(damaged_text(text)))


@given(data=st.data(), name=st.sampled_from(["lq", "attenuation", "done", "pose", "mask"]))
def test_a_damaged_array_is_refused_in_one_line(store, data, name):
    open_damaged(store, name, lambda text: data.draw(damaged_text(text)))


# What was found -----------------------------------------------------------------------------------------

LONG_NUMBER = "7" * 4400  # Python makes no integer of so many digits
DEEP = "[" * 3000


@pytest.mark.parametrize("value", [LONG_NUMBER, DEEP, '"two\\nlines"', '"\\u001b[31m"'])
def test_scene_values_that_once_got_through(folder, value):
    good = SCENE_TOML.splitlines()
    for number, line in enumerate(good):
        key, equals, _ = line.partition(" = ")
        if equals:
            load_scene(folder, "\n".join([*good[:number], f"{key} = {value}", *good[number + 1 :]]))


@pytest.mark.parametrize("value", [LONG_NUMBER, DEEP])
def test_header_values_that_once_got_through(store, value):
    open_damaged(store, "", lambda text: text.replace('"seed": 0', f'"seed": {value}'))


def test_typed_values_that_once_got_through():
    for text in (f"hq.rays={DEEP}", "lq.rays=1\n2"):
        with only_mistakes_are_refused():
            build_settings([text])
    for text in ("train.model=[1]", "train.model={}"):
        with only_mistakes_are_refused():
            make_settings("demo", None, [text])
