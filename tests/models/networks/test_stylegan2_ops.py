"""StyleGAN2's blocks against formulas written out, and numerical first and second derivatives."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.networks.resample import Blur
from models.networks.stylegan2_ops import (
    BiasedLeakyReLU,
    ConvLayer,
    EqualConv2d,
    EqualLinear,
    NoiseInjection,
    ResidualBlock,
    UpsamplingConv,
    UpsamplingLayer,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_activation_by_hand():
    activate = BiasedLeakyReLU(2)
    activate.bias.data[:] = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)
    result = activate(torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)).flatten()
    assert torch.allclose(result, torch.tensor([3.0, -0.2]) * 2**0.5)


@pytest.mark.parametrize("layer,x", [
    (EqualConv2d(50, 40, 3, padding=1), torch.ones(1, 50, 4, 4)),
    (EqualConv2d(500, 40, 1), torch.ones(1, 500, 4, 4)),
    (EqualLinear(500, 400), torch.ones(1, 500)),
], ids=["conv3", "conv1", "linear"])
def test_weights_are_scaled_by_fan_in_at_run_time(layer, x):
    layer.weight.data.fill_(1)
    result = layer(x)
    fan_in = layer.weight[0].numel()
    inside = result[..., 1:-1, 1:-1] if result.dim() == 4 else result
    assert torch.allclose(inside, torch.full_like(inside, math.sqrt(fan_in)), rtol=1e-5)


def test_variance_is_kept_from_layer_to_layer():
    layers = torch.nn.Sequential(*[ConvLayer(64, 64, 3) for _ in range(4)])
    with torch.no_grad():
        second_moment = layers(torch.randn(4, 64, 32, 32)).square().mean()
    # leaky_relu(x, 0.2) * sqrt(2) of a normal has second moment 1.04; a little is lost at the zero padding.
    assert 0.7 < second_moment < 1.3


def test_downsampling_conv1_equals_blur_then_strided_conv():
    layer = ConvLayer(3, 5, 1, downsample=True, activate=False)
    x = torch.randn(2, 3, 8, 6)
    plain = F.conv2d(Blur(padding=1)(x), layer[1].weight / math.sqrt(3), stride=2)
    assert layer(x).shape == (2, 5, 4, 3)
    assert torch.allclose(layer(x), plain, atol=1e-6)


def test_downsampling_conv3_blurs_over_two_zeros():
    layer = ConvLayer(3, 5, 3, downsample=True, activate=False)
    x = torch.randn(2, 3, 8, 6)
    row = torch.tensor([1.0, 3, 3, 1]) / 8
    blurred = F.conv2d(F.pad(x, (2, 2, 2, 2)), torch.outer(row, row).repeat(3, 1, 1, 1), groups=3)
    assert torch.allclose(layer(x), F.conv2d(blurred, layer[1].weight / math.sqrt(27), stride=2), atol=1e-6)


def test_residual_block_is_the_scaled_sum():
    x = torch.randn(2, 3, 8, 8)
    for block, skip in ((ResidualBlock(3, 3), x), (changing := ResidualBlock(3, 5, downsample=True), None)):
        skip = changing.skip(x) if skip is None else skip
        assert torch.allclose(block(x), (block.conv2(block.conv1(x)) + skip) / 2**0.5, atol=1e-6)
    assert not list(ResidualBlock(3, 3).skip.parameters())


def test_upsampling_conv_by_zero_insertion():
    layer = UpsamplingConv(3, 5).double()
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    weight = layer.weight[0]
    weight = weight / weight.flatten(1).norm(dim=1)[:, None, None, None]  # demodulation: unit filters
    spread = torch.zeros(2, 3, 7, 11, dtype=torch.float64)
    spread[..., ::2, ::2] = x
    full = F.conv2d(F.pad(spread, (2, 2, 2, 2)), weight.flip(2, 3))
    row = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 4
    expected = F.conv2d(F.pad(full, (1, 1, 1, 1)), torch.outer(row, row).repeat(5, 1, 1, 1), groups=5)
    assert expected.shape == (2, 5, 8, 12)
    assert torch.allclose(layer(x), expected, atol=1e-6)  # 1e-8 inside the root of the demodulation


def test_noise_starts_silent_repeats_with_the_seed_and_can_be_switched_off():
    noise, x = NoiseInjection(), torch.randn(2, 3, 8, 8)
    assert torch.equal(noise(x), x)
    noise.weight.data.fill_(0.5)
    torch.manual_seed(5)
    first = noise(x)
    torch.manual_seed(5)
    assert torch.equal(noise(x), first)
    added = first - x
    assert torch.allclose(added[:, 0], added[:, 2], atol=1e-6)  # the same for all channels
    assert not torch.allclose(added[0], added[1])
    noise.enabled = False
    assert torch.equal(noise(x), x)


@pytest.mark.parametrize("module", [
    ConvLayer(2, 3, 1), ConvLayer(2, 3, 3), ConvLayer(2, 3, 1, downsample=True),
    ConvLayer(2, 3, 3, downsample=True), ResidualBlock(2, 2), ResidualBlock(2, 3, downsample=True),
    UpsamplingLayer(2, 3, noise=False),
], ids=["conv1", "conv3", "conv1_down", "conv3_down", "block", "block_down", "up"])
def test_first_and_second_derivatives(module):
    module = module.double()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    parameters = [p for name, p in module.named_parameters() if not name.startswith("noise")]

    def run(x, *_):
        return module(x)

    assert torch.autograd.gradcheck(run, (x, *parameters))
    assert torch.autograd.gradgradcheck(run, (x, *parameters), fast_mode=True)
