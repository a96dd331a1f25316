"""Padding and blurring as linear maps that know their transposes, so that backward needs no saved tensor."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.dtype import own_dtype
from models.networks.memory_format import order_of

Map = Callable[[Tensor], Tensor]


class LinearMap(torch.autograd.Function):
    """`forward_map(x)`, whose derivative is `transpose`; differentiable any number of times.

    torch's own padding and convolution keep their input for backward, which neither map here looks at: in a
    CUT at 256 pixels that is a tenth of all memory.
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
    """`width` more places a side, reflected without repeating the edge; sides must be longer than that."""

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
    """The transpose of reflect_pad: every padded place is added to the place it shows."""
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
    """Reflect-pad 1, [1,2,1] x [1,2,1] / 16, every second place: [B, C, H, W] -> half the size, rounded up.

    kernel: those weights, [C, 1, 3, 3]; the transpose has them built in.
    """
    def down(x: Tensor) -> Tensor:
        with own_dtype(x):
            padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
            return F.conv2d(padded, kernel.to(x.dtype), stride=2, groups=x.shape[1])

    height, width = x.shape[2:]
    return LinearMap.apply(x, down, lambda y: _spread(_spread(y, 2, height), 3, width))


def _spread(y: Tensor, dim: int, size: int) -> Tensor:
    """The transpose of blur_down along one dimension, to `size` places there.

    Place 2 i of x counted half in y_i; place 2 i + 1 a quarter in y_i and y_{i + 1}. Reflection counted
    place 1 once more in y_0 and, where the size is odd, the last but one in the last y.
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
