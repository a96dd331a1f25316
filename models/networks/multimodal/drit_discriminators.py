"""DRIT's discriminators: of images, at one scale or several, and of content."""

from typing import Any

from torch import Tensor, nn

from models.networks.base import Discriminator
from models.networks.multimodal.discriminator import at_scales
from models.networks.multimodal.drit import LEAK, ConvBlock, DRITNetwork

PUBLISHED_LAYERS = 3    # 7x7 convolutions in the published ContentDiscriminator


def scored(channels: list[int], kernel: int) -> nn.Sequential:
    """Convolutions that halve the sides, then scores by a 1x1 convolution. None has a norm."""
    blocks = (ConvBlock(c_in, c_out, kernel, nn.LeakyReLU(LEAK), stride=2, padding=1)
              for c_in, c_out in zip(channels[:-1], channels[1:], strict=True))
    return nn.Sequential(*blocks, nn.Conv2d(channels[-1], 1, 1))


class MultiScaleDiscriminator(DRITNetwork, Discriminator):
    """The same layers with weights of their own for the image, its half size, its quarter and so on.

    [B, C, H, W] in [-1, 1] -> raw scores of each scale, [B, 1, H', W'].
    """

    def __init__(self, *, in_channels: int, width: int, scales: int):
        super().__init__()
        channels = [in_channels, width, 2 * width, 4 * width, 8 * width]
        self.Diss = nn.ModuleList(scored(channels, 4) for _ in range(scales))
        self.draw_weights()

    def forward(self, images: Tensor) -> list[Tensor]:
        return at_scales(self.Diss, images)


class DeepDiscriminator(DRITNetwork, Discriminator):
    """Six layers that halve the sides, at one scale (--dis_scale 1): a list of its scores alone."""

    def __init__(self, *, in_channels: int, width: int):
        super().__init__()
        self.model = scored([in_channels, *(width * 2 ** n for n in range(6))], 3)
        self.draw_weights()

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.model(images)]


class ContentDiscriminator(DRITNetwork):
    """Tells whose content a map is: [B, in_channels, h, w] -> raw scores [B, 1, h', w'], high for B's.

    `layers` 7x7 convolutions with stride 2, one 4x4 without padding, a 1x1. Published are 3 layers: a map of
    54 pixels (images of 216) becomes 25, 11, 4, and one score.
    """

    def __init__(self, *, in_channels: int, width: int, layers: int = PUBLISHED_LAYERS):
        super().__init__()
        channels = [in_channels, *(width for _ in range(layers))]
        blocks = [ConvBlock(c_in, c_out, 7, nn.LeakyReLU(LEAK), stride=2, padding=1)
                  for c_in, c_out in zip(channels[:-1], channels[1:], strict=True)]
        self.model = nn.Sequential(*blocks, ConvBlock(channels[-1], width, 4, nn.LeakyReLU(LEAK)),
                                   nn.Conv2d(width, 1, 1))
        self.draw_weights()

    def forward(self, content: Tensor) -> Tensor:
        return self.model(content)


def content_side(layers: int) -> int:
    """The smallest side of a content map that a ContentDiscriminator with so many layers can take, pixels."""
    side = 4
    for _ in range(layers):
        side = 2 * side + 3     # a 7x7 convolution, stride 2, padding 1: n -> (n - 5) // 2 + 1
    return side


def image_side(scales: int) -> int:
    """The smallest side of an image that the image discriminator for --dis_scale can take, pixels."""
    return 33 if scales == 1 else 15 * 2 ** (scales - 1) + 1    # leaves one score at the smallest scale


def image_discriminator(*, scales: int, **sizes: Any) -> Discriminator:
    """The image discriminator for --dis_scale."""
    return DeepDiscriminator(**sizes) if scales == 1 else MultiScaleDiscriminator(scales=scales, **sizes)
