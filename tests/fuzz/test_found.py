"""What the campaign found, each in its smallest form: once a traceback, a loop without end or gigabytes."""

from __future__ import annotations

import copy
import json
import logging

import numpy as np
import pytest
import torch
import trimesh
from support.fuzz import only_mistakes_are_refused
from support.jobs import FakeRenderer, ball_plan, ball_scene

from cli.pipeline.settings import make_settings
from cli.pipeline.steps import STEPS
from cli.render import _parse_size
from cli.say import quiet_libraries
from meshes.importing.repair import repair_surface
from translate.evaluation.protocol import EvaluationProtocol
from translate.settings import TrainSettings
from translate.training.adam import take_over_adam
from translate.training.log import LOG, read_log
from ussim.dataset import job
from ussim.dataset.plan import make_plan, parse_shard
from ussim.dataset.schema import Header
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.probe.probe import make_probe
from ussim.probe.settings import build_settings
from ussim.scene.formats.off import read_off
from ussim.scene.sweep import SweepKey
from ussim.scene.tissue import TissueLibrary
from ussim.settings import validated

LONG = "7" * 5000
DEEP = "[" * 3000


@pytest.fixture(autouse=True)
def _in_finite_time():
    with only_mistakes_are_refused():
        yield


# Numbers ----------------------------------------------------------------------------------------------


def test_a_hexadecimal_number_of_thousands_of_digits_is_not_written_out(tmp_path):
    (tmp_path / "tissues.toml").write_text(f"format = 0x{LONG}\n")
    with pytest.raises(UssimError, match="thousands of digits"):
        TissueLibrary.load(tmp_path / "tissues.toml")


@pytest.mark.parametrize("text", [f"{LONG}/{LONG}", f"1/{LONG}", "1/", "/"])
def test_a_shard_of_thousands_of_digits_is_refused(text):
    with pytest.raises(UssimError, match="--shard"):
        parse_shard(text)


def test_a_size_of_thousands_of_digits_is_refused():
    with pytest.raises(UssimError, match="--size"):
        _parse_size(f"{LONG}x5")
    with pytest.raises(UssimError, match=r"render\.size"):
        make_settings("demo", None, [f'render.size="{LONG}x5"'])


def test_a_direction_whose_square_is_infinite_is_one():
    pose = SweepKey(position_mm=(0, 0, 0), axial=(0, -1e300, 1), lateral=(1, 0, 0)).pose()
    assert np.allclose(pose[:3, 2], (0, -1, 0))
    assert np.isclose(np.linalg.det(pose[:3, :3]), 1)


def test_a_position_beyond_all_bounds_is_refused():
    with pytest.raises(UssimError, match="position_mm"):
        SweepKey(position_mm=(0, 0, -1e300), axial=(0, 0, 1), lateral=(1, 0, 0)).pose()


# Sizes ------------------------------------------------------------------------------------------------


def test_more_memory_than_any_machine_has_is_refused_when_it_is_planned():
    with pytest.raises(UssimError, match=r"hq\.rays = 65536 .* GB of memory"):
        make_plan(ball_scene(), 4, build_settings(["hq.rays=65536", "hq.layers=63", "probe.scanlines=4096"]))


@pytest.mark.parametrize(("name", "value"), [("crops", 10**30), ("crops", 0), ("seed", -1), ("seed", 2**64)])
def test_an_evaluation_of_a_wild_size_is_refused(name, value):
    with pytest.raises(UssimError, match=name):
        EvaluationProtocol(crop=32, **{name: value}).check((40, 40))


@pytest.mark.parametrize("name", ["iterations", "log_every", "checkpoint_every", "preview_every"])
def test_a_training_without_end_is_refused(name):
    with pytest.raises(UssimError, match=name):
        TrainSettings.make(**{name: 10**400})


# Meshes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", ["4 0.5 0", "0.5 4 0", "1e-320 1 0"])
def test_counts_of_an_off_file_that_are_no_whole_numbers_end_in_no_loop(counts):
    mesh = trimesh.creation.box().export(file_type="off").splitlines()
    with pytest.raises(UssimError, match="cut off"):
        read_off("\n".join(["OFF", counts, *mesh[2:]]).encode(), split=False)


def test_a_vertex_beyond_all_bounds_is_mended_as_an_infinite_one():
    mesh = trimesh.creation.icosphere(subdivisions=1, radius=20)
    far, infinite = mesh.vertices.copy(), mesh.vertices.copy()
    far[3], infinite[3] = 1e200, np.inf
    mended = [repair_surface(vertices, np.asarray(mesh.faces)) for vertices in (far, infinite)]
    assert np.array_equal(mended[0][0], mended[1][0])
    assert mended[0][2] == mended[1][2]


# Runs -------------------------------------------------------------------------------------------------


def trained() -> tuple[torch.optim.Adam, dict]:
    """An optimiser after an update, and a copy of its state."""
    network = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(network.parameters())
    network(torch.ones(3)).sum().backward()
    adam.step()
    return adam, copy.deepcopy(adam.state_dict())


def test_moments_of_an_optimiser_are_taken_over_and_its_rates_stay():
    adam, state = trained()
    state["state"][0]["exp_avg"] += 1
    state["param_groups"][0]["lr"] = 7.0
    take_over_adam(adam, state, "checkpoint")
    after = adam.state_dict()
    assert torch.equal(after["state"][0]["exp_avg"], state["state"][0]["exp_avg"])
    assert after["param_groups"][0]["lr"] == 1e-3
    take_over_adam(adam, {"state": {}}, "checkpoint")  # before the first update there are none
    assert not adam.state_dict()["state"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("state"),
        lambda state: state["state"].pop(1),
        lambda state: state["state"].update({7: {}}),
        lambda state: state["state"][0].pop("exp_avg_sq"),
        lambda state: state["state"][0].update(exp_avg=torch.zeros(3)),
        lambda state: state["state"][0].update(step=torch.zeros(0)),
        lambda state: state["state"][0].update(exp_avg_sq=-state["state"][0]["exp_avg_sq"]),
        lambda state: state["state"][0]["exp_avg"].fill_(float("nan")),
        lambda state: state["state"].update({0: "x"}),
    ],
)
def test_a_damaged_optimiser_is_refused(damage):
    adam, state = trained()
    damage(state)
    with pytest.raises(UssimError, match="checkpoint: damaged"):
        take_over_adam(adam, state, "checkpoint")


def test_a_log_of_brackets_is_refused(tmp_path):
    (tmp_path / LOG).write_text(f"{DEEP}\n")
    with pytest.raises(UssimError, match="line 1 is damaged"):
        read_log(tmp_path)


# Stores and pipelines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [DEEP, json.dumps({"zarr_format": 3, "node_type": "array", "shape": {}})])
def test_a_damaged_description_of_an_array_is_refused(tmp_path, text):
    job.run(ball_plan(frames=4), tmp_path / "a.zarr", make_renderer=FakeRenderer)
    (tmp_path / "a.zarr" / "lq" / "zarr.json").write_text(text)
    with pytest.raises(UssimError, match="damaged store"):
        Dataset.open(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind", [[], {}, None, 1])
def test_a_probe_of_a_kind_without_a_hash_is_refused(kind):
    with pytest.raises(UssimError, match=r"probe\.kind"):
        make_probe(kind)
    fields = ball_plan(frames=4).header("cpu").model_dump(mode="json")
    fields["probe"]["kind"] = kind
    with pytest.raises(UssimError, match="kind"):
        validated(Header, fields, "")


def test_a_step_whose_record_lacks_its_outputs_is_not_whole(tmp_path):
    from cli.pipeline.context import Context

    job.run(ball_plan(frames=4), tmp_path / "dataset.zarr", make_renderer=FakeRenderer)
    context = Context(tmp_path, make_settings("demo", tmp_path, []))
    assert not any(step.is_whole(context, {}) for step in STEPS)


# Surroundings -----------------------------------------------------------------------------------------


def test_a_library_that_brings_a_handler_of_its_own_is_quiet(capsys):
    logger = logging.getLogger("a library")
    logger.addHandler(logging.StreamHandler())
    with quiet_libraries(print):
        logger.warning("sizeof_hdr should be 348")
    assert capsys.readouterr() == ("", "")
