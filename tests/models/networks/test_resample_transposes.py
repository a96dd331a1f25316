"""Padding and blurring against torch's own operators, values and derivatives."""

import pytest
import torch
import torch.nn.functional as F

from models.networks.resample import (
    ReflectPad,
    binomial_kernel,
    blur_down,
    depthwise,
    fold_on_cpu,
    fold_on_gpu,
    pad_by_copies,
    spread_on_cpu,
    spread_on_gpu,
)
from tests.operations import Operations

SIZES = [(2, 2), (3, 3), (4, 7), (7, 4), (8, 9)]


def image(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width),
                       dtype=torch.float64)


def plain_blur(x: torch.Tensor) -> torch.Tensor:
    kernel = binomial_kernel(3).to(x).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def blurred(x: torch.Tensor) -> torch.Tensor:
    return blur_down(x, binomial_kernel(3).to(x).expand(x.shape[1], 1, 3, 3))


def plain_pad(x: torch.Tensor, width: int) -> torch.Tensor:
    return F.pad(x, (width,) * 4, mode="reflect")


PAIRS = [(blurred, plain_blur, size) for size in SIZES]
PAIRS += [(ReflectPad(1), lambda x: plain_pad(x, 1), size) for size in SIZES]
PAIRS += [(ReflectPad(3), lambda x: plain_pad(x, 3), size) for size in [(4, 4), (7, 5), (16, 16)]]


@pytest.mark.parametrize("ours,plain,size", PAIRS)
def test_value_and_gradient_are_those_of_torch(ours, plain, size):
    x, y = image(*size).requires_grad_(), image(*size).requires_grad_()
    result, expected = ours(x), plain(y)
    assert torch.allclose(result, expected, rtol=0, atol=1e-14)
    weights = torch.randn(expected.shape, dtype=torch.float64)
    (result * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(x.grad, y.grad, rtol=0, atol=1e-14)


@pytest.mark.parametrize("function", [blurred, ReflectPad(1), ReflectPad(3)], ids=["blur", "pad1", "pad3"])
def test_second_derivatives(function):
    x = image(5, 6).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: function(x).square(), x)


@pytest.mark.parametrize("function", [blurred, ReflectPad(1)], ids=["blur", "pad"])
def test_bfloat16_stays_bfloat16_under_autocast(function):
    x = image(6, 6).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = function(x)
    y.float().square().sum().backward()
    assert y.dtype == x.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("function", [blurred, ReflectPad(1)], ids=["blur", "pad"])
def test_nothing_is_kept_for_backward(function):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda t: t):
        function(image(6, 6).requires_grad_())
    assert not kept


# ---- few launches: the paths of a GPU, on a CPU's tensors or on meta tensors, which have shapes alone

@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (6, 9), (16, 11)])
def test_edges_together_are_edges_one_by_one(size, width, channels_last):
    """To the last bit where a pixel gets one edge a dimension: then the sums have one order."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    x = image(*size).float().contiguous(memory_format=order)
    padded = pad_by_copies(x, width)
    assert torch.equal(padded, plain_pad(x, width)) and padded.is_contiguous(memory_format=order)
    y = torch.randn(padded.shape, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=order)
    by_hand = torch.zeros_like(x, dtype=torch.float64)
    places = plain_pad(torch.arange(x[0, 0].numel(), dtype=torch.float64).reshape(1, 1, *size), width)
    by_hand.flatten(2).scatter_add_(2, places.long().flatten().expand(2, 3, -1), y.double().flatten(2))
    together, single = fold_on_gpu(y, width), fold_on_cpu(y, width)
    assert width > 1 or torch.equal(together, single)
    for folded in (together, single):
        assert torch.allclose(folded.double(), by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (4, 7), (7, 4), (8, 9)])
def test_both_ways_to_spread(size):
    kernel = binomial_kernel(3).double().expand(3, 1, 3, 3)
    y = plain_blur(image(*size))
    ways = [spread(y, kernel, *size) for spread in (spread_on_cpu, spread_on_gpu)]
    assert torch.allclose(*ways, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("function", "launches"), [
    (lambda y: fold_on_gpu(y, 1), 3), (lambda y: fold_on_gpu(y, 3), 7),
    (lambda y: pad_by_copies(y, 1), 3), (lambda y: pad_by_copies(y, 3), 7)])
def test_launches(function, launches):
    y = torch.empty(2, 3, 20, 18, device="meta")
    with Operations() as found:
        function(y)
    assert len([name for name in found.names if not name.startswith("empty")]) == launches


@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, 1), (1, 1)])
def test_second_derivative_of_a_blur_takes_no_convolution_a_channel(stride, padding):
    """Of the mean squared gradient, as in R1; gradients as torch's own convolution has them."""
    def torchs(x, kernel, stride, padding):
        return F.conv2d(x, kernel.expand(12, 1, 4, 4), None, stride, padding, groups=12)

    kernel, gradients = binomial_kernel(4).double(), []
    x = torch.randn(2, 12, 8, 10, dtype=torch.float64, requires_grad=True)
    scale = torch.randn(1, 12, 1, 1, dtype=torch.float64, requires_grad=True)
    for blur in (depthwise, torchs):
        with Operations() as found:
            y = torch.tanh(blur(x * scale, kernel, stride, padding))
            slope, = torch.autograd.grad(y.square().sum(), x, create_graph=True)
            gradients.append(torch.autograd.grad(slope.square().sum(), (x, scale)))
        convolutions = [name for name in found.names if name.startswith("convolution")]
        assert (len(convolutions) <= 4) == (blur is depthwise)
    for ours, expected in zip(*gradients, strict=True):
        assert torch.allclose(ours, expected, rtol=1e-12, atol=1e-12)
