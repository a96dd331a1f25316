"""StyleGAN2's building blocks (Karras et al. 2020): weights scaled at run time, biased leaky ReLUs, blurs.

Every weight is drawn from N(0, 1) and multiplied by 1 / sqrt(fan_in) where it is used ("equalised learning
rate"), so that Adam moves all layers at one pace. Parameter names are those of the published checkpoints.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import models.networks.parts as parts
from models.networks.resample import Blur

SLOPE = 0.2
GAIN = math.sqrt(2)  # keeps the variance through a leaky ReLU


class BiasedLeakyReLU(nn.Module):
    """leaky_relu(x + bias, 0.2) * sqrt(2), one bias a channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias.to(x.dtype), SLOPE) * GAIN


class EqualConv2d(nn.Module):
    """Convolution without bias; weight / sqrt(fan_in)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1,
                 padding: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class EqualLinear(nn.Module):
    """weight x / sqrt(in_features) + bias, with `activate` through the leaky ReLU of BiasedLeakyReLU."""

    def __init__(self, in_features: int, out_features: int, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = 1 / math.sqrt(in_features)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.scale, self.bias)
        return F.leaky_relu(x, SLOPE) * GAIN if self.activate else x


class ConvLayer(nn.Sequential):
    """[blur,] convolution [, activation]: [B, C, H, W] -> [B, C', H, W], downsampling to H/2 x W/2.

    Downsampling takes even sides. A downsampling 1x1 convolution uses every second pixel only, so its blur
    computes no others.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, downsample: bool = False,
                 activate: bool = True):
        if not downsample:
            layers = [EqualConv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)]
        elif kernel_size == 1:
            layers = [Blur(padding=1, stride=2), EqualConv2d(in_channels, out_channels, 1)]
        else:
            layers = [Blur(padding=2), EqualConv2d(in_channels, out_channels, kernel_size, stride=2)]
        super().__init__(*layers, *([BiasedLeakyReLU(out_channels)] if activate else []))


class ResidualBlock(nn.Module):
    """(conv3(conv3(x)) + skip(x)) / sqrt(2); the skip is a bare 1x1 convolution where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, *, downsample: bool = False):
        super().__init__()
        self.conv1 = ConvLayer(in_channels, in_channels, 3)
        self.conv2 = ConvLayer(in_channels, out_channels, 3, downsample=downsample)
        changes = downsample or in_channels != out_channels
        self.skip = (ConvLayer(in_channels, out_channels, 1, downsample=downsample, activate=False)
                     if changes else nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


class UpsamplingConv(nn.Module):
    """Upsampling by 2: transposed conv3 with demodulated weights (each filter of unit length), then a blur.

    StyleGAN2's modulated convolution where every style is 1: one weight serves the whole minibatch.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, 3, 3))
        self.scale = 1 / math.sqrt(in_channels * 9)
        self.blur = Blur(padding=1, gain=4)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C', 2H, 2W]."""
        weight = self.weight[0] * self.scale
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        return self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))


class NoiseInjection(nn.Module):
    """x + weight * N(0, 1), drawn once a pixel on x's device; x itself if not `enabled`."""

    def __init__(self, enabled: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.enabled = enabled

    def forward(self, x: Tensor) -> Tensor:
        if not self.enabled:
            return x
        return x + self.weight.to(x.dtype) * parts.normal(len(x), 1, *x.shape[2:], like=x)


class UpsamplingLayer(nn.Module):
    """Upsampling convolution, noise, activation: [B, C, H, W] -> [B, C', 2H, 2W]."""

    def __init__(self, in_channels: int, out_channels: int, *, noise: bool = True):
        super().__init__()
        self.conv = UpsamplingConv(in_channels, out_channels)
        self.noise = NoiseInjection(noise)
        self.activate = BiasedLeakyReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.noise(self.conv(x)))
