"""Normalisation layers by name."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.adjoint import LinearMap
from models.networks.dtype import at_least_float32, own_dtype
from models.networks.memory_format import is_channels_last, to_channels_last

EPSILON = 1e-5      # torch's own, added to the variance


class InstanceNorm(nn.Module):
    """Zero mean and unit variance for each image and channel over its places (Ulyanov et al. 2016).

    Computed as a group norm with one channel a group, which is the same, or, in channels-last order on the
    CPU, as batch norms of one image each: there a group norm's backward is far slower.
    torch's instance_norm is slower than both on the CPU, and its backward is wrong there for one image
    whose gradient is channels-last (torch 2.15).

    While it learns, a constant channel becomes 0 without a remainder, so that a ReLU behind stops its
    gradient. Rounding may leave 1e-5 of either sign everywhere, and in bfloat16 the channel so stays constant
    from layer to layer: every norm then multiplies the gradient by 1 / sqrt(epsilon) = 316, and images of
    a single colour end in NaN.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W]. Returns the same shape."""
        with own_dtype(x):
            if x.device.type != "cpu":      # nothing shall wait for it to tell what is constant
                return F.group_norm(x - x[:, :, :1, :1].detach() if x.requires_grad else x, self.channels)
            if is_channels_last(x):
                return norm_of_one(x) if len(x) == 1 else torch.cat([norm_of_one(one) for one in x.split(1)])
            batch, channels, height, width = x.shape
            normed, _, rstd = torch.native_group_norm(x, None, None, batch, channels, height * width,
                                                      channels, EPSILON)
            return without_remainder(normed, x, rstd)


def norm_of_one(x: Tensor) -> Tensor:
    """Batch norm of a single image [1, C, H, W] in channels-last order, its statistics in float32 at least.

    Its backward expects a gradient in the same order, and is wrong without a word for another (torch 2.15).
    """
    one = at_least_float32(x.new_ones(x.shape[1]))
    normed, _, rstd = torch.native_batch_norm(x, one, torch.zeros_like(one), None, None, True, 0.0, EPSILON)
    return without_remainder(LinearMap.apply(normed, Tensor.detach, to_channels_last), x, rstd)


def without_remainder(normed: Tensor, x: Tensor, rstd: Tensor) -> Tensor:
    """normed, the norm of x, but exactly 0 where a channel of x is constant; the gradient is the formula's.

    rstd: 1 / sqrt(variance + epsilon) of the channels, which tells at no cost whether to look any closer.
    """
    if not (x.requires_grad and (rstd > (2 * EPSILON) ** -0.5).any()):
        return normed
    constant = (x == x[:, :, :1, :1]).flatten(2).all(2)[:, :, None, None]
    return normed - normed.detach() * constant


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
