"""The order of feature maps in memory."""

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a place lie side by side, [B, C, H, W]. One channel, or place, has no order."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def to_channels_last(x: Tensor) -> Tensor:
    """x, or a copy in that order.

    The stride of a minibatch of one image means nothing, but torch tells the order by it too, and takes a
    tensor that came out of a view for one in no order at all, for which its kernels are far slower.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    channels, height, width = x.shape[1:]
    strides = (channels * height * width, 1, width * channels, channels)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)


def order_of(x: Tensor) -> torch.memory_format:
    """For torch.empty and its like."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format
