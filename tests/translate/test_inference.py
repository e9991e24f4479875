"""Inference: any size in, the same out; engines that agree."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.translate_store import frame_of

from translate.data.channels import PolarGrid
from translate.data.store import StoreReader
from translate.model.checkpoint import save_weights
from translate.use import export
from translate.use.inference import ENGINES, Generator
from translate.use.live import LiveEnhancer
from ussim.dataset.store import Dataset
from ussim.errors import UssimError
from ussim.probe.probe import make_probe

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
    assert generator.on_device(image).data_ptr() == image.data_ptr()
    array = np.zeros((8, 8), np.uint8)
    assert generator.on_device(array).data_ptr() == array.ctypes.data


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


def test_weights_of_another_run_are_an_error(runs, tmp_path):
    run = shutil.copytree(runs / "LMSA", tmp_path / "run")
    shutil.copy(runs / "LM" / "generator.safetensors", run)
    with pytest.raises(UssimError, match="weights of another run than the settings"):
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
        about = json.loads(file.metadata()["ussim"])
        assert json.loads(about["run"])["train"]["model"] == "fast"


def test_a_missing_package_is_an_error(runs, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UssimError, match="onnx is not installed: pip install"):
        export.export(runs / "LM", "onnx", tmp_path / "g.onnx")


# live -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["LM", "LMSA", "fast"])
def test_a_live_enhancer_gives_what_a_frame_of_a_store_gives(runs, run):
    generator, reader = Generator.load(runs / run), StoreReader(runs / "store.zarr")
    header = Dataset.open(runs / "store.zarr").header
    enhance = LiveEnhancer(generator, make_probe(**header.probe), header.tissues[1:])
    frame = reader.frame(1)
    expected = generator.view(reader).enhance(frame, reader.mask)
    np.testing.assert_array_equal(enhance({name: frame[name] for name in enhance.arrays}), expected)


def test_a_live_enhancer_takes_tissues_in_another_order(runs):
    generator, reader = Generator.load(runs / "LMSA"), StoreReader(runs / "store.zarr")
    header = Dataset.open(runs / "store.zarr").header
    probe, turned = make_probe(**header.probe), header.tissues[:0:-1]
    frame = reader.frame(1)
    labels = np.where(frame["segmentation"] > 0, len(turned) + 1 - frame["segmentation"], 0).astype(np.uint8)
    given = {**frame, "segmentation": labels}
    enhance = LiveEnhancer(generator, probe, turned)
    expected = generator.view(reader).enhance(frame, reader.mask)
    np.testing.assert_array_equal(enhance({name: given[name] for name in enhance.arrays}), expected)
    tensors = {name: torch.from_numpy(np.copy(given[name])) for name in enhance.arrays}
    np.testing.assert_array_equal(enhance(tensors), expected)
    with pytest.raises(UssimError, match=r"the scene has tissues .*: gold"):
        LiveEnhancer(generator, probe, [{**turned[0], "name": "gold"}, *turned])
