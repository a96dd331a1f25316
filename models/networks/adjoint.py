"""Padding and blurring as linear maps with their transposes (adjoints): backward saves no tensor."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.formats import order_of, own_dtype

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


class ReflectPad(nn.Module):
    """Reflection padding by `width` pixels, which must be less than the sides. The edge is not repeated."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, H + 2 width, W + 2 width]."""
        return LinearMap.apply(x, partial(reflect_pad, width=self.width), partial(_fold, width=self.width))


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
