"""DRIT's networks: keys and sizes of the published files, and each network written out in plain float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.networks.init import init_weights
from models.networks.multimodal.drit import ContentEncoder, StyleEncoder, StyleVAE
from models.networks.multimodal.drit_discriminators import (
    ContentDiscriminator,
    DeepDiscriminator,
    MultiScaleDiscriminator,
    content_side,
    image_discriminator,
    image_side,
)
from models.networks.multimodal.drit_generators import ConcatGenerator, TransformGenerator
from tests.formula import fill_, picture

FULL = dict(channels=(3, 3), width=64)
STYLED = dict(**FULL, style_dim=8)
SMALL = dict(channels=(3, 1), width=2)
NETWORKS = {
    "enc_c": lambda: ContentEncoder(**FULL), "enc_a": lambda: StyleVAE(**STYLED),
    "enc_a, no concat": lambda: StyleEncoder(**STYLED), "gen": lambda: ConcatGenerator(**STYLED),
    "gen, no concat": lambda: TransformGenerator(**STYLED),
    "dis": lambda: image_discriminator(scales=3, in_channels=3, width=64),
    "dis, one scale": lambda: image_discriminator(scales=1, in_channels=3, width=64),
    "disContent": lambda: ContentDiscriminator(in_channels=256, width=256)}


def layers(*names: str) -> set[str]:
    return {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}


KEYS = {
    "enc_c": layers(*(f"conv{d}.{i}.model.1" for d in "AB" for i in range(6)), "conv_share.0.model.1",
                    "conv_share.0.model.5", *(f"conv{d}.{i}.model.5" for d in "AB" for i in (3, 4, 5))),
    "enc_a": layers(*(f"conv_{d}.{name}" for d in "AB" for name in (
        "1", *(f"{i}.{part}" for i in (2, 3, 4) for part in ("conv.2", "conv.4.1", "shortcut.1")))),
        "fc_A.0", "fc_B.0", "fcVar_A.0", "fcVar_B.0"),
    "enc_a, no concat": layers(*(f"model_{d}.{i}" for d in "ab" for i in (1, 4, 7, 10, 13, 16))),
    "gen": layers("dec_share.0.model.1", "dec_share.0.model.5", *(f"dec{d}{name}" for d in "AB" for name in (
        *(f"1.{i}.model.{j}" for i in range(3) for j in (1, 5)), "2.0.model.0", "2.0.model.1", "3.0.model.0",
        "3.0.model.1", "4.0"))),
    "gen, no concat": layers(*(name for d in "AB" for name in (
        *(f"dec{d}{i}.{part}" for i in range(1, 5) for part in (
            "conv1.0.1", "conv2.0.1", "blk1.0", "blk1.2", "blk2.0", "blk2.2")),
        *(f"dec{d}5.{i}.model.{j}" for i in (0, 1) for j in (0, 1)), f"dec{d}5.2",
        *(f"mlp{d}.{i}" for i in (0, 2, 4))))),
    "dis": layers(*(f"Diss.{s}.{i}.model.1" for s in range(3) for i in range(4)),
                  *(f"Diss.{s}.4" for s in range(3))),
    "disContent": layers(*(f"model.{i}.model.1" for i in range(4)), "model.4")}
MILLIONS = {"enc_c": 9.02, "enc_a": 2.69, "enc_a, no concat": 5.53, "gen": 9.565, "gen, no concat": 17.15,
            "dis": 8.27, "dis, one scale": 25.1, "disContent": 10.68}
SHAPES = {"enc_c": {"convA.0.model.1": (64, 3, 7, 7), "convB.2.model.1": (256, 128, 3, 3)},
          "gen": {"decA2.0.model.0": (272, 136, 3, 3), "decA2.0.model.1": (136, 1, 1),
                  "decB3.0.model.0": (144, 72, 3, 3), "decB4.0": (80, 3, 1, 1),
                  "decA1.2.model.5": (264, 264, 3, 3)},
          "gen, no concat": {"decA1.blk1.0": (512, 512, 1, 1), "decB4.blk2.2": (256, 512, 1, 1),
                             "decA5.1.model.0": (128, 64, 3, 3), "mlpB.4": (1024, 256)},
          "enc_a": {"conv_A.1": (64, 3, 4, 4), "conv_B.4.shortcut.1": (256, 192, 1, 1),
                    "fcVar_A.0": (8, 256)}}


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_shapes_and_counts_are_the_published_ones(name):
    with torch.device("meta"):
        net = NETWORKS[name]()
    state = net.state_dict()
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(MILLIONS[name], abs=0.051 if (
        name == "dis, one scale") else 0.005)
    if name in KEYS:
        assert state.keys() == KEYS[name]
    for key, shape in SHAPES.get(name, {}).items():
        assert tuple(state[f"{key}.weight"].shape) == shape, key


# ---- each network again, from its keys and torch's functions

class Plain:
    """The layers of a network's state dict, by key."""

    def __init__(self, net: nn.Module):
        self.state = net.state_dict()

    def conv(self, key, x, stride=1, pad=0):
        x = F.pad(x, (pad,) * 4, mode="reflect") if pad else x
        return F.conv2d(x, self.state[f"{key}.weight"], self.state[f"{key}.bias"], stride)

    def linear(self, key, x):
        return x @ self.state[f"{key}.weight"].T + self.state[f"{key}.bias"]

    def residual(self, key, x):
        y = norm(self.conv(f"{key}.model.1", x, pad=1)).relu()
        return x + norm(self.conv(f"{key}.model.5", y, pad=1))

    def up(self, key, x):
        x = F.conv_transpose2d(x, self.state[f"{key}.model.0.weight"], self.state[f"{key}.model.0.bias"],
                               stride=2, padding=1, output_padding=1)
        mean, var = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, correction=0)
        x = (x - mean) / (var + 1e-5).sqrt()
        return (x * self.state[f"{key}.model.1.weight"] + self.state[f"{key}.model.1.bias"]).relu()

    def last(self, key, x):
        return F.conv_transpose2d(x, self.state[f"{key}.weight"], self.state[f"{key}.bias"]).tanh()


def norm(x):
    return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()


def leaky(x, slope=0.01):
    return torch.where(x > 0, x, slope * x)


def beside(x, z):
    return torch.cat([x, z[:, :, None, None] * torch.ones_like(x[:, :1])], 1)


def built(net: nn.Module) -> tuple[nn.Module, Plain]:
    net = net.double()
    fill_(net)
    return net, Plain(net)


CONTENT = picture(2, 8, 6, 5)
STYLE = picture(1, 1, 2, 8).reshape(2, 8)


@pytest.mark.parametrize("domain, channels", [("A", 3), ("B", 1)])
def test_content_encoder(domain, channels):
    net, plain = built(ContentEncoder(**SMALL))
    x = picture(2, channels, 16, 20)
    y = leaky(plain.conv(f"conv{domain}.0.model.1", x, pad=3))
    for i in (1, 2):
        y = norm(plain.conv(f"conv{domain}.{i}.model.1", y, stride=2, pad=1)).relu()
    for i in (3, 4, 5):
        y = plain.residual(f"conv{domain}.{i}", y)
    y = plain.residual("conv_share.0", y)
    assert y.shape == (2, 8, 4, 5)
    torch.testing.assert_close(net(x, domain, False), y)


def test_noise_of_the_content_is_standard_normal_and_only_on_request():
    net, _ = built(ContentEncoder(**SMALL))
    x = picture(4, 3, 64, 64)
    assert torch.equal(net.train()(x, "A", False), net.eval()(x, "A", False))
    noise = net(x, "A", True) - net(x, "A", False)
    assert noise.numel() == 8192 and abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05


@pytest.mark.parametrize("domain, channels", [("A", 3), ("B", 1)])
def test_style_encoder(domain, channels):
    net, plain = built(StyleEncoder(**SMALL, style_dim=8))
    x = picture(2, channels, 36, 40)
    y = plain.conv(f"model_{domain.lower()}.1", x, pad=3).relu()
    for i in (4, 7, 10, 13):
        y = plain.conv(f"model_{domain.lower()}.{i}", y, stride=2, pad=1).relu()
    y = plain.conv(f"model_{domain.lower()}.16", y.mean((2, 3), keepdim=True)).flatten(1)
    found, log_variance = net(x, domain)
    assert log_variance is None
    torch.testing.assert_close(found, y)


def halved(x):
    return sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4


@pytest.mark.parametrize("domain, channels", [("A", 3), ("B", 1)])
def test_style_vae(domain, channels):
    net, plain = built(StyleVAE(**SMALL, style_dim=8))
    x = picture(2, channels, 32, 48)
    y = plain.conv(f"conv_{domain}.1", x, stride=2, pad=1)
    for i in (2, 3, 4):
        key = f"conv_{domain}.{i}"
        inner = plain.conv(f"{key}.conv.2", leaky(y, 0.2), pad=1)
        inner = halved(plain.conv(f"{key}.conv.4.1", leaky(inner, 0.2), pad=1))
        y = inner + plain.conv(f"{key}.shortcut.1", halved(y))
    y = leaky(y, 0.2).mean((2, 3))
    mean, log_variance = net(x, domain)
    torch.testing.assert_close(mean, plain.linear(f"fc_{domain}.0", y))
    torch.testing.assert_close(log_variance, plain.linear(f"fcVar_{domain}.0", y))


@pytest.mark.parametrize("domain, channels", [("A", 3), ("B", 1)])
def test_generator_that_concatenates(domain, channels):
    net, plain = built(ConcatGenerator(**SMALL, style_dim=8))
    y = beside(plain.residual("dec_share.0", CONTENT), STYLE)
    for i in range(3):
        y = plain.residual(f"dec{domain}1.{i}", y)
    y = plain.up(f"dec{domain}2.0", beside(y, STYLE))
    y = plain.up(f"dec{domain}3.0", beside(y, STYLE))
    y = plain.last(f"dec{domain}4.0", beside(y, STYLE))
    assert y.shape == (2, channels, 24, 20)
    torch.testing.assert_close(net(CONTENT, STYLE, domain), y)


@pytest.mark.parametrize("domain, channels", [("A", 3), ("B", 1)])
def test_generator_that_transforms_features(domain, channels):
    net, plain = built(TransformGenerator(**SMALL, style_dim=8))
    z = plain.linear(f"mlp{domain}.2", plain.linear(f"mlp{domain}.0", STYLE).relu()).relu()
    vectors = plain.linear(f"mlp{domain}.4", z).split(8, 1)
    x = CONTENT
    for i, vector in enumerate(vectors, 1):
        y, key = x, f"dec{domain}{i}"
        for n in (1, 2):
            y = beside(norm(plain.conv(f"{key}.conv{n}.0.1", y, pad=1)), vector)
            y = plain.conv(f"{key}.blk{n}.2", plain.conv(f"{key}.blk{n}.0", y).relu()).relu()
        x = x + y
    x = plain.up(f"dec{domain}5.1", plain.up(f"dec{domain}5.0", x))
    torch.testing.assert_close(net(CONTENT, STYLE, domain), plain.last(f"dec{domain}5.2", x))


def test_discriminator_at_three_scales():
    net, plain = built(MultiScaleDiscriminator(in_channels=3, width=2, scales=3))
    x = picture(2, 3, 64, 96)
    scores = net(x)
    assert [tuple(s.shape) for s in scores] == [(2, 1, 4, 6), (2, 1, 2, 3), (2, 1, 1, 1)]
    ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    for scale, found in enumerate(scores):
        y = x
        for i in range(4):
            y = leaky(plain.conv(f"Diss.{scale}.{i}.model.1", y, stride=2, pad=1))
        torch.testing.assert_close(found, plain.conv(f"Diss.{scale}.4", y))
        # the mean of those of the 3x3 pixels that are within the image
        count = F.conv2d(torch.ones_like(x[:1, :1]), ones, stride=2, padding=1)
        x = F.conv2d(x.flatten(0, 1)[:, None], ones, stride=2, padding=1).view(2, 3, *count.shape[2:]) / count


def test_discriminator_at_one_scale():
    net, plain = built(DeepDiscriminator(in_channels=3, width=1))
    y = x = picture(2, 3, 64, 70)
    for i in range(6):
        y = leaky(plain.conv(f"model.{i}.model.1", y, stride=2, pad=1))
    score, = net(x)
    torch.testing.assert_close(score, plain.conv("model.6", y))


def test_content_discriminator():
    net, plain = built(ContentDiscriminator(in_channels=2, width=3))
    x = picture(2, 2, 54, 54)
    y, sides = x, []
    for i in range(4):
        y = leaky(plain.conv(f"model.{i}.model.1", y, *((2, 1) if i < 3 else (1, 0))))
        sides.append(y.shape[2])
    assert sides == [25, 11, 4, 1]
    torch.testing.assert_close(net(x), plain.conv("model.4", y))
    assert net(picture(1, 2, 64, 64)).shape == (1, 1, 2, 2)     # crops of 256: four scores


@pytest.mark.parametrize("layers, side", [(0, 4), (1, 11), (2, 25), (3, 53)])
def test_smallest_content_map(layers, side):
    net = ContentDiscriminator(in_channels=1, width=1, layers=layers)
    assert content_side(layers) == side
    assert net(torch.zeros(1, 1, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 1, side - 1, side - 1))


@pytest.mark.parametrize("scales, side", [(1, 33), (2, 31), (3, 61)])
def test_smallest_image(scales, side):
    net = image_discriminator(scales=scales, in_channels=1, width=1)
    assert image_side(scales) == side
    assert net(torch.zeros(1, 1, side, side))[-1].shape == (1, 1, 1, 1)
    with pytest.raises(Exception, match="(?i)pad|size"):
        net(torch.zeros(1, 1, side - 1, side - 1))


def test_initial_weights():
    """Convolutions N(0, 0.02), biases and linear layers as torch makes them, whatever --init_type says."""
    torch.manual_seed(0)
    net = init_weights(TransformGenerator(channels=(3, 3), width=16, style_dim=8), "xavier", 1.0)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.weight.numel() > 2000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1) and module.bias.abs().max() > 0
        if isinstance(module, nn.Linear):   # uniform within 1 / sqrt(fan_in)
            bound = module.in_features ** -0.5
            assert 0.9 * bound < module.weight.detach().abs().max() <= bound
