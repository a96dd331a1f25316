"""Sampling against hand-computed images, the published formulas written out, and numerical derivatives."""

import pytest
import torch
import torch.nn.functional as F

from models.networks.resample import Blur, BlurDownsample, BlurUpsample, binomial_kernel, depthwise


def test_kernels_are_those_published():
    three, four = torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 3, 3, 1])
    assert torch.equal(binomial_kernel(3), three[:, None] * three / 16)
    assert torch.equal(binomial_kernel(4), four[:, None] * four / 64)
    assert torch.equal(BlurDownsample(5).filt, (three[:, None] * three / 16).expand(5, 1, 3, 3))
    assert torch.equal(BlurUpsample(5).filt, (four[:, None] * four / 16).expand(5, 1, 4, 4))
    assert torch.equal(Blur(1, gain=4).kernel, four[:, None] * four / 16)


def test_downsample_of_a_point_by_hand():
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 1, 1] = 16.0
    # Centres of the taps: rows and columns 0 and 2. The point is 1 away from both; at row 0 the reflected
    # row -1 shows row 1 again, so it counts there twice.
    assert BlurDownsample(1)(image).squeeze().tolist() == [[4.0, 2.0], [2.0, 1.0]]


@pytest.mark.parametrize("height,width", [(2, 2), (5, 8), (7, 7)])
def test_downsample_sizes_and_constant(height, width):
    result = BlurDownsample(3)(torch.full((2, 3, height, width), 0.5))
    assert torch.allclose(result, torch.full((2, 3, (height + 1) // 2, (width + 1) // 2), 0.5))


@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_upsample_is_the_published_transposed_convolution(size):
    up = BlurUpsample(3)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = F.conv_transpose2d(padded, up.filt, stride=2, padding=3, groups=3)
    assert expected.shape[2:] == (2 * size[0], 2 * size[1])
    assert torch.allclose(up(x), expected, atol=1e-6)


def test_upsample_of_two_places_by_hand():
    assert BlurUpsample(1)(torch.tensor([[[[0.0, 4.0]]]]))[0, 0].tolist() == [[0.0, 1.0, 3.0, 4.0]] * 2


def test_blur_by_loops_in_float64():
    x = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blur = Blur(padding=2).double()
    padded = F.pad(x, (2, 2, 2, 2))
    weights = [1, 3, 3, 1]
    expected = torch.zeros(1, 2, 6, 7, dtype=torch.float64)
    for row in range(6):
        for column in range(7):
            for i in range(4):
                for j in range(4):
                    weight = weights[i] * weights[j] / 64
                    expected[..., row, column] += padded[..., row + i, column + j] * weight
    assert torch.allclose(blur(x), expected, rtol=0, atol=1e-12)


def test_strided_blur_is_every_second_place():
    x = torch.randn(2, 3, 8, 6)
    assert torch.allclose(Blur(1, stride=2)(x), Blur(1)(x)[..., ::2, ::2], atol=1e-6)


def test_channels_do_not_mix():
    x = torch.zeros(1, 3, 4, 4)
    x[:, 1] = 1
    assert depthwise(x, binomial_kernel(3))[:, [0, 2]].abs().max() == 0


@pytest.mark.parametrize("module", [BlurDownsample(2), BlurUpsample(2), Blur(2), Blur(1, stride=2)],
                         ids=["down", "up", "blur", "strided"])
def test_first_and_second_derivatives(module):
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    module = module.double()
    assert torch.autograd.gradcheck(module, x)
    assert torch.autograd.gradgradcheck(module, x)
