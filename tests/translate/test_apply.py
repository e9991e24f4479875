"""Apply: whole stores and folders of images, kept, resumed, and refused where they do not do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from support.translate_store import TISSUES, frame_of, make_store

from translate.data.store import StoreReader
from translate.use import apply
from translate.use.apply import InterruptedApplyError, apply_to_folder, apply_to_store
from translate.use.inference import Generator
from ussim.dataset.verify import AddedArray, verify
from ussim.errors import UssimError
from ussim.lock import only_writer


@pytest.fixture
def written(store, tmp_path) -> Path:
    """A copy of the store, to write to."""
    return shutil.copytree(store, tmp_path / "store.zarr")


# Stores -----------------------------------------------------------------------------------------------


def test_enhanced_array_lies_beside_the_others_and_is_like_them(runs, written):
    generator = Generator.load(runs / "LMSA")
    assert apply_to_store(generator, written) == 12
    lq, enhanced = (json.loads((written / name / "zarr.json").read_text()) for name in ("lq", "enhanced"))
    for key in ("shape", "data_type", "chunk_grid", "codecs", "fill_value", "dimension_names"):
        assert lq[key] == enhanced[key]
    assert enhanced["attributes"]["weights_sha256"] == generator.digest
    _, _, arguments = frame_of(runs, 5)
    np.testing.assert_array_equal(zarr.open_group(written, mode="r")["enhanced"][5], generator.enhance(*arguments))


def test_what_is_there_is_kept_and_the_rest_is_written(runs, written):
    generator = Generator.load(runs / "LM")
    assert apply_to_store(generator, written, frames="test") == StoreReader(written).split.sum()
    assert apply_to_store(generator, written) == 12 - StoreReader(written).split.sum()
    assert apply_to_store(generator, written) == 0


def test_a_store_is_sound_after_apply_and_a_flipped_bit_in_the_array_is_found(runs, written):
    generator = Generator.load(runs / "LM")
    apply_to_store(generator, written, frames="test")
    tested = int(StoreReader(written).split.sum())
    assert verify(written).problems == []
    assert verify(written).added == (AddedArray("enhanced", "translate", tested),)
    leftover = written / "enhanced" / "c" / "0" / "0" / "0.12ab.partial"  # of an apply that was killed
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_bytes(b"half")
    apply_to_store(generator, written)
    assert verify(written).problems == []
    chunk = leftover.with_name("0")
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert any("array 'enhanced', frame 0" in problem for problem in verify(written).problems)


@pytest.mark.parametrize("damage", ["empty", "flip", "lost"])
def test_a_damaged_frame_is_made_again_and_no_other(runs, written, damage):
    generator = Generator.load(runs / "LM")
    assert apply_to_store(generator, written) == 12
    chunk = written / "enhanced" / "c" / "3" / "0" / "0"
    whole = chunk.read_bytes()
    match damage:
        case "empty":
            chunk.write_bytes(b"")
        case "flip":
            chunk.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        case "lost":
            chunk.unlink()
    assert apply_to_store(generator, written) == 1
    assert chunk.read_bytes() == whole
    assert verify(written).problems == []


def test_two_applies_do_not_write_one_array(runs, written):
    generator = Generator.load(runs / "LM")
    with only_writer(written, "array-enhanced", "another process writes"):
        with pytest.raises(UssimError, match="another process writes array 'enhanced' here"):
            apply_to_store(generator, written)
        assert apply_to_store(generator, written, name="other") == 12


def test_the_names_of_a_stores_own_arrays_are_taken(runs, written):
    for name in ("lq", "scene", "a/b", "../x"):
        with pytest.raises(UssimError, match=r"--name .*must be letters"):
            apply_to_store(Generator.load(runs / "LM"), written, name=name)


def test_an_interrupted_apply_goes_on(runs, written, monkeypatch):
    generator = Generator.load(runs / "LM")
    enhance, calls = Generator.enhance, []

    def interrupted(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return enhance(self, *arguments, **named)

    monkeypatch.setattr(Generator, "enhance", interrupted)
    with pytest.raises(InterruptedApplyError, match="3 of 12 images; run it again"):
        apply_to_store(generator, written)
    assert apply_to_store(generator, written) == 9


def test_tissues_are_matched_by_name(runs, tmp_path):
    """A scene that numbers its tissues differently gives the same images."""
    names = ("bone", "gel", "fat", "muscle")
    other = StoreReader(make_store(tmp_path / "other.zarr", frames=12, tissues=names))
    view = Generator.load(runs / "LMSA").view(other)
    assert [TISSUES[view.table[number] - 1] for number in range(1, 5)] == list(names)
    _, frame, arguments = frame_of(runs)
    lookup = np.zeros(256, np.uint8)
    lookup[view.table[1:5]] = np.arange(1, 5)
    renumbered = {**frame, "segmentation": lookup[frame["segmentation"]]}
    np.testing.assert_array_equal(view.enhance(renumbered, other.mask), view.generator.enhance(*arguments))


def test_tissues_that_were_never_seen_are_an_error(runs, tmp_path):
    other = make_store(tmp_path / "other.zarr", frames=12, tissues=("gel", "muscle", "steel"))
    with pytest.raises(UssimError, match="has not been trained on: steel; it knows gel"):
        apply_to_store(Generator.load(runs / "LMSA"), other)
    assert apply_to_store(Generator.load(runs / "LM"), other) == 12


def test_an_array_of_another_generator_is_not_overwritten(runs, written):
    apply_to_store(Generator.load(runs / "LM"), written, frames="test")
    with pytest.raises(UssimError, match="'enhanced' is from other weights; choose another --name"):
        apply_to_store(Generator.load(runs / "LMSA"), written)


@pytest.mark.parametrize("name", ["lq", "done", "a/b", "../x", ""])
def test_names_that_would_do_harm_are_refused(runs, written, name):
    with pytest.raises(UssimError, match="must be letters, digits and _"):
        apply_to_store(Generator.load(runs / "LM"), written, name)


def test_a_store_without_the_needed_array_is_an_error(runs, tmp_path):
    other = make_store(tmp_path / "hq.zarr", frames=4, qualities=("hq",))
    with pytest.raises(UssimError, match="holds no lq: it has hq"):
        apply_to_store(Generator.load(runs / "LM"), other)


# Images -----------------------------------------------------------------------------------------------


@pytest.fixture
def images(runs, tmp_path) -> Path:
    """Folders of PNGs of three frames."""
    reader = StoreReader(runs / "store.zarr")
    for name in ("lq", "segmentation", "attenuation"):
        (tmp_path / name).mkdir()
        for index in range(3):
            values = reader.read(name, index)
            if name == "attenuation":
                values = np.round(np.clip(values, 0, 1) * 65535).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / name / f"{index}.png")
    return tmp_path


def test_images_give_what_the_store_gives(runs, images):
    generator = Generator.load(runs / "LMSA")
    maps = {"segmentation": images / "segmentation", "attenuation": images / "attenuation"}
    assert apply_to_folder(generator, images / "lq", images / "out", **maps) == 3
    assert apply_to_folder(generator, runs / "store.zarr", images / "from_store") == 12
    for index in range(3):
        one, other = images / "out" / f"{index}.png", images / "from_store" / f"{index:06d}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(one)), np.asarray(Image.open(other)))
    assert apply_to_folder(generator, images / "lq", images / "out", **maps) == 0


def test_a_generator_without_low_quality_image_takes_segmentations(runs, images):
    generator = Generator.load(runs / "SA")
    written = apply_to_folder(generator, images / "segmentation", images / "out", attenuation=images / "attenuation")
    assert written == 3


@pytest.mark.parametrize("case", ["maps", "mask", "colour", "text", "foreign", "nothing", "other_weights"])
def test_images_that_do_not_do_are_named(runs, images, case):
    lm, source, output = Generator.load(runs / "LM"), images / "lq", images / "out"
    if case == "maps":
        with pytest.raises(UssimError, match="trained on LMSA needs --segmentation"):
            apply_to_folder(Generator.load(runs / "LMSA"), source, output)
    if case == "mask":
        Image.new("L", (50, 40)).save(images / "lq" / "0.png")
        with pytest.raises(UssimError, match="40 × 50 px, but the mask is 72 × 100 px; give one with --mask"):
            apply_to_folder(lm, source, output)
    if case == "colour":
        Image.new("RGB", (100, 72)).save(images / "lq" / "0.png")
        with pytest.raises(UssimError, match="is RGB, not a greyscale image"):
            apply_to_folder(lm, source, output)
    if case == "text":
        (images / "lq" / "0.png").write_text("no image")
        with pytest.raises(UssimError, match="cannot be read"):
            apply_to_folder(lm, source, output)
    if case == "foreign":
        with pytest.raises(UssimError, match="exists already and is not the output of translate apply"):
            apply_to_folder(lm, source, images / "segmentation")
    if case == "nothing":
        output.mkdir()
        with pytest.raises(UssimError, match="neither a store nor a folder of PNG images"):
            apply_to_folder(lm, output, images / "new")
    if case == "other_weights":
        apply_to_folder(lm, source, output)
        with pytest.raises(UssimError, match="from other weights; choose another folder"):
            apply_to_folder(Generator.load(runs / "LM", checkpoint="last"), source, output)


def test_reserved_names_are_the_arrays_of_a_store(tmp_path):
    store = make_store(tmp_path / "a.zarr", scenes=2)
    assert {path.name for path in store.iterdir() if path.is_dir()} == apply.RESERVED
