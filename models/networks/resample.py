"""Blurring, downsampling and upsampling of feature maps, shared by all networks.

A blur is a depthwise convolution with a small binomial kernel. On the CPU, torch's grouped convolution is its
fastest form (measured against separable passes, shifted sums and pooling), above all in channels-last order;
reshaping every channel into an image of its own takes tens of times longer. Everything here can be
differentiated twice, which R1 needs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.adjoint import blur_down
from models.networks.formats import own_dtype


def binomial_kernel(taps: int) -> Tensor:
    """[taps, taps]: the outer product of a row of Pascal's triangle with itself, summing to 1."""
    row = torch.ones(1)
    for _ in range(taps - 1):
        row = F.pad(row, (0, 1)) + F.pad(row, (1, 0))
    return torch.outer(row, row) / row.sum() ** 2


def depthwise(x: Tensor, kernel: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Correlate each channel of x [B, C, H, W] with `kernel` [k, k] or [C, 1, k, k]; zeros outside."""
    channels = x.shape[1]
    weight = kernel.expand(channels, 1, -1, -1)
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=channels)


class BlurDownsample(nn.Module):
    """Downsampling by 2: reflect-pad 1, blur by [1,2,1] x [1,2,1] / 16, every second pixel (Zhang 2019).

    Both sides of the input must be at least 2.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", binomial_kernel(3).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, ceil(H/2), ceil(W/2)]."""
        return blur_down(x, self.filt)


class BlurUpsample(nn.Module):
    """Upsampling by 2: zeros between the pixels, then a blur by [1,3,3,1] x [1,3,3,1] / 16, edges replicated.

    That is bilinear interpolation, and computed as such. `filt` is not used, but stands in the published
    checkpoints.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", 4 * binomial_kernel(4).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, 2H, 2W]."""
        with own_dtype(x):
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Blur(nn.Module):
    """StyleGAN2's low-pass filter: [1,3,3,1] x [1,3,3,1] / 64 times `gain`, `padding` zeros a side.

    `stride` 2 leaves out every second pixel of the result without computing it. Size: H + 2 padding - 3, over
    `stride`, rounded up. Karras et al. 2020.
    """

    def __init__(self, padding: int, stride: int = 1, gain: float = 1.0):
        super().__init__()
        self.padding, self.stride = padding, stride
        self.register_buffer("kernel", gain * binomial_kernel(4))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, H', W']."""
        return depthwise(x, self.kernel, self.stride, self.padding)
