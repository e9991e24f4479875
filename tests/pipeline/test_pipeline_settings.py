"""Settings of a pipeline, and the files it keeps: what is allowed, and how mistakes and damage are named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.commands import assert_one_line_error
from support.pipelines import pipeline

from cli.pipeline.records import load_settings
from cli.pipeline.report.evaluation import load_evaluation
from cli.pipeline.settings import make_settings
from ussim.dataset.schema import make_split
from ussim.errors import UssimError


def test_the_paper_preset_is_the_papers_protocol():
    settings = make_settings("paper", None, ())
    assert (settings.scene.detail, settings.render.frames, settings.render.shape) == ("paper", 6669, (1000, 1386))
    split = make_split(settings.render.frames, settings.render.seed)
    assert ((split == 0).sum(), (split == 1).sum()) == (6000, 669)
    assert settings.variants == ("LM", "LMS", "LMSA")
    rendering = settings.rendering()
    lq, hq = rendering.qualities["lq"], rendering.qualities["hq"]
    assert (lq.rays, lq.layers, hq.rays, hq.layers) == (1, 1, 32, 3)
    probe = rendering.probe
    assert (probe.depth_mm, probe.frequency_mhz, probe.axial_samples) == (150, 8, 3072)
    for variant in settings.variants:
        train = settings.training(variant)
        assert (train.model, train.ngf, train.depth, train.residual, train.norm) == (
            "pix2pix",
            64,
            8,
            False,
            "instance",
        )
        assert (train.iterations, train.batch, train.crop) == (50_000, 16, 512)
        assert (train.learning_rate, train.beta1, train.beta2, train.l1_weight) == (2e-4, 0.5, 0.999, 100)
    assert (settings.evaluate.crops, settings.evaluation_crop, settings.evaluate.images) == (4, 512, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "huge"], ("--preset huge", "demo, small, paper")),
        (["--set", "train.iteratons=5"], ("iteratons", "did you mean 'iterations'")),
        (["--set", "train.crop=1024"], ("train.crop = 1024", "images of 1000x1386 allow 1000")),
        (
            ["--set", "render.size=250x347"],
            ("train.init = default: render.size = 250x347: pixels of", "train.init=random"),
        ),
        (
            ["--set", "train.variants=LM"],
            ("train.init = default: the shipped generator has inputs = 'LMSA', not 'LM'",),
        ),
        (["--set", "train.init=mine"], ("train.init = 'mine'", "'random' or 'default'")),
        (["--set", "train.split=scene"], ("train.split = scene", "scene.count")),
        (["--set", "tran.ngf=5"], ("'tran'", "did you mean 'train'")),
        (["--set", "render.frames=3"], ("render.frames = 3", "at least 10")),
        (["--set", "render.size=big"], ("render.size = 'big'", "height x width")),
        (["--set", "render.speed=3"], ("render: unknown key 'speed'", "frames, size")),
        (["--set", "probe.depth=3"], ("probe has no setting 'depth'", "depth_mm")),
        (["--set", "scene.weeks=50"], ("weeks", "16")),
        (["--set", "train.variants=LX"], ("train.variants[0] = 'LX'", "LMSA")),
        (["--set", "apply.split=some"], ("apply.split = 'some'", "'all', 'train' or 'test'")),
        (["--set", "train.variants="], ("train.variants[0] = ''", "LMSA")),
        (["--set", "train.variants=LM,LM"], ("train.variants = 'LM,LM'", "twice")),
        (["--set", "train.inputs=LM"], ("train.inputs", "train.variants=LM,LMSA")),
        (["--set", "train.ngf=wide"], ("ngf = 'wide'", "at least 2, at most 512")),
        (["--set", "train.l1_weight=inf"], ("l1_weight = 'inf'", "finite", "at least 0")),
        (["--set", "evaluate.crop=7"], ("evaluate.crop = 7", "at least 32")),
        (["--set", "evaluate.images=0"], ("evaluate.images = 0", "at least 1")),
        (["--set", "scene.count=0"], ("scene.count = 0", "at least 1, at most 65536")),
        (["--set", "scene.detail=huge"], ("detail = 'huge'", "tiny, demo, paper")),
        (["--set", "hq.rays=0"], ("hq.rays = '0'", ">= 1")),
        (["--set", "frames=3"], ("--set frames=3", "section.field=value")),
        (["--from", "train"], ("scene is not finished", "--from train")),
    ],
)
def test_mistakes_are_named_before_anything_is_done(arguments, words, tmp_path):
    result = pipeline("run", "-o", tmp_path / "out", *arguments)
    assert_one_line_error(result, *words)
    assert not (tmp_path / "out" / "pipeline.json").exists()


# Files that were damaged ------------------------------------------------------------------------------


def change(path: Path, place: tuple[str | int, ...], value: Any) -> None:
    """Change one value in a JSON file."""
    content = json.loads(path.read_text())
    part = content
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("render", "colour"), "blue", ("render: unknown key 'colour'", "allowed: frames, size")),
        (("render", "frames"), 3, ("render.frames = 3", "at least 10")),
        (("render", "size"), "big", ("render.size = 'big'", "height x width")),
        (("variants",), ["LX"], ("variants[0] = 'LX'", "'LMSA'")),
        (("variants",), [], ("variants", "at least 1 item")),
        (("overrides", "probe"), {"depth": "3"}, ("probe has no setting 'depth'", "depth_mm")),
        (("train", "ngf"), 1, ("ngf = 1", "at least 2, at most 512")),
        (("train", "ngff"), 4, ("'ngff'", "did you mean 'ngf'")),
        (("preset",), "huge", ("preset = 'huge'", "demo, small, paper")),
    ],
)
def test_damaged_settings_are_named(copied, place, value, words):
    path = copied / "pipeline.json"
    change(path, place, value)
    assert_one_line_error(pipeline("run", "-o", copied), f"error: {path}: ", *words, "another version of ussim")


def test_retired_settings_of_an_earlier_version_are_left_out(copied):
    change(copied / "pipeline.json", ("overrides", "lq"), {"rays": "2", "taps": "8"})
    change(copied / "pipeline.json", ("overrides", "imaging"), {"lobe_exponent": "5"})
    settings = load_settings(copied)
    assert (settings.overrides["lq"], settings.overrides["imaging"]) == ({"rays": "2"}, {})
    assert settings.rendering().qualities["lq"].rays == 2


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
@pytest.mark.parametrize("name", ["pipeline.json", "steps/train.json"])
def test_files_that_are_no_json_are_named(copied, name, text):
    (copied / name).write_text(text)
    assert_one_line_error(pipeline("run", "-o", copied), f"error: {copied / name}: not valid JSON: ")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("state",), "half", ("state = 'half'", "'begun' or 'done'")),
        (("outputs",), "none", ("outputs = 'none'", "dictionary")),
        (("seconds",), "long", ("seconds = 'long'", "number")),
        (("minutes",), 3, ("unknown key 'minutes'", "allowed: state, key")),
        (("notes",), {"lms": 0.5}, ("its digest does not fit",)),
        (("peak_memory_bytes",), 10**400, ("its digest does not fit",)),
    ],
)
def test_a_damaged_record_is_named(copied, place, value, words):
    path = copied / "steps" / "report.json"
    change(path, place, value)
    result = pipeline("run", "-o", copied)
    assert_one_line_error(result, f"error: {path}: ", *words, "redo the step: --from report")


def test_weeks_of_hundreds_of_digits_are_named(copied):
    change(copied / "pipeline.json", ("scene", "weeks"), 10**400)
    assert_one_line_error(pipeline("run", "-o", copied), f"error: {copied / 'pipeline.json'}: ", "weeks")


def test_a_step_with_a_damaged_record_can_be_redone(copied):
    (copied / "steps" / "report.json").write_text("{")
    assert pipeline("run", "-o", copied, "--from", "report").exit_code == 0


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("format",), 2, ("format = 2", "must be 1")),
        (("rows",), [], ("rows", "at least 2 items")),
        (("rows", 1, "whole"), {}, ("rows 'L2HM': whole", "at least 3 items")),
        (("rows", 1, "whole", "psnr", "mean"), "high", ("whole.psnr.mean = 'high'", "number")),
        (("tables", 0, "rows", 0, 0), 3, ("tables", "= 3", "string")),
        (("notes",), None, ("notes = None", "list")),
    ],
)
def test_a_damaged_evaluation_is_named(copied, place, value, words):
    path = copied / "evaluation" / "report.json"
    change(path, place, value)
    with pytest.raises(UssimError) as caught:
        load_evaluation(copied / "evaluation")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_evaluation_is_named(tmp_path):
    with pytest.raises(UssimError, match=r"report\.json: cannot be read: No such file"):
        load_evaluation(tmp_path)


def test_a_figure_without_a_mean_is_not_better(copied):
    change(copied / "evaluation" / "report.json", ("rows", 1, "whole", "psnr", "mean"), None)
    verdict = load_evaluation(copied / "evaluation").verdicts[0]
    assert (verdict.row, verdict.figure, verdict.is_better) == ("L2HM", "psnr", False)
    assert math.isnan(verdict.enhanced)
