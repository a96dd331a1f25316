"""Padding, blurring, down- and upsampling of feature maps, shared by all networks.

They are linear maps: where the transpose (adjoint) is known, backward needs no saved tensor.

A blur is a depthwise convolution with a small binomial kernel. On the CPU, torch's grouped convolution is its
fastest form (measured against separable passes, shifted sums and pooling), above all in channels-last order;
reshaping every channel into an image of its own takes tens of times longer. Everything here can be
differentiated twice, which R1 needs.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.precision import order_of, own_dtype

Map = Callable[[Tensor], Tensor]


class LinearMap(torch.autograd.Function):
    """The linear map `forward_map`, with `transpose` as its backward; differentiable any number of times.

    torch's own padding and convolution keep their input for backward, which a linear map does not need: that
    is a tenth of CUT's memory at 256 pixels.
    """

    @staticmethod
    def forward(ctx, x: Tensor, forward_map: Map, transpose: Map) -> Tensor:
        ctx.maps = forward_map, transpose
        y = forward_map(x)
        # autograd would return x itself as a view, whose strides torch may no longer take for channels-last
        return y.detach() if y is x else y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        forward_map, transpose = ctx.maps
        return LinearMap.apply(gradient, transpose, forward_map), None, None


# ---- modules


class ReflectPad(nn.Module):
    """Reflection padding by `width` pixels, which must be less than the sides. The edge is not repeated."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, H + 2 width, W + 2 width]."""
        return LinearMap.apply(x, partial(reflect_pad, width=self.width), partial(_fold, width=self.width))


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


# ---- the maps


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


def reflect_pad(x: Tensor, width: int) -> Tensor:
    with own_dtype(x):
        return F.pad(x, (width,) * 4, mode="reflect")


def _fold(y: Tensor, width: int) -> Tensor:
    """The transpose of reflect_pad: every padded pixel is added to the pixel that it copies."""
    x = y[:, :, width:-width, width:-width].clone()
    for i in range(1, width + 1):
        x[..., i] += y[:, :, width:-width, width - i]
        x[..., -1 - i] += y[:, :, width:-width, i - 1 - width]
        x[:, :, i] += _fold_row(y[:, :, width - i], width)
        x[:, :, -1 - i] += _fold_row(y[:, :, i - 1 - width], width)
    return x


def _fold_row(y: Tensor, width: int) -> Tensor:
    """`_fold` of one row [B, C, W + 2 width], along it."""
    x = y[..., width:-width].clone()
    for i in range(1, width + 1):
        x[..., i] += y[..., width - i]
        x[..., -1 - i] += y[..., i - 1 - width]
    return x


def blur_down(x: Tensor, kernel: Tensor) -> Tensor:
    """Downsample by 2: reflect-pad 1, blur by [1,2,1] x [1,2,1] / 16, keep every second pixel.

    x: [B, C, H, W]. kernel: those weights, [C, 1, 3, 3]; the transpose has them built in.
    Returns [B, C, ceil(H / 2), ceil(W / 2)].
    """
    def down(x: Tensor) -> Tensor:
        with own_dtype(x):
            padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
            return F.conv2d(padded, kernel.to(x.dtype), stride=2, groups=x.shape[1])

    height, width = x.shape[2:]
    return LinearMap.apply(x, down, lambda y: _spread(_spread(y, 2, height), 3, width))


def _spread(y: Tensor, dim: int, size: int) -> Tensor:
    """The transpose of blur_down along one dimension, with `size` pixels there.

    Pixel 2 i of x has weight 1/2 in y_i; pixel 2 i + 1 has weight 1/4 in y_i and in y_{i + 1}. Reflection
    adds pixel 1 once more to y_0 and, where the size is odd, the last but one to the last y.
    """
    shape = list(y.shape)
    shape[dim] = size
    x = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=order_of(y))
    every_second = (slice(None),) * dim
    even, odd = x[(*every_second, slice(0, None, 2))], x[(*every_second, slice(1, None, 2))]
    torch.mul(y, 0.5, out=even)
    quarter = y * 0.25
    neighbours = min(odd.shape[dim], y.shape[dim] - 1)
    odd.copy_(quarter.narrow(dim, 0, odd.shape[dim]))
    odd.narrow(dim, 0, neighbours).add_(quarter.narrow(dim, 1, neighbours))
    odd.select(dim, 0).add_(quarter.select(dim, 0))
    if size % 2:
        odd.select(dim, -1).add_(quarter.select(dim, -1))
    return x
