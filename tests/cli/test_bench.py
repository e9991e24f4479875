"""``ussim bench --suite``: what it measures, what it writes."""

from __future__ import annotations

import json

import pytest
from support.commands import assert_one_line_error, ussim
from support.cuda_frames import SMALL

from cli.benchmark import suite
from cli.benchmark.table import markdown
from ussim.probe.probe import ConvexProbe
from ussim.scene.scene import Scene


@pytest.fixture(scope="module")
def figures(ball_scene) -> dict:
    """Of small frames, without other programs: those take their own time to compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            suite, "closest_hits", lambda scene, pose: {"ussim": 2.0, "embreex": 1.0, "ussim over embreex": 2.0}
        )
        patch.setattr(suite, "scatterers", lambda: {"pymust": "No module named 'pymust'"})
        return suite.run(Scene.load(ball_scene), "cpu", pairs=3, probe=ConvexProbe(**SMALL))


def test_a_suite_times_frames_stages_the_live_path_and_writing(figures):
    assert sorted(figures["frames"]) == ["hq", "lq", "maps", "reference"]
    for name in ("lq", "hq"):
        stages = figures["frames"][name]["stages"]
        assert {"sheets", "rays", "gather", "march", "receive", "scan_convert"} <= set(stages)
        assert all(stage["ms"] > 0 and stage["floor_ms"] > 0 and stage["bytes"] > 0 for stage in stages.values())
    assert (
        figures["frames"]["hq"]["stages"]["rays"]["bytes"]
        > 90 * figures["frames"]["lq"]["stages"]["gather"]["bytes"] / 4
    )
    assert {"segmentation", "attenuation", "scan_convert_map"} == set(figures["frames"]["maps"]["stages"])
    assert all(view["p95_ms"] >= view["median_ms"] > 0 for view in figures["live"].values())
    assert figures["writing"]["pairs"] == 3
    assert figures["writing"]["bytes"] > 3 * 48 * 64


def test_figures_are_json_and_a_section_of_markdown(figures):
    text = markdown(json.loads(json.dumps(figures)), "ussim bench --suite")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert f"### {figures['device']}" in text
    assert any(line.startswith(f"| lq | {figures['frames']['lq']['single_ms']:.4g} | 1 |") for line in lines)
    assert "| embreex | 1.0 | 2.0 |" in lines
    assert "PyMUST" not in text


def test_the_command_writes_both(monkeypatch, tmp_path, ball_scene, figures):
    asked = []
    monkeypatch.setattr(suite, "run", lambda *arguments, **options: asked.append(arguments) or figures)
    result = ussim("bench", ball_scene, "--suite", "--backend", "cpu", "-o", tmp_path / "out", "--generator", tmp_path)
    assert result.exit_code == 0, result.output
    assert asked[0][1:] == ("cpu", tmp_path)
    assert json.loads((tmp_path / "out" / "suite.json").read_text()) == json.loads(json.dumps(figures))
    assert "`ussim bench --suite --backend cpu`" in (tmp_path / "out" / "suite.md").read_text()


def test_options_of_the_suite_without_it_are_refused(tmp_path, ball_scene):
    assert_one_line_error(ussim("bench", ball_scene, "-o", tmp_path), "belong to --suite")


def test_a_scene_without_a_sweep_is_refused(tmp_path, ball_scene):
    text = (ball_scene / "scene.toml").read_text()
    (tmp_path / "scene.toml").write_text(text[: text.index("[[sweep]]")])
    for mesh in ball_scene.glob("*.stl"):
        (tmp_path / mesh.name).write_bytes(mesh.read_bytes())
    assert_one_line_error(ussim("bench", tmp_path, "--suite"), "sweep")
