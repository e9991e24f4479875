"""The networks: sizes of the paper's, levers of the fast one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from translate.model.networks import (
    NearestUpConv,
    PatchDiscriminator,
    UNet,
    make_generator,
    parameters,
    streamline_for_cpu,
)
from translate.settings import TrainSettings


@pytest.mark.parametrize(("channels", "count"), [(4, 54_406_529), (3, 54_405_505), (2, 54_404_481)])
def test_generator_has_the_size_of_pix2pix(channels, count):
    with torch.device("meta"):
        assert parameters(UNet(channels)) == count


@pytest.mark.parametrize(("layers", "count"), [(3, 2_766_785), (4, 6_961_601)])
def test_discriminator_has_the_size_of_pix2pix(layers, count):
    with torch.device("meta"):
        assert parameters(PatchDiscriminator(5, layers=layers)) == count


def test_layers_without_norm_are_the_first_the_innermost_and_the_output():
    network = UNet(4, ngf=4, depth=4)
    normed_down = [any(isinstance(m, torch.nn.InstanceNorm2d) for m in block) for block in network.down]
    normed_up = [any(isinstance(m, torch.nn.InstanceNorm2d) for m in block) for block in network.up]
    assert normed_down == [False, True, True, False]
    assert normed_up == [False, True, True, True]


def test_weights_start_at_n_0_002():
    torch.manual_seed(0)
    weights = torch.cat(
        [p.detach().flatten() for name, p in UNet(4, ngf=16).named_parameters() if name.endswith("weight")]
    )
    assert abs(float(weights.mean())) < 1e-4
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    assert all(not p.any() for name, p in UNet(4, ngf=4).named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("upsample", ["transposed", "nearest"])
def test_an_untrained_residual_generator_returns_the_low_quality_image(upsample):
    network = make_generator(TrainSettings.make("fast", ngf=8, upsample=upsample), 5).eval()
    image = torch.rand(1, 5, 64, 64) * 2 - 1
    assert torch.equal(network(image), image[:, :1])


def test_receptive_field_of_the_discriminator_is_70_px():
    torch.manual_seed(0)
    network = PatchDiscriminator(1, ndf=4)
    for block in network.blocks:  # instance norm looks at the whole image: leave it out
        for index, module in enumerate(block):
            if isinstance(module, torch.nn.InstanceNorm2d):
                block[index] = torch.nn.Identity()
    image = torch.randn(1, 1, 128, 128, requires_grad=True)
    logits, _ = network(image)
    logits[0, 0, 7, 7].backward()
    touched = image.grad[0, 0] != 0
    assert int(touched.any(0).sum()) == int(touched.any(1).sum()) == 70


@pytest.mark.parametrize("shape", [(32, 32), (64, 96), (96, 32)])
def test_output_has_the_size_of_the_input(shape):
    network = UNet(3, ngf=4, depth=5)
    output = network(torch.randn(2, 3, *shape))
    assert output.shape == (2, 1, *shape)
    assert float(output.abs().max()) <= 1


def test_generator_is_the_same_in_training_and_evaluation():
    network = UNet(2, ngf=4, depth=4)
    x = torch.randn(1, 2, 32, 32)
    assert torch.equal(network.train()(x), network.eval()(x))


def test_nearest_up_conv_is_nearest_upsampling_and_a_convolution():
    layer = NearestUpConv(3, 5).double()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    kernel = layer.weight.transpose(0, 1).flip(2, 3)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), kernel, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)


def test_nearest_up_conv_makes_no_checkerboard_of_a_flat_input():
    layer = NearestUpConv(2, 1)
    torch.nn.init.normal_(layer.weight)
    inside = layer(torch.ones(1, 2, 8, 8))[0, 0, 1:-1, 1:-1]
    assert float(inside.max() - inside.min()) < 1e-5


def test_fast_model_has_its_preset_and_a_third_of_the_weights():
    settings = TrainSettings.make("fast")
    assert (settings.depth, settings.ngf, settings.polar) == (6, 48, True)
    with torch.device("meta"):
        assert parameters(make_generator(settings, 6)) < 0.35 * 54_406_529
    network = make_generator(TrainSettings.make("fast", ngf=4, depth=3), 6)
    assert network(torch.randn(2, 6, 24, 16)).shape == (2, 1, 24, 16)


def test_decoder_maps_reach_the_output_layer():
    network = UNet(2, ngf=4, depth=3, decoder_maps=True)
    assert network.up[0][1].weight.shape[0] == 2 * 4 + 2


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_streamlining_for_a_cpu_changes_the_output_by_rounding_only(norm):
    network = UNet(3, ngf=8, depth=4, norm=norm, upsample="nearest", decoder_maps=True).eval()
    x = torch.randn(1, 3, 48, 64)
    with torch.inference_mode():
        expected = network(x)
        fast = streamline_for_cpu(network)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(fast, expected, atol=1e-6, rtol=0)
    assert not any(isinstance(module, torch.nn.InstanceNorm2d) for module in network.modules())


def test_a_threshold_softens_what_is_added_and_leaves_the_rest_alone():
    torch.manual_seed(0)
    image = torch.rand(2, 5, 64, 64) * 2 - 1
    open_network = UNet(5, ngf=8, depth=4, residual=True, threshold=0.0)
    torch.nn.init.normal_(open_network.up[0][1].weight, 0, 0.02)
    network = UNet(5, ngf=8, depth=4, residual=True, threshold=10 / 127.5)
    network.load_state_dict(open_network.state_dict())
    added = open_network(image) - image[:, :1]
    assert 0.2 < float((added.abs() < 10 / 127.5).float().mean()) < 0.8
    torch.testing.assert_close(network(image), image[:, :1] + F.softshrink(added, 10 / 127.5))


def test_an_untrained_generator_with_a_threshold_can_learn():
    network = make_generator(TrainSettings.make("fast", ngf=8, residual_threshold=1.0), 5)
    image = torch.rand(1, 5, 64, 64) * 2 - 1
    (network(image) + 1).abs().mean().backward()
    assert float(network.up[0][1].weight.grad.abs().max()) > 0
