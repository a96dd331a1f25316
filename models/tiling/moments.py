"""Mean and variance of the channels of a large map, of which a part is there at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.norm import EPSILON, InstanceNorm
from models.precision import is_channels_last, own_dtype


class Moments:
    """Mean and variance of each channel, gathered part by part in float64.

    Parts are joined by the formula of Chan, Golub and LeVeque (1979), which never takes the difference of two
    large sums. count: numbers of a channel so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._squares = torch.zeros(())    # squares: the sum of (x - mean)^2

    def add(self, x: Tensor) -> None:
        """x: [B, C, H, W]; the images of a minibatch count as one."""
        mean, variance = (one.double().cpu() for one in channel_moments(x))
        count = x.numel() // x.shape[1]
        total = self.count + count
        away = mean - self._mean
        self._squares = self._squares + variance * count + away.square() * (self.count * count / total)
        self._mean = self._mean + away * (count / total)
        self.count = total

    @property
    def mean(self) -> Tensor:
        """[C], float64."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """[C], float64, of the population."""
        return self._squares / self.count


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [C], float32, of the channels of x [B, C, H, W]; the fastest way that is exact.

    On a CPU, torch's var_mean takes half as long as the convolution before it.
    """
    if x.device.type == "cpu" and x.dtype != torch.float64:
        with own_dtype(x):
            if x.dtype == torch.float32 and not is_channels_last(x):
                mean = x.mean((0, 2, 3))
                norm = torch.linalg.vector_norm(x - mean[:, None, None], dim=(0, 2, 3))
                return mean, norm.square() / (x.numel() // x.shape[1])
            one, zero = torch.ones(x.shape[1]), torch.zeros(x.shape[1])     # keep the statistics in float32
            _, mean, rstd = torch.native_batch_norm(x, one, zero, None, None, True, 0.0, TINY)
            return mean, rstd.double().pow(-2).sub(TINY).clamp(min=0).float()
    variance, mean = torch.var_mean(x if x.dtype == torch.float64 else x.float(), (0, 2, 3), correction=0)
    return mean, variance


TINY = 1e-12    # keeps 1 / sqrt(variance) finite


def normalised(norm: InstanceNorm | nn.BatchNorm2d, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """What the norm makes of x [B, C, H, W] with this mean and variance [C] in place of those of x."""
    instance = isinstance(norm, InstanceNorm)
    epsilon, weight, bias = (EPSILON, None, None) if instance else (norm.eps, norm.weight, norm.bias)
    wide = torch.promote_types(x.dtype, torch.float32)
    mean, variance = (one.to(x.device, wide) for one in (mean, variance))
    with own_dtype(x):
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=epsilon)


def is_norm_of_the_image(layer: nn.Module) -> bool:
    """Whether the layer takes mean and variance from the images that pass through."""
    return isinstance(layer, InstanceNorm) or isinstance(layer, nn.BatchNorm2d) and layer.training
