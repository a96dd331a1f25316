"""Normalisation layers by name."""

import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.networks.base import NetworkError
from models.networks.resample import LinearMap
from models.precision import at_least_float32, is_channels_last, own_dtype, to_channels_last

EPSILON = 1e-5      # torch's own, added to the variance


class InstanceNorm(nn.Module):
    """Zero mean and unit variance of each channel of each image (Ulyanov et al. 2016).

    On the CPU computed as a group norm with one channel a group, which is the same; in channels-last order,
    where a group norm's backward is far slower, as batch norms of one image each. torch's instance_norm is
    slower than both, and its backward is wrong for one image whose gradient is channels-last (torch 2.15).
    On other devices always as batch norms: see `norm_on_gpu`. For torch.compile, which fuses it, the formula.

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
            if torch.compiler.is_compiling():
                return norm_to_compile(x)
            if x.device.type != "cpu":
                return norm_on_gpu(x)
            if is_channels_last(x):
                return norm_of_one(x) if len(x) == 1 else torch.cat([norm_of_one(one) for one in x.split(1)])
            batch, channels, height, width = x.shape
            normed, _, rstd = torch.native_group_norm(x, None, None, batch, channels, height * width,
                                                      channels, EPSILON)
            return without_remainder(normed, x, rstd)


def norm_on_gpu(x: Tensor) -> Tensor:
    """Instance norm of [B, C, H, W] as batch norms, whose statistics CUDA keeps in float32 at least.

    CUDA's group norm rounds mean and rstd to the format of x, and has no kernels for channels-last order: it
    turns every map. Batch norm has both. In the usual order the images' channels side by side are one image
    of B * C channels; in channels-last order the images go one by one.

    In training, a channel that is constant must become 0 to the last bit. Nothing here waits for the GPU to
    tell whether one is: the first pixel is taken off where the mean of equal numbers may be off by a bit.
    """
    if x.requires_grad and not adds_up_exactly(x):
        x = x - x[:, :, :1, :1].detach()
    if is_channels_last(x):
        return torch.cat([batch_norm_of_one(one)[0] for one in x.split(1)])
    batch, channels, height, width = x.shape
    together = x.reshape(1, batch * channels, height, width)
    return torch.native_batch_norm(together, None, None, None, None, True, 0.0, EPSILON)[0].view(x.shape)


def adds_up_exactly(x: Tensor) -> bool:
    """Whether batch norm on a GPU finds the mean of a constant channel of x without rounding.

    It merges the means of ever larger parts, (m a + n b) / (m + n). That is exact where m = n is a power of
    two, so for 2^k pixels in the usual order. In channels-last order it also merges parts of unequal size.
    """
    pixels = x.shape[2] * x.shape[3]
    return pixels & (pixels - 1) == 0 and not is_channels_last(x)


def norm_to_compile(x: Tensor) -> Tensor:
    """Instance norm of [B, C, H, W] in float32 at least, written so that every order of memory stays.

    Compiled, taking off the first pixel costs no pass.
    """
    wide = at_least_float32(x)
    wide = wide - wide[:, :, :1, :1].detach()
    variance, mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
    return ((wide - mean) * torch.rsqrt(variance + EPSILON)).to(x.dtype)


def norm_of_one(x: Tensor) -> Tensor:
    """`batch_norm_of_one`, but exactly 0 where a channel is constant in training."""
    normed, rstd = batch_norm_of_one(x)
    return without_remainder(normed, x, rstd)


def batch_norm_of_one(x: Tensor) -> tuple[Tensor, Tensor]:
    """Batch norm of a single image [1, C, H, W] in channels-last order, and rstd [C], float32 at least.

    Its backward expects a gradient in the same order; for another it is slower on a GPU, and on the CPU
    silently wrong (torch 2.15). A CPU keeps the statistics in the format of the weights, a GPU in float32.
    """
    one = at_least_float32(x.new_ones(x.shape[1])) if x.device.type == "cpu" else None
    zero = None if one is None else torch.zeros_like(one)
    normed, _, rstd = torch.native_batch_norm(x, one, zero, None, None, True, 0.0, EPSILON)
    return LinearMap.apply(normed, Tensor.detach, to_channels_last), rstd


def without_remainder(normed: Tensor, x: Tensor, rstd: Tensor) -> Tensor:
    """normed, the norm of x, but exactly 0 where a channel of x is constant; the gradient stays the norm's.

    rstd: 1 / sqrt(variance + epsilon) of the channels; a cheap test of whether a channel may be constant.
    """
    if not (x.requires_grad and (rstd > (2 * EPSILON) ** -0.5).any()):
        return normed
    constant = (x == x[:, :, :1, :1]).flatten(2).all(2)[:, :, None, None]
    return normed - normed.detach() * constant


class BatchNorm(nn.BatchNorm2d):
    """torch's, whose statistics in a training step are those of the whole minibatch on all ranks."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns the same shape."""
        if self.training and parts.count() > 1:
            return norm_over_ranks(self, x)
        return super().forward(x)


def norm_over_ranks(norm: nn.modules.batchnorm._BatchNorm, x: Tensor) -> Tensor:
    """A batch norm in training, of x [B, C, ...] on every rank, equally many on each; its own layer counts.

    Written as a formula, so that it can be differentiated twice (--gan_mode wgangp), and on every device:
    torch's SyncBatchNorm can neither be nor take tensors of a CPU, and is not a BatchNorm2d.
    """
    wide = at_least_float32(x)
    dims = [dim for dim in range(x.ndim) if dim != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = x.numel() // x.shape[1] * parts.count()
    mean = parts.summed(wide.sum(dims)) / count
    centred = wide - mean.view(shape)
    variance = parts.summed(centred.square().sum(dims)) / count
    normed = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        normed = normed * norm.weight.view(shape) + norm.bias.view(shape)
    if norm.track_running_stats:
        with torch.no_grad():
            norm.num_batches_tracked += 1
            norm.running_mean.lerp_(mean.detach(), norm.momentum)
            norm.running_var.lerp_(variance.detach() * count / (count - 1), norm.momentum)
    return normed.to(x.dtype)


class Dropout(nn.Dropout):
    """torch's, with a mask in a training step that is this part's of a mask for the whole minibatch."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, ...]. Returns the same shape."""
        if not self.training or parts.count() == 1:
            return super().forward(x)
        return x * parts.drawn(lambda images: super(Dropout, self).forward(x.new_ones(images, *x.shape[1:])),
                               len(x))


NORMS = {
    "instance": InstanceNorm,
    "batch": BatchNorm,
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
