"""Instance norm: its formula, and its gradient in every order of memory. (Batch norm is torch's own.)"""

import numpy as np
import pytest
import torch
from torch import nn

from models.networks.norm import NORMS, InstanceNorm, norm_layer
from tests.formula import noise, picture

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def by_hand(x: np.ndarray) -> np.ndarray:
    """(x - mean) / sqrt(variance + 1e-5), an image and a channel at a time (Ulyanov et al. 2016)."""
    mean, variance = x.mean(axis=(2, 3), keepdims=True), x.var(axis=(2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_is_the_formula(batch):
    x = picture(batch, 4, 5, 6)
    np.testing.assert_allclose(InstanceNorm(4)(x).numpy(), by_hand(x.numpy()), rtol=1e-9, atol=1e-12)


def test_learns_nothing_and_keeps_nothing():
    assert InstanceNorm(4).state_dict() == {}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("incoming", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 2])
def test_gradient_is_that_of_central_differences(batch, incoming, layout):
    """Convolutions may hand back gradients in channels-last order; torch's own layer fails at batch 1."""
    x = picture(batch, 4, 5, 6)
    outgoing = noise(x.numel(), 2).reshape(x.shape)
    leaf = x.clone(memory_format=layout).requires_grad_()
    InstanceNorm(4)(leaf).backward(outgoing.clone(memory_format=incoming))

    step = 1e-5
    for place in range(0, x.numel(), 37):
        nudge = torch.zeros(x.numel(), dtype=x.dtype)
        nudge[place] = step
        nudge = nudge.reshape(x.shape)
        change = by_hand((x + nudge).numpy()) - by_hand((x - nudge).numpy())
        difference = (outgoing.numpy() * change).sum() / (2 * step)
        assert leaf.grad.flatten()[place].item() == pytest.approx(difference, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_constant_channel_is_exactly_zero_and_its_gradient_is_the_formulas(batch, device, dtype, layout):
    """(g - mean of g) / sqrt(1e-5); the channels beside it are as ever."""
    x = picture(batch, 4, 18, 14).to(dtype)
    x[:, ::2] = torch.tensor([0.3, -7.7])[:, None, None]
    outgoing = noise(x.numel(), 2).reshape(x.shape).to(dtype)
    leaf = x.to(device).clone(memory_format=layout).requires_grad_()
    y = InstanceNorm(4)(leaf)
    y.backward(outgoing.to(device).clone(memory_format=layout))
    assert torch.count_nonzero(y[:, ::2]) == 0
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    beside = y[:, 1::2].detach().cpu().double().numpy()
    np.testing.assert_allclose(beside, by_hand(x.double().numpy())[:, 1::2], atol=3 * tolerance)
    g = outgoing.double()[:, ::2]
    expected = (g - g.mean((2, 3), keepdim=True)).numpy() / 1e-5 ** 0.5
    np.testing.assert_allclose(leaf.grad[:, ::2].cpu().double().numpy(), expected, rtol=tolerance,
                               atol=tolerance * np.abs(expected).max())


def test_names():
    assert isinstance(norm_layer("batch", 3), nn.BatchNorm2d)
    assert isinstance(norm_layer("none", 3), nn.Identity)
    assert isinstance(norm_layer("instance", 3), InstanceNorm) and len(NORMS) == 3
    with pytest.raises(ValueError, match="'layer'; choose one of instance, batch, none"):
        norm_layer("layer", 3)
