"""The networks: pix2pix's U-Net and PatchGAN, and the levers that make the U-Net faster or better.

Tensors are (batch, channels, height, width); images lie in [-1, 1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.data.channels import GREY_PER_UNIT
from translate.settings import TrainSettings


class NearestUpConv(nn.Module):
    """Nearest-neighbour upsampling by 2 and a 3 × 3 convolution, computed as one transposed convolution.

    Upsampling is a transposed convolution with 1(2 × 2), so that followed by a kernel w of 3 × 3 it is one 4 × 4
    stride-2 transposed convolution with w ∗ 1(2 × 2), and costs no more than pix2pix's. But its four phases share
    their sum: a flat input gives a flat output, without a checkerboard. w is stored flipped, as in a convolution in
    the mathematical sense.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, D, 2h, 2w)."""
        padded = F.pad(self.weight, (1, 1, 1, 1))
        kernel = padded[..., :-1, :-1] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., 1:, 1:]
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class UNet(nn.Module):
    """The generator: stride-2 4 × 4 convolutions down, as many up, skips by concatenation.

    The first, the innermost and the output layer have no norm. Widths are ngf · 1, 2, 4, 8, 8, ….

    Args:
        in_channels: Channels of the input.
        ngf: Channels after the first layer.
        depth: Layers down and up.
        norm: ``instance`` or ``batch``.
        upsample: ``transposed`` or ``nearest``.
        decoder_maps: Concatenate the averaged input to the input of every layer on the way up.
        residual: Add the output, doubled, to the first input channel. B-mode grey levels are logarithms, so what is
            added is a gain: speckle that is right already need not be learnt. The output layer begins at 0: an
            untrained generator returns the first channel as it is.
        threshold: What is added is soft-thresholded by so much, as small coefficients are in denoising (Donoho 1995,
            doi:10.1109/18.382009). It gives the output layer no gradient where nothing is added, so that with it that
            layer begins at random as the others do.
    """

    def __init__(
        self,
        in_channels: int,
        ngf: int = 64,
        depth: int = 8,
        norm: str = "instance",
        upsample: str = "transposed",
        decoder_maps: bool = False,
        residual: bool = False,
        threshold: float = 0.0,
    ):
        super().__init__()
        self.in_channels, self.depth = in_channels, depth
        self.decoder_maps, self.residual, self.threshold = decoder_maps, residual, threshold
        widths = [ngf * min(2**level, 8) for level in range(depth)]
        maps = in_channels if decoder_maps else 0

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            outer = widths[level - 1] if level else in_channels
            first, innermost = level == 0, level == depth - 1
            down: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2)]
            down.append(nn.Conv2d(outer, width, 4, stride=2, padding=1))
            if not (first or innermost):
                down.append(_norm(norm, width))
            self.down.append(nn.Sequential(*down))
            inside = (width if innermost else 2 * width) + maps
            # in place: what is joined for a layer on the way up is used by nothing else
            up = [nn.ReLU(inplace=True), _up(upsample, inside, 1 if first else outer)]
            up.append(nn.Tanh() if first else _norm(norm, outer))
            self.up.append(nn.Sequential(*up))
        self.apply(_initialise)
        if residual and not threshold:
            _, output, _ = self.up[0].children()
            nn.init.zeros_(next(output.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) → (N, 1, H, W); H and W are multiples of 2^depth.

        The output lies in [-1, 1]; with ``residual`` it may go beyond, and the losses pull it back.
        """
        skips: list[Tensor] = []
        inputs: list[Tensor] = []
        y = x
        for down in self.down:
            y = down(y)
            skips.append(y)
            if self.decoder_maps:
                inputs.append(F.avg_pool2d(inputs[-1] if inputs else x, 2))
        for level in reversed(range(self.depth)):
            parts = [y] if level == self.depth - 1 else [skips[level], y]
            if self.decoder_maps:
                parts.append(inputs[level])
            y = self.up[level](torch.cat(parts, 1) if len(parts) > 1 else y)
        if not self.residual:
            return y
        added = 2 * y
        if self.threshold:
            added = added - added.clamp(-self.threshold, self.threshold)
        return x[:, :1] + added


class PatchDiscriminator(nn.Module):
    """PatchGAN: a verdict for every patch of the image, given the generator's inputs.

    Args:
        in_channels: Channels of inputs and image together.
        ndf: Channels after the first layer.
        layers: Stride-2 layers; the receptive field is 34, 70, 142 px for 2, 3, 4.
    """

    def __init__(self, in_channels: int, ndf: int = 64, layers: int = 3):
        super().__init__()
        widths = [ndf * min(2**level, 8) for level in range(layers + 1)]
        self.blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            outer = widths[level - 1] if level else in_channels
            block: list[nn.Module] = [nn.Conv2d(outer, width, 4, stride=1 if level == layers else 2, padding=1)]
            if level:
                block.append(nn.InstanceNorm2d(width))
            block.append(nn.LeakyReLU(0.2))
            self.blocks.append(nn.Sequential(*block))
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=1)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, in_channels, H, W) → logits (N, 1, h, w), and the features after every block."""
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return self.head(x), features


def make_generator(settings: TrainSettings, in_channels: int) -> UNet:
    """The generator of a run."""
    return UNet(
        in_channels,
        ngf=settings.ngf,
        depth=settings.depth,
        norm=settings.norm,
        upsample=settings.upsample,
        decoder_maps=settings.decoder_maps,
        residual=settings.residual,
        threshold=settings.residual_threshold / GREY_PER_UNIT,
    )


def streamline_for_cpu(network: UNet) -> UNet:
    """Make a network in evaluation mode faster on a CPU; what it computes changes by rounding only.

    Convolutions run faster on images whose channels lie side by side in memory, but torch's instance norm would put
    them one after the other again. A group norm with one channel a group is the same thing and leaves them.
    """
    for layer in (*network.down, *network.up):
        for name, module in layer.named_children():
            if isinstance(module, nn.InstanceNorm2d):
                channels = module.num_features
                setattr(layer, name, nn.GroupNorm(channels, channels, module.eps, affine=False))
    network.eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types it for tensors only
    return network


def parameters(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def _norm(kind: str, channels: int) -> nn.Module:
    # without affine parameters and running statistics, as in pix2pix: train and eval do the same
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)


def _up(kind: str, in_channels: int, out_channels: int) -> nn.Module:
    if kind == "nearest":
        return NearestUpConv(in_channels, out_channels)
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)


def _initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), biases 0, gains N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | NearestUpConv):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
