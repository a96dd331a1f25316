"""Padding and blurring against torch's own operators, values and derivatives."""

import pytest
import torch
import torch.nn.functional as F

from models.networks.resample import ReflectPad, binomial_kernel, blur_down

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
