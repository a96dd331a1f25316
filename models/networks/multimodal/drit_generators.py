"""DRIT's generators: content and a style -> an image. The style is concatenated, or transforms features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.multimodal.drit import DRITNetwork, ResidualBlock
from models.networks.norm import EPSILON, InstanceNorm
from models.networks.resample import ReflectPad
from models.precision import Tanh, own_dtype


class LayerNorm(nn.Module):
    """Zero mean and unit variance of each image over (C, H, W), then a weight and a bias for each channel.

    The variance is the biased one, epsilon stands under the root. weight, bias: [C, 1, 1].
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns the same shape."""
        with own_dtype(x):
            normed = F.layer_norm(x, x.shape[1:], eps=EPSILON)
            return normed * self.weight.to(x.dtype) + self.bias.to(x.dtype)


class UpBlock(nn.Module):
    """A transposed convolution that doubles the sides, LayerNorm, ReLU. Keys: model.0, model.1."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.model = nn.Sequential(
            nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=1), LayerNorm(c_out),
            nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ConcatGenerator(DRITNetwork):
    """The style stands as more channels beside the features, in every block but the shared first.

    channels: of the images of A and of B. Suits domains whose shapes are alike.
    """

    def __init__(self, *, channels: tuple[int, int], width: int, style_dim: int):
        super().__init__()
        self.dec_share = nn.Sequential(ResidualBlock(4 * width))
        wide = 4 * width + style_dim                # channels of the residual blocks: 264
        half = (wide + style_dim) // 2              # 136
        quarter = (half + style_dim) // 2           # 72
        for domain, c_out in zip("AB", channels, strict=True):
            blocks = (nn.Sequential(*(ResidualBlock(wide) for _ in range(3))),
                      nn.Sequential(UpBlock(wide + style_dim, half)),
                      nn.Sequential(UpBlock(half + style_dim, quarter)),
                      nn.Sequential(nn.ConvTranspose2d(quarter + style_dim, c_out, 1), Tanh()))
            for number, block in enumerate(blocks, start=1):
                self.add_module(f"dec{domain}{number}", block)
        self.draw_weights()

    def forward(self, content: Tensor, style: Tensor, domain: str) -> Tensor:
        """content: [B, 4 width, H/4, W/4]; style: [B, S]. Returns images [B, C, H, W] of `domain`."""
        x = self.dec_share(content)
        for number in range(1, 5):
            plane = style.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = self.get_submodule(f"dec{domain}{number}")(torch.cat([x, plane], dim=1))
        return x


class StyledBlock(nn.Module):
    """A residual block whose features a vector transforms after each convolution.

    x + blk2([norm(conv2(o)), z]) with o = blk1([norm(conv1(x)), z]): the vector z [B, Z] stands at every
    place beside the features, and 1x1 convolutions mix the two. Keys: conv1.0.1, conv2.0.1, blk1, blk2.
    """

    def __init__(self, channels: int, vector: int):
        super().__init__()

        def conv() -> nn.Sequential:
            return nn.Sequential(nn.Sequential(ReflectPad(1), nn.Conv2d(channels, channels, 3)),
                                 InstanceNorm(channels))

        def mix() -> nn.Sequential:
            both = channels + vector
            return nn.Sequential(nn.Conv2d(both, both, 1), nn.ReLU(), nn.Conv2d(both, channels, 1), nn.ReLU())

        self.conv1, self.conv2, self.blk1, self.blk2 = conv(), conv(), mix(), mix()

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        plane = z.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        o = self.blk1(torch.cat([self.conv1(x), plane], dim=1))
        return x + self.blk2(torch.cat([self.conv2(o), plane], dim=1))


class TransformGenerator(DRITNetwork):
    """The style, made into four vectors, transforms the features of four residual blocks (--no_concat).

    channels: of the images of A and of B. Suits domains whose shapes differ.
    """

    def __init__(self, *, channels: tuple[int, int], width: int, style_dim: int):
        super().__init__()
        wide = 4 * width
        for domain, c_out in zip("AB", channels, strict=True):
            for number in range(1, 5):
                self.add_module(f"dec{domain}{number}", StyledBlock(wide, wide))
            self.add_module(f"dec{domain}5", nn.Sequential(
                UpBlock(wide, wide // 2), UpBlock(wide // 2, width), nn.ConvTranspose2d(width, c_out, 1),
                Tanh()))
            self.add_module(f"mlp{domain}", nn.Sequential(
                nn.Linear(style_dim, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU(),
                nn.Linear(wide, 4 * wide)))
        self.draw_weights()

    def forward(self, content: Tensor, style: Tensor, domain: str) -> Tensor:
        """content: [B, 4 width, H/4, W/4]; style: [B, S]. Returns images [B, C, H, W] of `domain`."""
        x = content
        for number, vector in enumerate(self.get_submodule(f"mlp{domain}")(style).chunk(4, dim=1), start=1):
            x = self.get_submodule(f"dec{domain}{number}")(x, vector)
        return self.get_submodule(f"dec{domain}5")(x)
