"""Normalisation layers by name."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.base import NetworkError
from models.networks.resample import LinearMap
from models.precision import at_least_float32, is_channels_last, own_dtype, to_channels_last

EPSILON = 1e-5      # torch's own, added to the variance


class InstanceNorm(nn.Module):
    """Zero mean and unit variance of each channel of each image (Ulyanov et al. 2016).

    Computed as a group norm with one channel a group, which is the same. In channels-last order on the CPU,
    where a group norm's backward is far slower, computed as batch norms of one image each. torch's
    instance_norm is slower than both on the CPU, and its backward is wrong there for one image whose gradient
    is channels-last (torch 2.15).

    In training, a constant channel becomes exactly 0, so that a ReLU after it stops its gradient. Rounding
    would leave values near 1e-5, and in bfloat16 the channel would stay constant from layer to layer: every
    norm would multiply its gradient by 1 / sqrt(epsilon) = 316, and images of one colour would end in NaN.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W]. Returns the same shape."""
        with own_dtype(x):
            if x.device.type != "cpu":      # do not wait for a GPU to tell what is constant
                return F.group_norm(x - x[:, :, :1, :1].detach() if x.requires_grad else x, self.channels)
            if is_channels_last(x):
                return norm_of_one(x) if len(x) == 1 else torch.cat([norm_of_one(one) for one in x.split(1)])
            batch, channels, height, width = x.shape
            normed, _, rstd = torch.native_group_norm(x, None, None, batch, channels, height * width,
                                                      channels, EPSILON)
            return without_remainder(normed, x, rstd)


def norm_of_one(x: Tensor) -> Tensor:
    """Batch norm of a single image [1, C, H, W] in channels-last order, its statistics in float32 at least.

    Its backward expects a gradient in the same order; for another it is silently wrong (torch 2.15).
    """
    one = at_least_float32(x.new_ones(x.shape[1]))
    normed, _, rstd = torch.native_batch_norm(x, one, torch.zeros_like(one), None, None, True, 0.0, EPSILON)
    return without_remainder(LinearMap.apply(normed, Tensor.detach, to_channels_last), x, rstd)


def without_remainder(normed: Tensor, x: Tensor, rstd: Tensor) -> Tensor:
    """normed, the norm of x, but exactly 0 where a channel of x is constant; the gradient stays the norm's.

    rstd: 1 / sqrt(variance + epsilon) of the channels; a cheap test of whether a channel may be constant.
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
    """The layer of that name for [B, channels, H, W]. Raises NetworkError for a name not in NORMS."""
    if name not in NORMS:
        raise NetworkError(f"the norm is {name!r}; choose one of {', '.join(NORMS)}")
    return NORMS[name](channels)


def bias_with(name: str) -> bool:
    """Whether a convolution before this norm carries a bias, as in the published checkpoints."""
    return name == "instance"
