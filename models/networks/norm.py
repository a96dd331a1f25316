"""Normalisation layers by name."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.precision import own_dtype


class InstanceNorm(nn.Module):
    """Zero mean and unit variance for each picture and channel over its places (Ulyanov et al. 2016).

    Computed as a group norm with one channel a group, which is the same. torch's instance_norm is slower on
    the CPU, and its backward is wrong there for one picture whose gradient is channels-last (torch 2.15).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W]. Returns the same shape."""
        with own_dtype(x):
            return F.group_norm(x, self.channels)


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
