"""Networks are trained on, evaluated on and applied to stores under URLs."""

from __future__ import annotations

import uuid

import pytest
from click.testing import CliRunner, Result
from support.jobs import all_files

from cli.translate import main
from translate.data.store import StoreReader
from ussim.dataset.place import place_of
from ussim.dataset.store import Dataset
from ussim.dataset.verify import AddedArray, verify

pytest.importorskip("obstore", reason="needs the extra remote")
TINY = ["--ngf=4", "--crop=32", "--batch=2", "--iterations=2", "--set=depth=3", "--set=threads=1"]


def translate(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def url(store) -> str:
    """The store, with an object for each of its files."""
    place = place_of(f"memory://test/{uuid.uuid4().hex}.zarr")
    for name, data in all_files(store).items():
        assert place.create(name, data)
    return str(place)


def test_a_training_sees_in_a_url_what_it_sees_in_a_folder(store, url, tmp_path):
    for where, run in ((store, "near"), (url, "far")):
        translate("train", where, "-o", tmp_path / run, *TINY)
    near, far = ((tmp_path / run / "generator.safetensors").read_bytes() for run in ("near", "far"))
    assert near == far
    assert StoreReader(url).info().store == url.rsplit("/", 1)[1]


def test_apply_writes_beside_the_others_under_a_url_and_into_folders(runs, store, url, tmp_path):
    assert "12 images written" in translate("apply", runs / "LM", url).stdout
    assert "nothing left to do" in translate("apply", runs / "LM", url).stdout
    assert verify(url).problems == []
    assert verify(url).added == (AddedArray("enhanced", "translate", 12),)
    assert Dataset.open(url).read_frame("enhanced", 3).any()
    translate("apply", runs / "LM", url, "-o", tmp_path / "far", "--split=test")
    translate("apply", runs / "LM", store, "-o", tmp_path / "near", "--split=test")
    assert all_files(tmp_path / "far") == all_files(tmp_path / "near")


def test_an_evaluation_of_a_store_under_a_url_gives_the_same_figures(runs, store, url, tmp_path):
    for where, report in ((store, "near"), (url, "far")):
        translate("evaluate", runs / "LM", where, "-o", tmp_path / report, "--crop=64", "--crops=1")
    near, far = ((tmp_path / report / "crops.csv").read_text() for report in ("near", "far"))
    assert near == far
