"""A discriminator that looks at an image at several sizes (Wang et al. 2018, without norms, as in MUNIT)."""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.base import Discriminator
from models.networks.multimodal.layers import ConvBlock
from models.precision import own_dtype

LAYERS = 4      # downsamplings by 2 at each scale


class MultiScaleDiscriminator(Discriminator):
    """The same layers, with weights of their own, for the image and for its halves.

    [B, C, H, W] in [-1, 1] -> scores of each scale, [B, 1, H / 16, W / 16] and smaller.
    """

    own_init = True

    def __init__(self, *, in_channels: int, width: int = 64, scales: int = 3):
        super().__init__()
        self.smallest_side = 2 ** (LAYERS + scales - 1)
        self.cnns = nn.ModuleList(self._scale(in_channels, width) for _ in range(scales))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    @staticmethod
    def _scale(in_channels: int, width: int) -> nn.Sequential:
        channels = [in_channels, *(width * 2 ** i for i in range(LAYERS))]
        convs = [ConvBlock(c_in, c_out, kernel=4, stride=2, padding=1,
                           activation=nn.LeakyReLU(0.2) if i else None)
                 for i, (c_in, c_out) in enumerate(zip(channels[:-1], channels[1:], strict=True))]
        return nn.Sequential(*convs, Scores(channels[-1], 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        return at_scales(self.cnns, x)


class Scores(nn.Conv2d):
    """The last convolution, with the activation before it, in its place in published weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.leaky_relu(x, 0.2))


def at_scales(nets: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """What the first network makes of images, the second of their halves, and so on."""
    scores = []
    for number, net in enumerate(nets):
        if number:
            x = halve(x)
        scores.append(net(x))
    return scores


def halve(x: Tensor) -> Tensor:
    """The mean of 3x3 pixels, of which those outside are left out, at every second pixel."""
    with own_dtype(x):
        return F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
