"""The arithmetic of halos: rows of a map made from a slab are those made from all of it."""

import itertools

import pytest
import torch
from torch import nn

from models.networks import GENERATORS
from models.networks.resample import BlurDownsample, BlurUpsample, ReflectPad
from models.tiling.fields import FIELDS, Rows, slab_for
from models.tiling.reach import field, numbers_per_pixel

CHAINS = {
    "conv3": [nn.Conv2d(2, 3, 3, padding=1)],
    "conv3 by 2": [nn.Conv2d(2, 3, 3, stride=2, padding=1)],
    "conv4 by 2": [nn.LeakyReLU(0.2), nn.Conv2d(2, 3, 4, 2, 1)],
    "transposed conv3": [nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1), nn.ReLU()],
    "transposed conv4": [nn.ConvTranspose2d(2, 3, 4, 2, 1)],
    "reflected conv7": [ReflectPad(3), nn.Conv2d(2, 3, 7)],
    "blurred down": [nn.ReLU(), BlurDownsample(2), nn.Conv2d(2, 3, 3, padding=1)],
    "blurred down twice": [BlurDownsample(2), nn.Conv2d(2, 2, 3, padding=1), BlurDownsample(2)],
    "up": [BlurUpsample(2), nn.Conv2d(2, 3, 3, padding=1)],
    "down, up, reflected": [BlurDownsample(2), BlurUpsample(2), ReflectPad(2), nn.Conv2d(2, 3, 5)],
}


def run(layers: list[nn.Module], x: torch.Tensor) -> torch.Tensor:
    return nn.Sequential(*layers)(x)


@pytest.mark.parametrize("name", CHAINS)
def test_any_rows_from_a_slab_are_those_of_the_whole(name):
    """Every interval of a map of 16 rows: padding at the edges and the parity of strides included."""
    torch.manual_seed(0)
    layers, x = [layer.double() for layer in CHAINS[name]], torch.randn(1, 2, 16, 12).double()
    whole = run(layers, x)
    for top, bottom in itertools.combinations(range(whole.shape[2] + 1), 2):
        slab = slab_for(layers, 16, Rows(top, bottom))
        made = run(layers, x[:, :, slab.rows.top:slab.rows.bottom])[:, :, slab.wanted.top:slab.wanted.bottom]
        assert torch.allclose(made, whole[:, :, top:bottom], atol=1e-12), (top, bottom)


def test_a_slab_is_not_the_whole():
    """A few rows in the middle of a high map need a few rows more, counted by hand: 3 a side for conv7."""
    assert slab_for(CHAINS["reflected conv7"], 1000, Rows(500, 510)).rows == (497, 513)
    assert slab_for(CHAINS["conv3 by 2"], 1000, Rows(200, 201)).rows == (398, 402)     # from an even row


@pytest.mark.parametrize("name", ["resnet_9blocks", "resnet_6blocks", "resnet_4blocks", "unet_128"])
def test_field_is_what_a_gradient_reaches(name):
    """With positive weights no path cancels another: pixels with a gradient are the field, but for the
    parity of the pixel, of which 128 are too many to try for the U-Net.
    """
    net = GENERATORS[name](in_channels=1, out_channels=1, width=1, norm="none", dropout=False,
                           antialias=True, antialias_up=True, crop_size=16, num_downsampling=1).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(0.1 / weight[0].numel() if weight.ndim == 4 else 0)
    side = 256 if name.startswith("resnet") else 1408
    widest = 0
    for place in range(side // 2, side // 2 + (4 if side < 1000 else 1)):
        x = torch.full((1, 1, side, 128 if side > 1000 else 16), 0.1).double().requires_grad_()
        net(x)[0, 0, place].sum().backward()
        rows = x.grad[0, 0].abs().sum(1).nonzero()
        widest = max(widest, int(rows.max() - rows.min()) + 1)
    if name.startswith("resnet"):
        assert field(net) == widest
    else:
        assert widest <= field(net) < 2.1 * widest


def test_numbers_at_the_worst_moment_by_hand():
    """128 channels at full size go into a norm and come out; once more for what is beside them."""
    net = GENERATORS["resnet_9blocks"](in_channels=3, out_channels=3, width=64)
    assert numbers_per_pixel(net) == 2 * (128 + 128)


def test_every_layer_of_the_generators_is_known():
    for name in ("resnet_4blocks", "unet_128"):
        for norm, antialias in itertools.product(("batch", "none"), (True, False)):
            net = GENERATORS[name](in_channels=3, out_channels=3, width=2, norm=norm, dropout=True,
                                   antialias=antialias, antialias_up=antialias).eval()
            leaves = {type(layer) for layer in net.modules() if not list(layer.children())}
            assert leaves <= FIELDS.keys()
