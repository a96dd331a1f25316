"""The U-Net generator of Isola et al. 2017 (pix2pix)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks.base import Generator, NetworkError
from models.networks.norm import Dropout, bias_with, norm_layer
from models.precision import Tanh, at_least_float32


class UnetLevel(nn.Module):
    """One level: downsample, run the levels below, upsample, and join the input to the result.

    [B, C, H, W] -> [B, 2C, H, W], at the outermost level [B, C_out, H, W]. The modules stand in `model` in
    the order down, inner level, up, which gives the checkpoint keys of pix2pix.
    """

    def __init__(self, down: Sequence[nn.Module], inner: "UnetLevel | None", up: Sequence[nn.Module], *,
                 outermost: bool = False):
        super().__init__()
        self.model = nn.Sequential(*down, *([inner] if inner is not None else []), *up)
        self.downs, self.has_inner, self.outermost = len(down), inner is not None, outermost

    def encode(self, x: Tensor, depth: int) -> list[Tensor]:
        """The outputs of the downsampling convolutions of this level and the `depth - 1` below it."""
        x = self.model[:self.downs](x)
        return [x] + (self.model[self.downs].encode(x, depth - 1) if depth > 1 else [])

    def forward(self, x: Tensor, features: list[Tensor]) -> Tensor:
        """Appends the outputs of the downsampling convolutions to `features`, outermost first."""
        y = self.model[:self.downs](x)
        features.append(y)
        if self.has_inner:
            y = self.model[self.downs](y, features)
        y = self.model[self.downs + self.has_inner:](y)
        return y if self.outermost else torch.cat([x, y], dim=1)


class UnetGenerator(Generator):
    """`depth` downsamplings by 2, skip connections, tanh.

    Layer 0 is the image, layer i the output of the i-th downsampling.
    """

    def __init__(self, *, in_channels: int, out_channels: int, width: int, depth: int, norm: str = "instance",
                 dropout: bool = False):
        super().__init__()
        self.size_multiple = 2 ** depth
        self.depth = depth
        bias = bias_with(norm)
        channels = [width * min(2 ** i, 8) for i in range(depth)]

        level = None
        for i in reversed(range(1, depth)):
            innermost = level is None
            down = [nn.LeakyReLU(0.2), nn.Conv2d(channels[i - 1], channels[i], 4, 2, 1, bias=bias)]
            if not innermost:
                down.append(norm_layer(norm, channels[i]))
            c_up = channels[i] * (1 if innermost else 2)
            up = [nn.ReLU(), nn.ConvTranspose2d(c_up, channels[i - 1], 4, 2, 1, bias=bias),
                  norm_layer(norm, channels[i - 1])]
            if dropout and not innermost and i >= 4:
                up.append(Dropout(0.5))
            level = UnetLevel(down, level, up)
        self.model = UnetLevel(
            [nn.Conv2d(in_channels, width, 4, 2, 1, bias=bias)], level,
            [nn.ReLU(), nn.ConvTranspose2d(2 * width, out_channels, 4, 2, 1), Tanh()], outermost=True)

    def layer_count(self) -> int:
        return self.depth + 1

    def use_checkpointing(self) -> None:
        raise NetworkError("--grad_checkpoint does not work with the U-Nets of --netG: their skip "
                           "connections keep the activations anyway; choose a resnet, or a smaller "
                           "--batch_size")

    def forward_with_features(self, x: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        features = [x]
        y = self.model(x, features)
        return at_least_float32(y), [features[i] for i in sorted(layers)]

    def encode(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        last = max(layers)
        features = [x] + (self.model.encode(x, last) if last else [])
        return [features[i] for i in sorted(layers)]
