"""Weights that are cast together: the numbers of autocast's own casts, in fewer operations."""

import copy

import pytest
import torch
from torch import nn

from models import create_model
from models.execution.cast_weights import CastTogether, cast_together
from models.networks.patch_sampler import PatchSampler
from models.networks.patchgan import PatchDiscriminator
from models.networks.resnet import ResnetGenerator
from models.networks.spectral_norm import normalize_spectrally
from options.train_options import TrainOptions
from tests.operations import Operations

BF16 = torch.bfloat16


def resnet() -> ResnetGenerator:
    return ResnetGenerator(in_channels=3, out_channels=3, width=4, blocks=1)


def gradients(net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], list[str]]:
    """Output and gradients of two passes, and the operations that they took."""
    with Operations() as found:
        with torch.autocast("cpu", BF16, cache_enabled=False):
            y = net(x) + net(x.flip(3))
        y.square().mean().backward()
    return y, [p.grad for p in net.parameters()], found.names


@pytest.mark.parametrize("build", [
    resnet, lambda: PatchDiscriminator(in_channels=3, width=4), lambda: normalized(width=4)])
def test_output_and_gradients_are_autocasts_own(build):
    torch.manual_seed(0)
    plain, x = build(), torch.rand(1, 3, 32, 32)
    cast = copy.deepcopy(plain)
    cast_together(cast)
    y, wanted, many = gradients(plain, x)
    z, found, few = gradients(cast, x)
    assert torch.equal(y, z)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert few.count("_to_copy") < many.count("_to_copy") / 2
    assert list(plain.state_dict()) == list(cast.state_dict())
    assert all(p.dtype == torch.float32 and isinstance(p, nn.Parameter) for p in cast.parameters())


def normalized(**sizes: int) -> nn.Module:
    """A discriminator whose weights are computed, so that only its biases and blurs are cast together."""
    net = PatchDiscriminator(in_channels=3, **sizes)
    normalize_spectrally(net)
    return net


def test_without_autocast_and_after_an_error_weights_are_themselves():
    net = resnet()
    cast_together(net)
    before = list(net.parameters())
    assert net(torch.rand(1, 3, 16, 16)).dtype == torch.float32
    with torch.autocast("cpu", BF16), pytest.raises(RuntimeError):
        net(torch.rand(1, 5, 16, 16))       # of five channels
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))


def test_a_copy_casts_its_own_weights():
    net = resnet()
    cast_together(net)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    with torch.autocast("cpu", BF16):
        x = torch.rand(1, 3, 16, 16)
        assert not other(x).any() and net(x).any()


def test_a_subclass_and_other_networks_are_left_alone():
    """They may compute a part in float32, whose weights must be so, too."""
    class WithPart(PatchDiscriminator):
        pass

    for net in (WithPart(in_channels=3, width=4), nn.Conv2d(3, 3, 1)):
        cast_together(net)
        assert "forward" not in vars(net)


def test_gradients_arrive_where_they_are_wanted_alone():
    learns, frozen, unused = (torch.rand(3, requires_grad=needed) for needed in (True, False, True))
    a, b, c = CastTogether.apply(learns, frozen, unused, BF16)
    assert a.dtype == b.dtype == c.dtype == BF16 and a.requires_grad and not b.requires_grad
    (a * b * a).sum().backward()
    assert torch.allclose(learns.grad, (2 * a * b).float(), rtol=0.02) and learns.grad.dtype == torch.float32
    assert frozen.grad is unused.grad is None


def test_differentiable_twice():
    """The second derivative of x^3 is 6 x, which bfloat16 has to 8 bits."""
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    y, = CastTogether.apply(x, BF16)
    slope, = torch.autograd.grad((y ** 3).sum(), x, create_graph=True)
    curve, = torch.autograd.grad(slope.sum(), x)
    assert torch.allclose(curve, 6 * x.detach(), rtol=0.01)


@pytest.mark.parametrize("precision, cast", [("bf16", True), ("fp32", False)])
def test_a_models_networks_cast_together_in_16_bits(precision, cast):
    flags = f"--dataroot x --gpu_ids -1 --ngf 4 --ndf 4 --netG resnet_4blocks --precision {precision}"
    model = create_model(TrainOptions().parse(flags.split()))
    assert isinstance(model.netF, PatchSampler)
    assert all(("forward" in vars(net) or "encode" in vars(net)) == cast for net in model.networks.values())
