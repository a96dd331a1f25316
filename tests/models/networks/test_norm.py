"""Instance norm: its formula, and its gradient in every order of memory. (Batch norm is torch's own.)"""

import numpy as np
import pytest
import torch
from torch import nn

from models.networks.norm import (
    NORMS,
    InstanceNorm,
    adds_up_exactly,
    norm_layer,
    norm_on_gpu,
    norm_to_compile,
)
from tests.formula import noise, picture
from tests.operations import Operations

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
@pytest.mark.parametrize("size", [(18, 14), (32, 16)])
def test_a_constant_channel_is_exactly_zero_and_its_gradient_is_the_formulas(size, batch, device, dtype,
                                                                             layout):
    """(g - mean of g) / sqrt(1e-5); the channels beside it are as ever."""
    x = picture(batch, 4, *size).to(dtype)
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


# ---- what runs on a GPU, on a CPU's tensors or on meta tensors, which have shapes alone

def on_every_path(function):
    function = pytest.mark.parametrize("norm", [norm_on_gpu, norm_to_compile])(function)
    function = pytest.mark.parametrize("layout", LAYOUTS)(function)
    return pytest.mark.parametrize("size", [(8, 4), (5, 6), (1, 1)])(function)    # 2^5 pixels, 30, 1


@on_every_path
@pytest.mark.parametrize("batch", [1, 3])
def test_every_path_is_the_formula_with_its_gradient(batch, size, layout, norm):
    x = (picture(batch, 4, *size) + 3).clone(memory_format=layout)
    np.testing.assert_allclose(norm(x).numpy(), by_hand(x.numpy()), rtol=1e-9, atol=1e-11)
    assert torch.autograd.gradcheck(norm, x.requires_grad_())
    assert norm(x).is_contiguous(memory_format=layout)


@pytest.mark.parametrize("norm", [norm_on_gpu, norm_to_compile])
def test_every_path_has_second_derivatives(norm):
    x = picture(2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: norm(x).square(), x)


@on_every_path
def test_every_path_makes_constant_channels_zero(size, layout, norm):
    """Where nothing is taken off first, a GPU's batch norm must do it: see the test on a GPU, and below."""
    x = picture(2, 4, *size).float()
    x[:, ::2] = torch.tensor([0.3, -7.7])[:, None, None]
    if norm is norm_on_gpu and adds_up_exactly(x.clone(memory_format=layout)):
        return
    y = norm(x.clone(memory_format=layout).requires_grad_())
    assert torch.count_nonzero(y[:, ::2]) == 0
    np.testing.assert_allclose(y.detach().numpy(), by_hand(x.double().numpy()), atol=1e-4)


@pytest.mark.parametrize("norm", [norm_on_gpu, norm_to_compile])
def test_translation_keeps_digits_far_from_zero(norm):
    """Without gradients nothing is taken off; statistics in float32 do not need it."""
    x = (1000 + picture(1, 4, 32, 32)).float()
    np.testing.assert_allclose(norm(x).numpy(), by_hand(x.double().numpy()), atol=2e-3)


def mean_by_merging(values: np.ndarray, threads: int) -> np.float32:
    """The mean as CUDA's batch norm finds it: Welford's a thread, then pairs, (m a + n b) / (m + n)."""
    parts = []
    for thread in range(threads):
        mean = np.float32(0)
        for n, value in enumerate(values[thread::threads], 1):
            mean += (value - mean) / np.float32(n)
        parts.append((len(values[thread::threads]), mean))
    while len(parts) > 1:
        parts = [(m + n, (np.float32(m) * a + np.float32(n) * b) * np.float32(1 / max(1, m + n)))
                 for (m, a), (n, b) in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0][1]


def test_when_equal_numbers_add_up_exactly():
    for pixels, exact in ((16, True), (256, True), (4096, True), (252, False), (961, False)):
        assert adds_up_exactly(torch.empty(1, 3, pixels, 1, device="meta")) == exact
        constants = noise(50).float().numpy()
        found = [mean_by_merging(np.full(pixels, c, np.float32), 32) == c for c in constants]
        assert all(found) == exact
    assert not adds_up_exactly(torch.empty(1, 3, 4, 4, device="meta", memory_format=torch.channels_last))


@pytest.mark.parametrize(("side", "layout", "batch", "launches"), [
    (16, torch.contiguous_format, 2, 2), (15, torch.contiguous_format, 2, 3),
    (16, torch.channels_last, 1, 4), (16, torch.channels_last, 2, 7)])
def test_launches_on_a_gpu(side, layout, batch, launches):
    """Forward and backward in bfloat16; no map is turned into the other order, and no group norm is asked."""
    with Operations() as found:
        x = torch.empty(batch, 8, side, side, device="meta", dtype=torch.bfloat16, memory_format=layout)
        y = norm_on_gpu(x.requires_grad_())
        dx, = torch.autograd.grad(y, x, torch.empty_like(y))
    assert "native_group_norm" not in found.names
    assert len([name for name in found.names if not name.startswith(("empty", "cat"))]) <= launches
    assert y.is_contiguous(memory_format=layout) and dx.is_contiguous(memory_format=layout)
