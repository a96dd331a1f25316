"""The ResNet generator of Johnson et al. 2016, with the anti-aliased sampling of Zhang 2019."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.networks.base import SequentialGenerator
from models.networks.norm import Dropout, bias_with, norm_layer
from models.networks.resample import BlurDownsample, BlurUpsample, ReflectPad
from models.precision import Tanh


class ResidualBlock(nn.Module):
    """x + conv(relu(norm(conv(x)))), reflect-padded: [B, C, H, W] -> the same."""

    def __init__(self, channels: int, *, norm: str, dropout: bool):
        super().__init__()

        def normed_conv() -> list[nn.Module]:
            return [nn.Conv2d(channels, channels, 3, bias=bias_with(norm)), norm_layer(norm, channels)]

        # ReLU and padding commute. After the padding, ReLU and convolution keep the same tensor for backward.
        between = [nn.ReLU(), Dropout(0.5), ReflectPad(1)] if dropout else [ReflectPad(1), nn.ReLU()]
        self.conv_block = nn.Sequential(ReflectPad(1), *normed_conv(), *between, *normed_conv())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResnetGenerator(SequentialGenerator):
    """conv7, two downsamplings by 2, `blocks` residual blocks, two upsamplings by 2, conv7, tanh.

    Layers are numbered by their place in `model`, as in the published checkpoints. ReLUs are not in place,
    so that every layer can be tapped.
    """

    size_multiple = 4
    smallest_side = 8    # a quarter of it is padded by reflection

    def __init__(self, *, in_channels: int, out_channels: int, width: int, blocks: int,
                 norm: str = "instance", dropout: bool = False, antialias: bool = True,
                 antialias_up: bool = True):
        super().__init__()
        self.draws_random = dropout
        bias = bias_with(norm)

        def normed(channels: int) -> list[nn.Module]:
            return [norm_layer(norm, channels), nn.ReLU()]

        layers = [ReflectPad(3), nn.Conv2d(in_channels, width, 7, bias=bias), *normed(width)]
        for channels in (width, 2 * width):
            stride = 1 if antialias else 2
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=stride, padding=1, bias=bias),
                       *normed(2 * channels)]
            if antialias:
                layers.append(BlurDownsample(2 * channels))
        layers += [ResidualBlock(4 * width, norm=norm, dropout=dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            if antialias_up:
                layers += [BlurUpsample(channels),
                           nn.Conv2d(channels, channels // 2, 3, padding=1, bias=bias)]
            else:
                layers.append(nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1,
                                                 output_padding=1, bias=bias))
            layers += normed(channels // 2)
        layers += [ReflectPad(3), nn.Conv2d(width, out_channels, 7), Tanh()]
        self.model = nn.Sequential(*layers)

    def stages(self) -> Sequence[nn.Module]:
        return list(self.model)
