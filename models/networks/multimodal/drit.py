"""DRIT's layers and encoders (Lee et al., ECCV 2018; IJCV 2020), with the keys of the published weights.

A network serves both domains, which are named A and B: the weights of each are modules of their own, and the
content encoder has a block that both share. Networks draw their own initial weights, as published:
convolutions from N(0, 0.02), all else as torch does.

The published code asks for instance norm in its LeakyReLU convolutions by a wrong name, so they never had
one. The published weights depend on that, and it is so here: the first layer of the content encoder and all
discriminators have no norm.
"""

import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.networks.base import Network
from models.networks.norm import InstanceNorm
from models.networks.resample import ReflectPad
from models.precision import order_of

LEAK = 0.01         # slope of every LeakyReLU but those of StyleVAE
INIT_STD = 0.02     # of the convolutions' first weights


class DRITNetwork(Network):
    """A network that draws its initial weights itself: a subclass's constructor ends with `draw_weights`."""

    own_init = True

    def draw_weights(self) -> None:
        """N(0, 0.02) for the weights of convolutions. Biases and linear layers stay as torch made them."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, INIT_STD)


class ConvBlock(nn.Module):
    """Reflection padding, a convolution, and the modules that follow it. Keys: model.1."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *after: nn.Module, stride: int = 1,
                 padding: int = 0):
        super().__init__()
        pad = ReflectPad(padding) if padding else nn.Identity()
        self.model = nn.Sequential(pad, nn.Conv2d(c_in, c_out, kernel, stride), *after)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3 convolutions, instance norm. Keys: model.1, model.5."""

    def __init__(self, channels: int):
        super().__init__()
        self.model = nn.Sequential(
            ReflectPad(1), nn.Conv2d(channels, channels, 3), InstanceNorm(channels), nn.ReLU(),
            ReflectPad(1), nn.Conv2d(channels, channels, 3), InstanceNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.model(x)


class ContentEncoder(DRITNetwork):
    """Images of either domain -> content, [B, 4 width, H/4, W/4], in one space for both domains.

    channels: of the images of A and of B.
    """

    size_multiple = 4
    smallest_side = 16      # that of the style encoders; 8 would do here

    def __init__(self, *, channels: tuple[int, int], width: int):
        super().__init__()

        def private(c_in: int) -> nn.Sequential:
            return nn.Sequential(
                ConvBlock(c_in, width, 7, nn.LeakyReLU(LEAK), padding=3),
                *(ConvBlock(c, 2 * c, 3, InstanceNorm(2 * c), nn.ReLU(), stride=2, padding=1)
                  for c in (width, 2 * width)),
                *(ResidualBlock(4 * width) for _ in range(3)))

        self.convA, self.convB = map(private, channels)
        self.conv_share = nn.Sequential(ResidualBlock(4 * width))
        self.draw_weights()

    def forward(self, images: Tensor, domain: str, noise: bool) -> Tensor:
        """images: [B, C, H, W] of `domain`, sides multiples of 4. noise: add N(0, 1), as in training."""
        private = self.convA if domain == "A" else self.convB
        content = self.conv_share(private(images))
        if not noise:
            return content
        return content + parts.drawn(lambda images: torch.empty(
            images, *content.shape[1:], dtype=content.dtype, device=content.device,
            memory_format=order_of(content)).normal_(), len(content))


class StyleEncoder(DRITNetwork):
    """Images of either domain -> one style each, without chance: the encoder of --no_concat.

    channels: of the images of A and of B.
    """

    def __init__(self, *, channels: tuple[int, int], width: int, style_dim: int):
        super().__init__()

        def private(c_in: int) -> nn.Sequential:
            layers: list[nn.Module] = [ReflectPad(3), nn.Conv2d(c_in, width, 7), nn.ReLU()]
            for c, c_out in ((1, 2), (2, 4), (4, 4), (4, 4)):
                layers += [ReflectPad(1), nn.Conv2d(c * width, c_out * width, 4, 2), nn.ReLU()]
            return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * width, style_dim, 1))

        self.model_a, self.model_b = map(private, channels)
        self.draw_weights()

    def forward(self, images: Tensor, domain: str) -> tuple[Tensor, None]:
        """images: [B, C, H, W] of `domain`, sides of 16 or more. Returns the styles [B, S], and None."""
        private = self.model_a if domain == "A" else self.model_b
        return private(images).flatten(1), None


class PooledBlock(nn.Module):
    """A residual block that halves the sides, by averages of 2x2 pixels. Keys: conv, shortcut."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.LeakyReLU(0.2), ReflectPad(1), nn.Conv2d(c_in, c_in, 3), nn.LeakyReLU(0.2),
            nn.Sequential(ReflectPad(1), nn.Conv2d(c_in, c_out, 3), nn.AvgPool2d(2)))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)


class StyleVAE(DRITNetwork):
    """Images of either domain -> mean and log variance of one style each: the encoder of concatenation.

    channels: of the images of A and of B.
    """

    def __init__(self, *, channels: tuple[int, int], width: int, style_dim: int):
        super().__init__()

        def private(c_in: int) -> nn.Sequential:
            blocks = (PooledBlock(n * width, (n + 1) * width) for n in (1, 2, 3))
            return nn.Sequential(ReflectPad(1), nn.Conv2d(c_in, width, 4, 2), *blocks, nn.LeakyReLU(0.2),
                                 nn.AdaptiveAvgPool2d(1))

        def head() -> nn.Sequential:
            return nn.Sequential(nn.Linear(4 * width, style_dim))

        self.conv_A, self.conv_B = map(private, channels)
        self.fc_A, self.fcVar_A, self.fc_B, self.fcVar_B = (head() for _ in range(4))
        self.draw_weights()

    def forward(self, images: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        """images: [B, C, H, W] of `domain`, sides of 16 or more. Returns mean and log variance, [B, S]."""
        if domain == "A":
            private, mean, log_variance = self.conv_A, self.fc_A, self.fcVar_A
        else:
            private, mean, log_variance = self.conv_B, self.fc_B, self.fcVar_B
        found = private(images).flatten(1)
        return mean(found), log_variance(found)
