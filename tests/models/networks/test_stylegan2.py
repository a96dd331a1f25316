"""The StyleGAN2 networks: published layouts and counts, sizes, noise, second derivatives, errors."""

import json
from pathlib import Path

import pytest
import torch

from models.networks.patch_sampler import PatchSampler
from models.networks.stylegan2 import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    TileStyleGAN2Discriminator,
    discriminator_channels,
    generator_channels,
)
from tests.formula import fill_, picture, summary

FOLDER = Path(__file__).parents[2] / "golden"
LAYOUTS = json.loads((FOLDER / "stylegan2_layouts.json").read_text())
GOLDEN = json.loads((FOLDER / "sincut.json").read_text())
SETTINGS = {
    "stylegan2": (dict(crop_size=64), dict(crop_size=64)),
    "smallstylegan2": (dict(crop_size=64, blocks=1, noise=False), dict(crop_size=64)),
    "stylegan2, 2 halvings, crop 128": (dict(crop_size=128, num_downsampling=2), dict(crop_size=128)),
}


def generator(width=2, crop_size=16, **sizes) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(in_channels=3, out_channels=3, width=width, crop_size=crop_size, **sizes)


def discriminator(width=1, crop_size=16) -> StyleGAN2Discriminator:
    torch.manual_seed(0)
    return StyleGAN2Discriminator(in_channels=3, width=width, crop_size=crop_size)


def tiled(tile) -> TileStyleGAN2Discriminator:
    return TileStyleGAN2Discriminator(in_channels=3, width=1, crop_size=4096, tile=tile)


def assert_summary(tensor, golden) -> None:
    """The tensor agrees with numbers measured on the reference, in float64, to the digits written down."""
    mine = summary(tensor, len(golden["values"]))
    assert mine["shape"] == golden["shape"]
    for key in ("mean", "std", "values"):
        assert mine[key] == pytest.approx(golden[key], rel=1e-6, abs=1e-8)


def count(net) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", SETTINGS)
def test_layouts_and_counts_are_those_published(name):
    sizes_G, sizes_D = SETTINGS[name]
    net_G, net_D = generator(10, **sizes_G), discriminator(8, **sizes_D)
    layers = (0, 2) if "small" in name else (0, 2, 4)  # the encoder of the small one ends at 3
    net_F = PatchSampler(channels=net_G.feature_channels(layers, 3), width=256)
    for net, key in ((net_G, "G"), (net_D, "D")):
        assert {k: list(v.shape) for k, v in net.state_dict().items()} == LAYOUTS[name][key]
    assert [count(net) for net in (net_G, net_F, net_D)] == [LAYOUTS[name]["parameters"][k] for k in "GFD"]


def test_default_counts_of_the_specification():
    assert LAYOUTS["stylegan2"]["parameters"] == {"G": 3068404, "F": 280832, "D": 5885473}


@pytest.mark.parametrize("downsamplings", [0, 1, 2])
@pytest.mark.parametrize("height,width", [(16, 16), (12, 20), (4, 8)])
def test_generator_keeps_every_size_of_its_multiple(downsamplings, height, width):
    net = generator(num_downsampling=downsamplings, blocks=1)
    assert net.size_multiple == 2**downsamplings
    assert net(torch.randn(2, 3, height, width)).shape == (2, 3, height, width)


def test_features_are_outputs_of_the_numbered_stages():
    net, x = generator(), torch.randn(1, 3, 16, 16)
    y, features = net.forward_with_features(x, (0, 2, 4))
    assert torch.equal(features[0], x)
    assert torch.equal(features[1], net.encoder.convs[:3](x))
    assert torch.equal(features[2], net.encoder.convs[:5](x))
    assert torch.equal(y, net.decoder.convs(net.encoder.convs(x)))
    assert [f.shape[2] for f in features] == [16, 8, 8]
    net.decoder.convs.register_forward_pre_hook(lambda *_: pytest.fail("the decoder ran"))
    assert all(torch.equal(a, b) for a, b in zip(net.encode(x, (0, 2, 4)), features, strict=True))


@pytest.mark.parametrize("name,size", [("stylegan2", 64), ("stylegan2_default", 64), ("smallstylegan2", 64),
                                       ("stylegan2_down2", 64), ("stylegan2_not_square_of_2", 48)])
def test_generator_gives_the_measured_numbers(name, size):
    net = generator(10 if "default" in name else 2, 64, num_downsampling=2 if "down2" in name else 1,
                    **(dict(blocks=1, noise=False) if "small" in name else {})).double()
    fill_(net, equalized=True)
    golden = GOLDEN[name]
    layers = [int(number) for number in golden["features"]]
    with torch.no_grad():
        output, features = net.forward_with_features(picture(1, 3, size, size), layers)
    assert_summary(output, golden["output"])
    for feature, number in zip(features, golden["features"], strict=True):
        assert_summary(feature, golden["features"][number])


@pytest.mark.parametrize("name,width,size", [("D_stylegan2", 8, 64), ("D_stylegan2_crop32", 4, 32)])
def test_discriminator_gives_the_measured_numbers(name, width, size):
    net = discriminator(width, size).double()
    fill_(net, equalized=True)
    x = picture(2, 3, size, size).requires_grad_()
    score = net(x)
    gradient, = torch.autograd.grad(score.sum(), x)
    assert_summary(score, GOLDEN[name]["output"])
    assert_summary(gradient, GOLDEN[name]["input_grad"])
    assert gradient.square().sum().item() / 2 / 2 == pytest.approx(GOLDEN[name]["R1_lambda_1"], rel=1e-6)


def test_noise_follows_the_seed_and_can_be_left_out():
    net, x = generator(), torch.randn(1, 3, 16, 16)
    net.decoder.convs[3].noise.weight.data.fill_(1)
    images = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        images.append(net(x))
    assert torch.equal(images[0], images[1]) and not torch.allclose(images[0], images[2])
    net.set_noise(False)
    assert torch.equal(net(x), net(x))


def test_discriminator_scores_each_image_alone():
    net, x = discriminator(), torch.randn(3, 3, 16, 16)
    assert net(x).shape == (3, 1)
    assert torch.allclose(net(x)[1:2], net(x[1:2]), atol=1e-5)


def test_channel_tables():
    """The table times width / 32 or / 64; the generator rounds, the discriminator truncates; limits."""
    assert [generator_channels(r, 10) for r in (16, 32, 64, 128)] == [320, 160, 80, 40]
    assert generator_channels(8, 10) == 512 and generator_channels(64, 100) == 800
    assert [discriminator_channels(r, 8) for r in (4, 8, 16, 32, 64)] == [384, 256, 128, 64, 32]
    assert (generator_channels(1024, 3), discriminator_channels(1024, 7)) == (2, 1)  # 1.5 and 1.75


def test_discriminator_takes_every_size_that_comes_down_to_4():
    assert discriminator(crop_size=18)(torch.randn(1, 3, 18, 18)).shape == (1, 1)  # 18, 9, 4


def test_tile_discriminator_scores_every_tile():
    torch.manual_seed(0)
    net = tiled(8)
    plain = StyleGAN2Discriminator(in_channels=3, width=1, crop_size=8)
    plain.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 16, 20)
    tiles = torch.stack([x[b, :, r:r + 8, c:c + 8] for b in range(2) for r in (0, 8) for c in (0, 8)])
    assert torch.allclose(net(x), plain(tiles), atol=1e-6)


def test_gradient_penalty_has_the_right_derivative():
    """d/dp of sum |dD/dx|^2 by a central difference along a random direction of the parameters, float64."""
    net = discriminator(crop_size=8).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)

    def penalty():
        gradient, = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        return gradient.square().sum()

    parameters = list(net.parameters())
    directions = [torch.randn_like(p) for p in parameters]
    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)  # the last bias has none
    analytic = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)
    step, values = 1e-6, []
    for sign in (1, -2):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p += sign * step * d
        values.append(penalty().item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(analytic.item(), rel=1e-5)


@pytest.mark.parametrize("build,words", [
    (lambda: generator(crop_size=3000), ["--crop_size", "3000", "1024"]),
    (lambda: generator(crop_size=2), ["--crop_size", "2"]),
    (lambda: generator(crop_size=0), ["--crop_size", "0"]),
    (lambda: generator(crop_size=65), ["--crop_size 65", "multiple of 2", "--stylegan2_G_num_downsampling"]),
    (lambda: generator(num_downsampling=3), ["--stylegan2_G_num_downsampling is 3", "0 to 2"]),
    (lambda: generator(num_downsampling=-1), ["--stylegan2_G_num_downsampling is -1"]),
    (lambda: generator(width=0), ["--ngf 0"]),
    (lambda: discriminator(crop_size=96), ["--crop_size 96", "128"]),
    (lambda: tiled(3000), ["--D_tile_size", "3000"]),
    (lambda: tiled(48), ["--D_tile_size 48", "use 64"]),
    (lambda: tiled(5000), ["--D_tile_size 5000", "--crop_size 4096"]),
])
def test_impossible_sizes_name_flag_and_remedy(build, words):
    with pytest.raises(ValueError) as error:
        build()
    assert all(word in str(error.value) for word in words)
