"""Commands take a URL where they take a store, and let no secret out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.commands import ussim
from support.jobs import SMALL, FakeRenderer
from support.object_server import ALL_IS_WELL, BUCKET, DROP, SECRET

from cli.translate import main as translate
from ussim.dataset import job
from ussim.dataset.place import place_of


@pytest.fixture
def render(ball_scene, monkeypatch):
    """``ussim render`` of a small store, without a tracer."""
    monkeypatch.setattr(job, "default_renderer", FakeRenderer)
    settings = [f"--set={setting}" for setting in SMALL if "image_" not in setting]
    return lambda output, *more: ussim(
        "render", ball_scene, "-o", output, "-n", 6, "--size=24x33", "--unit=4", *settings, *more
    )


def test_a_store_in_a_bucket_is_rendered_resumed_shown_and_verified(render, way, url, tmp_path):
    plan = json.loads(render(url, "--dry-run", "--json").stdout)
    assert (plan["store"], plan["bytes_free"], plan["units_done"]) == (url, None, 0)
    assert "on disk" in render(url, "--dry-run").stdout
    assert place_of(url).list() == [], "nothing was made"
    assert f"{url}: 1 of 2 units are done" in render(url, "--shard=1/2").stdout
    assert f"{url}: 2 of 2 units are done" in render(url, "--resume").stdout
    assert json.loads(ussim("info", url, "--json").stdout)["attributes"]["sharded"]
    assert ussim("info", url).exit_code == 0
    assert f"{url}: sound; 6 of 6 frames done" in ussim("verify", url).stdout
    assert json.loads(ussim("verify", url, "--json").stdout)["path"] == url
    assert ussim("preview", url, 1, "-o", tmp_path / "sheet.png").exit_code == 0
    assert (tmp_path / "sheet.png").is_file()


def test_a_unit_of_a_store_in_a_bucket_is_32_frames_unless_asked_otherwise(ball_scene, way, url):
    plan = json.loads(ussim("render", ball_scene, "-o", url, "-n", 70, "--dry-run", "--json").stdout)
    assert (plan["unit_frames"], plan["units"]) == (32, 3)


@pytest.mark.parametrize("status", [403, 500, DROP])
def test_no_secret_is_told_or_kept(render, way, url, status, tmp_path):
    shown = [render(url), ussim("info", url, "--json"), ussim("verify", url), render(url, "--dry-run", "--resume")]
    assert [result.exit_code for result in shown] == [0] * 4
    way.trouble = lambda method, path: status
    failed = [render(url, "--resume"), ussim("info", url), ussim("verify", url), ussim("preview", url, "-o", "a.png")]
    for result in failed:
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()[-1:]
        assert f"bucket '{BUCKET}'" in line
        assert url in line
        assert "Traceback" not in result.output
    way.trouble = lambda method, path: ALL_IS_WELL
    place = place_of(url)
    told = [result.output.encode() for result in (*shown, *failed)]
    assert not [text for text in (*told, *map(place.read, place.list())) if SECRET.encode() in text]
    assert SECRET not in repr(place)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://me:hunter2@bucket/a.zarr", "s3://…: a URL holds no user, password or query"),
        ("ftp://host/a.zarr", "ftp://…: unknown kind of URL"),
        ("s3:/bucket/a.zarr", "s3:/ begins no path"),
    ],
)
def test_a_url_that_is_none_is_one_line_and_makes_no_folder(render, url, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for result in (render(url), ussim("info", url), CliRunner().invoke(translate, ["apply", url])):
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert "hunter2" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_no_folder_of_that_name_is_made(render, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("obstore", "obstore.store"):
        monkeypatch.setitem(sys.modules, name, None)
    result = render("s3://bucket/a.zarr")
    assert result.exit_code == 2
    assert 's3://bucket/a.zarr: a URL needs the package obstore: pip install "ussim[remote]"' in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_store_does_not_lie_under_a_url(way, url):
    for command in (
        ["preview", url, "-o", "s3://bucket/sheet.png"],
        ["render", "s3://bucket/scene", "-o", url, "-n", 4],
    ):
        result = ussim(*command)
        assert result.exit_code == 2
        assert "only a store may lie under a URL; give a path" in result.stderr
    result = CliRunner().invoke(translate, ["apply", "s3://bucket/run", url])
    assert "only a store may lie under a URL; give the path of a run" in result.stderr


def test_an_output_in_a_store_is_still_refused(render, tmp_path):
    assert render(tmp_path / "a.zarr").exit_code == 0
    result = render(Path(tmp_path / "a.zarr" / "b.zarr"))
    assert "lies in the store" in result.stderr
