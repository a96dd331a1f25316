"""MUNIT's networks: layers against NumPy, published keys and sizes, initial weights, checkpointing."""

import numpy as np
import pytest
import torch

from models.networks.init import init_weights
from models.networks.multimodal.discriminator import MultiScaleDiscriminator
from models.networks.multimodal.layers import AdaptiveResidualBlock, ImageNorm, ResidualBlock
from models.networks.multimodal.munit import ContentEncoder, Decoder, MUNITGenerator, StyleEncoder, StyleMLP
from tests.formula import fill_, picture

EPSILON = 1e-5


def conv(x: np.ndarray, layer, stride: int = 1) -> np.ndarray:
    """Reflection padding that keeps the size (or halves it), then a correlation, written as sums."""
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    kernel = weight.shape[2]
    pad = {1: 0, 3: 1, 4: 1, 5: 2, 7: 3}[kernel]
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bchwij,ocij->bohw", windows, weight) + bias[:, None, None]


def relu(x):
    return np.maximum(x, 0)


def instance_norm(x):
    return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + EPSILON)


def image_norm(x, layer):
    """The std with n - 1 in its denominator, epsilon outside the root."""
    mean, std = x.mean((1, 2, 3), keepdims=True), x.std((1, 2, 3), keepdims=True, ddof=1)
    gamma, beta = (p.detach().numpy()[:, None, None] for p in (layer.gamma, layer.beta))
    return (x - mean) / (std + EPSILON) * gamma + beta


def residual(x, block, norms):
    first, second = block.model
    return x + norms[1](conv(relu(norms[0](conv(x, first.conv))), second.conv))


def adaptive(numbers: np.ndarray):
    """AdaIN of 2 C numbers for each image: the first C are the biases, the others the weights."""
    channels = numbers.shape[1] // 2
    bias, weight = numbers[:, :channels, None, None], numbers[:, channels:, None, None]
    return lambda x: instance_norm(x) * weight + bias


def double(net):
    net = net.double()
    fill_(net)
    return net


def agree(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_image_norm():
    layer = ImageNorm(3).double()
    assert ((0 <= layer.gamma) & (layer.gamma <= 1)).all() and not layer.beta.any()
    assert ImageNorm(4000).gamma.mean().item() == pytest.approx(0.5, abs=0.03)     # U(0, 1): its std is 0.29
    torch.nn.init.normal_(layer.beta)
    x = picture(2, 3, 5, 4)
    agree(layer(x), image_norm(x.numpy(), layer))
    small = 1e-5 * x        # where it matters what epsilon is added to
    agree(layer(small), image_norm(small.numpy(), layer))


def test_image_norm_of_a_constant_image_is_its_shift_and_has_a_gradient():
    layer, x = ImageNorm(3), torch.full((1, 3, 4, 4), 0.7, requires_grad=True)
    y = layer(x)
    assert y.abs().max() < 0.02       # rounding of float32, divided by epsilon
    y.square().sum().backward()
    assert torch.isfinite(x.grad).all()


def test_residual_blocks():
    block, x = double(ResidualBlock(3)), picture(2, 3, 6, 5)
    agree(block(x), residual(x.numpy(), block, [instance_norm, instance_norm]))


def test_adaptive_block_takes_biases_first():
    block, x = double(AdaptiveResidualBlock(3)), picture(2, 3, 6, 5)
    numbers = picture(1, 1, 2, 12)[0, 0].numpy()     # of each image: bias and weight of both norms
    expected = residual(x.numpy(), block, [adaptive(numbers[:, :6]), adaptive(numbers[:, 6:])])
    agree(block(x, torch.from_numpy(numbers).reshape(2, 2, 2, 3)), expected)


def test_content_encoder():
    net, x = double(ContentEncoder(channels=3, width=2, blocks=2)), picture(2, 3, 16, 12)
    y = x.numpy()
    for layer, stride in zip(net.model[:3], (1, 2, 2), strict=True):
        y = relu(instance_norm(conv(y, layer.conv, stride)))
    for block in net.model[3].model:
        y = residual(y, block, [instance_norm, instance_norm])
    assert y.shape == (2, 8, 4, 3)
    agree(net(x), y)


def test_style_encoder():
    net, x = double(StyleEncoder(channels=3, width=2, style_dim=5)), picture(2, 3, 32, 20)
    y = x.numpy()
    for layer, stride in zip(net.model[:5], (1, 2, 2, 2, 2), strict=True):
        y = relu(conv(y, layer.conv, stride))
    agree(net(x), conv(y.mean((2, 3), keepdims=True), net.model[6])[..., 0, 0])


def test_decoder_and_the_order_of_its_styles():
    blocks, channels = 2, 8
    decoder = double(Decoder(channels=3, width=2, blocks=blocks))
    mlp = double(StyleMLP(style_dim=5, width=6, blocks=blocks, channels=channels))
    content, style = picture(2, channels, 6, 5), picture(1, 1, 2, 5)[0, 0]
    numbers = style.numpy()
    for i, layer in enumerate(mlp.model):
        weight, bias = (p.detach().numpy() for p in (layer.fc.weight, layer.fc.bias))
        numbers = numbers @ weight.T + bias
        numbers = relu(numbers) if i < 2 else numbers
    assert numbers.shape == (2, blocks * 2 * 2 * channels)
    layers = [adaptive(part) for part in np.split(numbers, 2 * blocks, axis=1)]
    y = content.numpy()
    for i, block in enumerate(decoder.model[0].model):
        y = residual(y, block, layers[2 * i:2 * i + 2])
    for i in (2, 4):
        y = conv(y.repeat(2, axis=2).repeat(2, axis=3), decoder.model[i].conv)
        y = relu(image_norm(y, decoder.model[i].norm))
    y = np.tanh(conv(y, decoder.model[5].conv))
    assert y.shape == (2, 3, 24, 20)
    agree(decoder(content, mlp(style)), y)


def halve(x):
    """3x3 means at every second pixel, over those pixels alone that are inside."""
    height, width = (-(-side // 2) for side in x.shape[2:])
    y = np.empty((*x.shape[:2], height, width))
    for i, j in np.ndindex(height, width):
        y[..., i, j] = x[..., max(2 * i - 1, 0):2 * i + 2, max(2 * j - 1, 0):2 * j + 2].mean((2, 3))
    return y


def test_discriminator():
    net, x = double(MultiScaleDiscriminator(in_channels=3, width=2)), picture(2, 3, 66, 64)
    image, scores = x.numpy(), net(x)
    for cnn, found in zip(net.cnns, scores, strict=True):
        y = image
        for layer in cnn[:4]:
            y = conv(y, layer.conv, 2)
            y = np.where(y > 0, y, 0.2 * y)
        agree(found, conv(y, cnn[4]))
        image = halve(image)
    assert [tuple(s.shape) for s in scores] == [(2, 1, 4, 4), (2, 1, 2, 2), (2, 1, 1, 1)]


def expand(*names: str) -> set[str]:
    return {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}


def test_generator_has_the_published_keys_and_parameters():
    with torch.device("meta"):
        net = MUNITGenerator(channels=3)
    keys = expand(*(f"enc_style.model.{i}.conv" for i in range(5)), "enc_style.model.6",
                  *(f"enc_content.model.{i}.conv" for i in range(3)),
                  *(f"{part}.model.{i}.model.{j}.conv" for part in ("enc_content.model.3", "dec.model.0")
                    for i in range(4) for j in range(2)),
                  *(f"dec.model.{i}.conv" for i in (2, 4, 5)), *(f"mlp.model.{i}.fc" for i in range(3)))
    keys |= {f"dec.model.{i}.norm.{name}" for i in (2, 4) for name in ("gamma", "beta")}
    state = net.state_dict()
    assert state.keys() == keys
    shapes = {"dec.model.2.conv.weight": (128, 256, 5, 5), "dec.model.4.conv.weight": (64, 128, 5, 5),
              "dec.model.5.conv.weight": (3, 64, 7, 7), "mlp.model.0.fc.weight": (256, 8),
              "mlp.model.1.fc.weight": (256, 256), "mlp.model.2.fc.weight": (4096, 256),
              "enc_style.model.6.weight": (8, 256, 1, 1), "dec.model.2.norm.gamma": (128,)}
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 15.03


def test_discriminator_has_the_published_keys_and_parameters():
    with torch.device("meta"):
        net = MultiScaleDiscriminator(in_channels=3)
    assert net.state_dict().keys() == expand(
        *(f"cnns.{s}.{i}.conv" for s in range(3) for i in range(4)), *(f"cnns.{s}.4" for s in range(3)))
    assert net.state_dict()["cnns.2.4.weight"].shape == (1, 512, 1, 1)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 8.27


def test_initial_weights():
    """The generator's follow --init_type; the discriminator's are N(0, 0.02) whatever it says."""
    D = init_weights(MultiScaleDiscriminator(in_channels=3, width=16), "kaiming", 1.0)
    for cnn in D.cnns:
        assert cnn[3].conv.weight.std().item() == pytest.approx(0.02, rel=0.02)
        assert not cnn[3].conv.bias.any() and not cnn[4].bias.any()
    G = init_weights(MUNITGenerator(channels=3, width=16), "kaiming", 1.0)
    fan_in = 64 * 9     # He et al. 2015: std sqrt(2 / fan_in)
    assert G.dec.model[0].model[0].model[0].conv.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5,
                                                                                     rel=0.02)
    assert G.mlp.model[2].fc.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.02)
    assert 0.4 < G.dec.model[2].norm.gamma.mean() < 0.6


def test_smallest_sides():
    G, D = MUNITGenerator(channels=1, width=2), MultiScaleDiscriminator(in_channels=1, width=2)
    assert (G.smallest_side, G.size_multiple, D.smallest_side) == (16, 4, 64)
    assert G(torch.zeros(1, 1, 16, 20)).shape == (1, 1, 16, 20)
    assert [s.numel() for s in D(torch.zeros(1, 1, 64, 64))] == [16, 4, 1]
    with pytest.raises(RuntimeError, match="[Pp]adding size"):
        G.encode_style(torch.zeros(1, 1, 15, 16))
    with pytest.raises(RuntimeError, match="[Pp]adding size"):
        D(torch.zeros(1, 1, 60, 64))


def test_checkpointing_changes_no_gradient():
    net, x = double(MUNITGenerator(channels=3, width=2, blocks=1)), picture(1, 3, 16, 16)
    gradients = []
    for net.checkpointing in (False, True):
        net.zero_grad()
        net(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
