"""Strip by strip, a generator makes of an image what it makes of it at once."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.base import translate
from models.networks.norm import NORMS
from models.precision import to_channels_last
from models.tiling import Tiling
from models.tiling.exact import translate_exactly
from models.tiling.maps import Applied, Kept
from models.tiling.moments import Moments, channel_moments
from models.tiling.row_file import RowFile
from util.errors import RunError

SWITCHES = list(product(NORMS, (True, False), (True, False)))
CASES = [(name, *switches) for name in GENERATORS for switches in SWITCHES
         if name.startswith("resnet") or switches[1:] == (True, True)
         and (name.startswith("unet") or switches[0] == "instance")]


def make(name: str, norm: str = "instance", down: bool = True, up: bool = True, width: int = 2) -> nn.Module:
    torch.manual_seed(1)
    net = GENERATORS[name](in_channels=3, out_channels=3, width=width, norm=norm, dropout=False,
                           antialias=down, antialias_up=up, crop_size=16, num_downsampling=1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(std=0.3)
    for layer in net.modules():         # StyleGAN2's noise would be another in each tile
        if hasattr(layer, "enabled"):
            layer.enabled = False
    return net


def image(height: int, width: int, batch: int = 1) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(batch, 3, height, width) * 2 - 1


@pytest.mark.parametrize("name, norm, down, up", CASES)
@torch.no_grad()
def test_in_tiles_is_at_once(name, norm, down, up):
    """Every generator of the table, in float64, two images of odd sizes in a minibatch."""
    net, x = make(name, norm, down, up).double(), image(67, 50, batch=2).double()
    expected = translate(net, x)
    made = Tiling(tile=24, overlap=8, statistics="exact", number_bytes=4)(net, x)
    assert made.shape == expected.shape and expected.std() > 1e-3
    assert (made - expected).abs().max() < 1e-6 * expected.abs().max()     # the result is float32


@pytest.mark.parametrize("tile", [1, 5, 8, 16, 30, 47, 48, 1000])
@torch.no_grad()
def test_at_any_height_of_the_strips(tile):
    net, x = make("resnet_4blocks").double(), image(48, 20).double()
    assert (translate_exactly(net, x, tile) - net(x)).abs().max() < 1e-6


@torch.no_grad()
def test_one_tile_is_the_plain_pass():
    net, x = make("resnet_4blocks"), image(40, 33)
    for statistics in ("exact", "quick", "tile"):
        made = Tiling(tile=40, overlap=8, statistics=statistics, number_bytes=4)(net, x)
        assert torch.equal(made, translate(net, x))


@pytest.mark.parametrize("channels_last", [False, True])
@torch.no_grad()
def test_in_16_bits_as_far_as_they_go(channels_last):
    """bf16's own error, against float32, is several times that of the strips."""
    net, x = make("resnet_6blocks", width=8), image(96, 64)
    exact = net(x)
    x = to_channels_last(x) if channels_last else x
    with torch.autocast("cpu", torch.bfloat16):
        at_once, made = net(x), translate_exactly(net, x, 24)
    assert made.dtype == torch.float32
    assert (made - exact).abs().mean() < 1.2 * (at_once - exact).abs().mean()


@torch.no_grad()
def test_running_statistics_of_batch_norm_stay():
    net, x = make("resnet_4blocks", norm="batch").eval(), image(48, 40)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    assert torch.allclose(translate_exactly(net, x, 16), net(x), atol=1e-6)


@torch.no_grad()
def test_memory_does_not_grow_with_the_height(monkeypatch):
    """The largest tensor that passes between maps, for images of one width."""
    net, largest = make("resnet_4blocks"), []
    for cls in (Applied, Kept):
        plain = cls.rows

        def noted(self, rows, plain=plain):
            x = plain(self, rows)
            largest[-1] = max(largest[-1], x.numel())
            return x
        monkeypatch.setattr(cls, "rows", noted)
    for height in (128, 512):
        largest.append(0)
        translate_exactly(net, image(height, 32), 32)
    assert largest[1] == largest[0] < 2 * 32 * 32 * 4


# ---- its parts

ORDERS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("order", ORDERS)
def test_moments_of_parts_are_those_of_the_whole(dtype, order):
    """Against float64, with a mean a hundred times the deviation: a difference of sums would lose it."""
    torch.manual_seed(0)
    x = (torch.randn(1, 4, 60, 30) + 100 * torch.tensor([0, 1, -1, 0.5])[:, None, None]).to(dtype)
    x = x.contiguous(memory_format=order)
    moments = Moments()
    for top in range(0, 60, 7):
        moments.add(x[:, :, top:top + 7].contiguous(memory_format=order))
    variance, mean = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    assert torch.allclose(moments.mean, mean, rtol=1e-6, atol=1e-6)
    assert torch.allclose(moments.variance, variance, rtol=1e-4)
    assert all(one.dtype in (torch.float32, torch.float64) for one in channel_moments(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("order", ORDERS)
def test_rows_come_back_from_the_file_as_they_went(dtype, order):
    torch.manual_seed(0)
    x, file = torch.randn(2, 3, 9, 4).to(dtype).contiguous(memory_format=order), RowFile()
    for top, bottom in ((0, 4), (4, 5), (5, 9)):
        file.append(x[:, :, top:bottom].contiguous(memory_format=order))
    for top, bottom in ((0, 9), (2, 7), (8, 9)):
        found = file.read(top, bottom)
        assert torch.equal(found, x[:, :, top:bottom]) and found.dtype == dtype
        assert found.is_contiguous(memory_format=order)


def test_a_full_disk_is_one_line(monkeypatch):
    class Full:
        def seek(self, *place): ...

        def write(self, data):
            raise OSError(28, "No space left on device")
    monkeypatch.setattr("tempfile.TemporaryFile", lambda prefix: Full())
    with pytest.raises(RunError, match="no room in .* TMPDIR"):
        RowFile().append(torch.zeros(1, 1, 1, 1))
