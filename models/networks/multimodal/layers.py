"""Reflection-padded convolutions in blocks, and norms whose scale and shift are learnt, or the style."""

import torch
from torch import Tensor, nn

from models.networks.norm import EPSILON, InstanceNorm
from models.networks.resample import ReflectPad
from models.precision import at_least_float32, own_dtype


class ConvBlock(nn.Module):
    """Reflection padding, activation, convolution with a bias, norm.

    activation: the one behind the layer before, which is applied here: it commutes with padding (and with
    repeating pixels), and padded activations are then kept for backward only once.
    """

    def __init__(self, channels: int, out_channels: int, *, kernel: int, stride: int = 1, padding: int,
                 activation: nn.Module | None = None, norm: nn.Module | None = None):
        super().__init__()
        self.pad, self.activation = ReflectPad(padding), activation or nn.Identity()
        self.conv = nn.Conv2d(channels, out_channels, kernel, stride)
        self.norm = norm or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W]. Returns [B, out_channels, H', W']."""
        return self.norm(self.conv(self.activation(self.pad(x))))


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))) with instance norms: [B, C, H, W] -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.Sequential(
            ConvBlock(channels, channels, kernel=3, padding=1, norm=InstanceNorm(channels)),
            ConvBlock(channels, channels, kernel=3, padding=1, norm=InstanceNorm(channels),
                      activation=nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.model(x)


class AdaptiveResidualBlock(nn.Module):
    """A ResidualBlock whose two instance norms are followed by a scale and a shift for each image."""

    def __init__(self, channels: int):
        super().__init__()
        self.normalize = InstanceNorm(channels)
        self.model = nn.Sequential(ConvBlock(channels, channels, kernel=3, padding=1),
                                   ConvBlock(channels, channels, kernel=3, padding=1, activation=nn.ReLU()))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x: [B, C, H, W]. style: [B, 2, 2, C], for each of the two norms the shifts, then the scales."""
        y = x
        for block, (shift, scale) in zip(self.model, style.to(x.dtype).permute(1, 2, 0, 3), strict=True):
            # AdaIN: Huang and Belongie 2017
            y = torch.addcmul(shift[..., None, None], self.normalize(block(y)), scale[..., None, None])
        return x + y


class ImageNorm(nn.Module):
    """(x - mean) / (std + epsilon) over all channels and pixels of an image, then a scale and a shift.

    The layer norm of MUNIT's decoder: the std is the unbiased one, and epsilon is added to it, not to the
    variance. The scales, one a channel, begin in U(0, 1).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W]. Returns the same shape."""
        with own_dtype(x):
            wide = at_least_float32(x)
            std, mean = torch.std_mean(wide, (1, 2, 3), keepdim=True)
            scale = self.gamma[:, None, None] / (std + EPSILON)
            return torch.addcmul(self.beta[:, None, None] - mean * scale, wide, scale).to(x.dtype)
