"""Inference: any size in, the same out; engines that agree; stores and folders of images."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from support.translate_store import TISSUES, make_store

from translate.data.channels import PolarGrid
from translate.data.store import StoreReader
from translate.model.checkpoint import save_weights
from translate.use import apply, export
from translate.use.apply import InterruptedApplyError, apply_to_folder, apply_to_store
from translate.use.inference import ENGINES, Generator
from ussim.dataset.lock import only_writer
from ussim.dataset.verify import AddedArray, verify
from ussim.errors import UssimError


@pytest.fixture
def written(store, tmp_path) -> Path:
    """A copy of the store, to write to."""
    return shutil.copytree(store, tmp_path / "store.zarr")


def frame_of(runs, index=0):
    reader = StoreReader(runs / "store.zarr")
    frame = reader.frame(index)
    return reader, frame, (frame["lq"], reader.mask, frame["segmentation"], frame["attenuation"])


# enhance ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(72, 100), (8, 8), (71, 33), (5, 97)])
def test_output_has_size_kind_and_mask_of_the_input(runs, shape):
    generator = Generator.load(runs / "LMSA")
    rng = np.random.default_rng(0)
    lq = rng.integers(0, 256, shape, np.uint8)
    mask = rng.integers(0, 2, shape, np.uint8)
    output = generator.enhance(lq, mask, np.ones(shape, np.uint8), rng.random(shape, np.float32))
    assert (output.shape, output.dtype) == (shape, np.uint8)
    assert not output[mask == 0].any()
    assert output[mask == 1].any()


@pytest.mark.parametrize("run", ["LM", "LMSA", "SA", "fast"])
def test_a_batch_is_its_images_one_by_one(runs, run):
    generator = Generator.load(runs / run)
    reader = StoreReader(runs / "store.zarr")
    frames = [reader.frame(index) for index in range(3)]
    names = ("lq", "segmentation", "attenuation")
    lq, segmentation, attenuation = (np.stack([frame[name] for frame in frames]) for name in names)
    together = generator.enhance(lq, reader.mask, segmentation, attenuation)
    for index in range(3):
        alone = generator.enhance(lq[index], reader.mask, segmentation[index], attenuation[index])
        np.testing.assert_array_equal(together[index], alone)


def test_numpy_and_torch_give_the_same(runs):
    generator = Generator.load(runs / "LMSA")
    _, _, arguments = frame_of(runs)
    tensors = generator.enhance(*map(torch.from_numpy, map(np.copy, arguments)))
    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_array_equal(tensors.numpy(), generator.enhance(*arguments))


def test_an_image_on_the_generators_device_is_not_copied(runs):
    generator = Generator.load(runs / "LM")
    image = torch.zeros((8, 8), dtype=torch.uint8)
    assert generator._tensor(image).data_ptr() == image.data_ptr()
    array = np.zeros((8, 8), np.uint8)
    assert generator._tensor(array).data_ptr() == array.ctypes.data


def test_padding_is_background(runs):
    """An image that was padded by hand to a multiple of 2^depth gives the same pixels."""
    generator = Generator.load(runs / "LMSA")
    _, _, arguments = frame_of(runs)
    padded = [np.pad(values, ((0, 0), (0, 4))) for values in arguments]
    np.testing.assert_array_equal(generator.enhance(*padded)[:, :100], generator.enhance(*arguments))


def test_polar_channels_need_the_place_of_a_crop(runs):
    generator = Generator.load(runs / "fast")
    reader, _, arguments = frame_of(runs)
    crop = [values[20:52, 30:62] for values in arguments]
    with pytest.raises(UssimError, match=r"polar channels: for images of 32 × 32 px instead of 72 × 100"):
        generator.enhance(*crop)
    one, other = (generator.enhance(*crop, origin=origin) for origin in ((20, 30), (0, 0)))
    assert (one != other).any()
    geometry = PolarGrid(reader.image, reader.probe)
    np.testing.assert_array_equal(generator.enhance(*crop, origin=(20, 30), geometry=geometry), one)


def test_last_and_averaged_weights_differ(runs):
    _, _, arguments = frame_of(runs)
    one, other = (Generator.load(runs / "LMSA", checkpoint=which) for which in ("ema", "last"))
    assert one.digest != other.digest
    assert (one.enhance(*arguments) != other.enhance(*arguments)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmentation": None}, "trained on LMSA needs segmentation"),
        ({"attenuation": np.zeros((5, 5), np.float32)}, r"attenuation has shape \(1, 5, 5\), expected \(1, 72, 100\)"),
        ({"attenuation": np.zeros((72, 100), np.uint8)}, "attenuation is uint8, expected float"),
        ({"lq": np.zeros((72, 100))}, "lq is float64, expected uint8"),
        ({"mask": np.ones((5, 5))}, r"mask has shape \(5, 5\), expected \(72, 100\)"),
        ({"segmentation": np.full((72, 100), 9, np.uint8)}, "segmentation has id 9; the generator knows 4 tissues"),
    ],
)
def test_inputs_that_do_not_fit_are_named(runs, change, message):
    generator = Generator.load(runs / "LMSA")
    _, _, (lq, mask, segmentation, attenuation) = frame_of(runs)
    given = {"lq": lq, "mask": mask, "segmentation": segmentation, "attenuation": attenuation, **change}
    with pytest.raises(UssimError, match=message):
        generator.enhance(**given)


# Loading ----------------------------------------------------------------------------------------------


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(UssimError, match="not a run folder"):
        Generator.load(tmp_path)
    with pytest.raises(UssimError, match="no such run"):
        Generator.load(tmp_path / "none")


def test_weights_of_other_inputs_are_an_error(runs, tmp_path):
    run = shutil.copytree(runs / "LMSA", tmp_path / "run")
    shutil.copy(runs / "LM" / "generator.safetensors", run)
    with pytest.raises(UssimError, match=r"weights of another network: down\.0\.0\.weight is \(4, 2, 4, 4\)"):
        Generator.load(run)


def test_a_run_without_weights_is_an_error(runs, tmp_path):
    run = shutil.copytree(runs / "LMSA", tmp_path / "run")
    (run / "generator.safetensors").unlink()
    with pytest.raises(UssimError, match="has not reached its first checkpoint"):
        Generator.load(run)


def test_damaged_weights_are_an_error(runs, tmp_path):
    run = shutil.copytree(runs / "LMSA", tmp_path / "run")
    (run / "generator.safetensors").write_bytes(b"{}")
    with pytest.raises(UssimError, match="damaged weights"):
        Generator.load(run)


def test_a_damaged_mask_is_an_error(runs, tmp_path):
    run = shutil.copytree(runs / "LM", tmp_path / "run")
    (run / "mask.png").write_bytes((run / "mask.png").read_bytes()[:60])
    with pytest.raises(UssimError, match=r"mask\.png: cannot be read: "):
        Generator.load(run)


def test_unknown_engines_and_checkpoints_are_errors(runs):
    with pytest.raises(UssimError, match="must be one of torch, onnx, openvino"):
        Generator.load(runs / "LM", engine="tensorrt")
    with pytest.raises(UssimError, match="must be one of ema, last"):
        Generator.load(runs / "LM", checkpoint="best")


# Engines ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(runs) -> Path:
    pytest.importorskip("onnxscript")
    pytest.importorskip("openvino")
    for format in export.FORMATS:
        assert export.export(runs / "fast", format).difference < 1e-5
    return runs / "fast"


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_at_any_size(exported, runs, engine):
    torch_only, generator = Generator.load(exported), Generator.load(exported, engine=engine)
    _, _, arguments = frame_of(runs)
    for rows, columns in ((72, 100), (40, 56), (33, 100)):
        part = [values[:rows, :columns] for values in arguments]
        expected = torch_only.enhance(*part, origin=(0, 0)).astype(int)
        assert np.abs(generator.enhance(*part, origin=(0, 0)) - expected).max() <= 1
    assert generator.engine == engine


def test_a_stale_export_is_made_anew(exported, tmp_path):
    run = shutil.copytree(exported, tmp_path / "run")
    network = Generator.load(run).network
    next(network.parameters()).mul_(2)
    save_weights(run / "generator.safetensors", network)
    fresh = Generator.load(run, engine="onnx")
    assert export.OnnxEngine.digest(run / "generator.onnx") == fresh.digest != Generator.load(exported).digest


def test_an_export_that_differs_from_torch_is_an_error(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export.OnnxEngine, "__call__", lambda self, inputs: inputs[:, :1] * 0 + 3)
    made = exported / "generator.onnx"
    monkeypatch.setattr(export, "write_onnx", lambda network, run, path, digest: shutil.copyfile(made, path))
    with pytest.raises(UssimError, match=r"differs from torch by .*allowed is 0\.001"):
        export.export(exported, "onnx", tmp_path / "g.onnx")


def test_safetensors_carry_their_settings(exported):
    from safetensors import safe_open

    with safe_open(exported / "export.safetensors", "pt") as file:
        assert json.loads(file.metadata()["run"])["train"]["model"] == "fast"


def test_a_missing_package_is_an_error(runs, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UssimError, match="onnx is not installed: pip install"):
        export.export(runs / "LM", "onnx", tmp_path / "g.onnx")


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
