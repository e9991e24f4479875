"""Verify: arrays of others are known and checked, litter is told, strangers are found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from support.jobs import FakeRenderer, ball_plan

from cli.ussim import main
from ussim.dataset import job
from ussim.dataset.layout import create_array
from ussim.dataset.schema import ArraySpec, frame_spec
from ussim.dataset.store import Dataset
from ussim.dataset.verify import AddedArray, verify

LITTER = (".DS_Store", "lq/._c", "pose/c/0/.DS_Store", "hq/c/3/0/Thumbs.db", "__MACOSX/lq/._zarr.json")


@pytest.fixture
def store(tmp_path) -> Path:
    return job.run(ball_plan(frames=5), tmp_path / "a.zarr", make_renderer=FakeRenderer).path


def add_array(store: Path, frames: range, spec: ArraySpec | None = None, **attributes: str) -> None:
    """What another program would write: the high-quality images once more."""
    data = Dataset.open(store)
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(store, mode="r+")
        array = create_array(group, "enhanced", spec or frame_spec(data.frames, data.header.image), **attributes)
    for frame in frames:
        array[frame] = data.hq[frame]


def strew(store: Path, names: tuple[str, ...] = LITTER) -> None:
    for name in names:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(b"\0\1Bud1")


def run_verify(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["verify", *arguments])
    return end.value.code, capsys.readouterr().out


def test_an_array_that_names_its_maker_is_known_and_told(store, capsys):
    add_array(store, range(1, 4), made_by="translate")
    verdict = verify(store)
    assert verdict.problems == []
    assert verdict.added == (AddedArray("enhanced", "translate", 3),)
    np.testing.assert_array_equal(Dataset.open(store).read_frame("enhanced", 2), Dataset.open(store).hq[2])
    code, out = run_verify(capsys, str(store))
    assert (code, out.splitlines()[0]) == (0, "enhanced: made by translate, 3 of 5 frames")
    code, out = run_verify(capsys, str(store), "--json")
    assert json.loads(out)["added"] == [{"name": "enhanced", "made_by": "translate", "frames": 3}]


@pytest.mark.parametrize("attributes", [{}, {"made_by": ""}, {"made_by": "a\nb"}])
def test_an_array_of_nobody_is_one_stranger(store, attributes):
    add_array(store, range(4), **attributes)
    assert verify(store).problems == [
        "enhanced: unknown folder of 5 files; an array names its maker in its attribute made_by"
    ]


def test_one_flipped_bit_in_an_added_array_is_found(store):
    add_array(store, range(5), made_by="translate")
    chunk = store / "enhanced" / "c" / "3" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    (problem,) = verify(store).problems
    assert "corrupt chunk in array 'enhanced', frame 3" in problem


def test_values_and_layout_of_an_added_array_are_checked(store):
    add_array(store, range(2), made_by="translate")
    Dataset.open(store, mode="r+").array("enhanced")[1] = 7
    assert verify(store).problems == ["enhanced: frame 1 is not 0 outside the sector"]


def test_an_added_array_of_another_shape_is_found(store):
    image = Dataset.open(store).header.image
    add_array(store, range(0), frame_spec(9, image, "float32"), made_by="somebody")
    assert verify(store).problems == [
        'enhanced: data_type is "float32", not "uint8"',
        "enhanced: shape is [9, 24, 33], not [5, 24, 33]",
    ]


def test_litter_is_told_and_does_no_harm(store, capsys):
    strew(store)
    verdict = verify(store)
    assert (verdict.problems, verdict.litter) == ([], tuple(sorted(LITTER)))
    data = Dataset.open(store)
    assert data.frame(3).hq.any()
    (store / "done" / "c" / "0").unlink()
    assert job.run(ball_plan(frames=5), store, make_renderer=FakeRenderer, resume=True).rendered == 4
    code, out = run_verify(capsys, str(store))
    assert code == 0
    assert f"stray files, no harm: {', '.join(sorted(LITTER))}" in out.splitlines()


def test_litter_does_not_hide_a_lost_chunk(store):
    strew(store, ("mask/c/.DS_Store",))
    (store / "mask" / "c" / "0" / "0").unlink()
    assert "mask: its chunk is missing" in verify(store).problems


def test_what_is_neither_array_nor_litter_is_a_stranger(store):
    strew(store, ("notes.txt", "lq/c/9/0/0", "lq/c/1/0/0.12ab.partial", "old/a", "old/b/c"))
    assert verify(store).problems == [
        "lq/c/1/0/0.12ab.partial: half-written file of a killed process",
        "lq/c/9/0/0: unknown file",
        "notes.txt: unknown file",
        "old: unknown folder of 2 files; an array names its maker in its attribute made_by",
    ]
