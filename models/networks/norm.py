"""Normalisation layers by name."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.layout import is_channels_last, to_channels_last
from models.networks.linear import LinearMap
from models.networks.precision import at_least_float32, own_dtype


class InstanceNorm(nn.Module):
    """Zero mean and unit variance for each picture and channel over its places (Ulyanov et al. 2016).

    Computed as a group norm with one channel a group, which is the same, or, in channels-last order on the
    CPU, as batch norms of one picture each: there a group norm's backward takes up to thirty times longer.
    torch's instance_norm is slower than both on the CPU, and its backward is wrong there for one picture
    whose gradient is channels-last (torch 2.15).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W]. Returns the same shape."""
        with own_dtype(x):
            if x.device.type == "cpu" and is_channels_last(x):
                return norm_of_one(x) if len(x) == 1 else torch.cat([norm_of_one(one) for one in x.split(1)])
            return F.group_norm(x, self.channels)


def norm_of_one(x: Tensor) -> Tensor:
    """Batch norm of a single picture [1, C, H, W] in channels-last order, its statistics in float32 at least.

    Its backward expects a gradient in the same order, and is wrong without a word for another (torch 2.15).
    """
    one = at_least_float32(x.new_ones(x.shape[1]))
    normed = F.batch_norm(x, None, None, one, torch.zeros_like(one), training=True, eps=1e-5)
    return LinearMap.apply(normed, Tensor.detach, to_channels_last)


NORMS = {
    "instance": InstanceNorm,
    "batch": nn.BatchNorm2d,
    "none": lambda channels: nn.Identity(),
}


def norm_layer(name: str, channels: int) -> nn.Module:
    """The layer of that name for [B, channels, H, W]. Raises ValueError for a name not in NORMS."""
    if name not in NORMS:
        raise ValueError(f"the norm is {name!r}; choose one of {', '.join(NORMS)}")
    return NORMS[name](channels)


def bias_with(name: str) -> bool:
    """Whether a convolution before this norm carries a bias, as in the published checkpoints."""
    return name == "instance"
