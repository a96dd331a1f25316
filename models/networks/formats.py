"""Number formats and memory order of feature maps: what autocast leaves alone, and channels-last."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

# ---- number formats


def own_dtype(x: Tensor) -> AbstractContextManager:
    """Within it, autocast changes no dtype on x's device.

    Autocast turns the input of norms, paddings and resizings into float32. That only moves more bytes: their
    kernels add up in float32 whatever comes in.
    """
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """x itself, or in float32 where it has fewer bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Tanh(nn.Tanh):
    """tanh in float32 at least: with bfloat16's 8 bits, neighbouring gray levels would become equal."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(at_least_float32(x))


# ---- memory order


def is_channels_last(x: Tensor) -> bool:
    """Whether x [B, C, H, W] is stored channels-last, and is not also contiguous.

    With one channel, or one pixel, the two orders are the same; then this is False.
    """
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def to_channels_last(x: Tensor) -> Tensor:
    """x, or a copy of it in channels-last order.

    The stride of a minibatch of one image means nothing, but torch tells the order by it too. It takes a
    tensor that came out of a view for one in no order at all, for which its kernels are far slower.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    channels, height, width = x.shape[1:]
    strides = (channels * height * width, 1, width * channels, channels)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)


def order_of(x: Tensor) -> torch.memory_format:
    """The memory format of x, as torch.empty takes it."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format
