"""MUNIT's generator of a domain: Huang et al., Multimodal Unsupervised Image-to-Image Translation, ECCV 2018.

Names and order of the modules are those of the published checkpoints.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.networks.base import Network
from models.networks.multimodal.layers import AdaptiveResidualBlock, ConvBlock, ImageNorm, ResidualBlock
from models.networks.norm import InstanceNorm
from models.precision import Tanh, at_least_float32, own_dtype


class ContentEncoder(nn.Module):
    """conv7, two downsamplings by 2, residual blocks, all with instance norm.

    [B, channels, H, W] -> [B, 4 width, H / 4, W / 4].
    """

    def __init__(self, *, channels: int, width: int, blocks: int):
        super().__init__()
        convs = [ConvBlock(channels, width, kernel=7, padding=3, norm=InstanceNorm(width))]
        for c in (width, 2 * width):
            convs.append(ConvBlock(c, 2 * c, kernel=4, stride=2, padding=1, norm=InstanceNorm(2 * c),
                                   activation=nn.ReLU()))
        residual = nn.Module()
        residual.model = nn.Sequential(*(ResidualBlock(4 * width) for _ in range(blocks)))
        self.model = nn.ModuleList([*convs, residual])

    def forward(self, x: Tensor) -> Tensor:
        *convs, residual = self.model
        for conv in convs:
            x = conv(x)
        return residual.model(F.relu(x))


class StyleEncoder(nn.Module):
    """conv7, four downsamplings by 2 without norm, the mean over the pixels, a linear layer.

    Norms would take away the mean and variance that hold the style. [B, channels, H, W] -> [B, style_dim].
    """

    def __init__(self, *, channels: int, width: int, style_dim: int):
        super().__init__()
        convs = [ConvBlock(channels, width, kernel=7, padding=3)]
        for c_in, c_out in ((width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width),
                            (4 * width, 4 * width)):
            convs.append(ConvBlock(c_in, c_out, kernel=4, stride=2, padding=1, activation=nn.ReLU()))
        pool = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.model = nn.Sequential(*convs, pool, nn.Conv2d(4 * width, style_dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(self.model(x).flatten(1))


class StyleMLP(nn.Module):
    """From a style to the shifts and scales of all adaptive norms: [B, style_dim] -> [B, blocks, 2, 2, C].

    Of the last three axes, the first counts the norms of a block; in the second, shifts come first.
    """

    def __init__(self, *, style_dim: int, width: int, blocks: int, channels: int):
        super().__init__()
        self.shape = blocks, 2, 2, channels
        self.model = nn.Sequential(
            nn.Sequential(OrderedDict(fc=nn.Linear(style_dim, width), relu=nn.ReLU())),
            nn.Sequential(OrderedDict(fc=nn.Linear(width, width), relu=nn.ReLU())),
            nn.Sequential(OrderedDict(fc=nn.Linear(width, blocks * 4 * channels))))

    def forward(self, style: Tensor) -> Tensor:
        return self.model(style).unflatten(1, self.shape)


class Upsample(nn.Module):
    """Every pixel twice in each direction: [B, C, H, W] -> [B, C, 2H, 2W]."""

    def forward(self, x: Tensor) -> Tensor:
        with own_dtype(x):
            return F.interpolate(x, scale_factor=2, mode="nearest")


class Decoder(nn.Module):
    """Adaptive residual blocks, two upsamplings by 2, conv7, tanh.

    [B, 4 width, H, W] -> [B, channels, 4 H, 4 W], in float32 at least.
    """

    def __init__(self, *, channels: int, width: int, blocks: int):
        super().__init__()
        residual = nn.Module()
        residual.model = nn.ModuleList(AdaptiveResidualBlock(4 * width) for _ in range(blocks))
        self.model = nn.ModuleList([
            residual,
            Upsample(), ConvBlock(4 * width, 2 * width, kernel=5, padding=2, norm=ImageNorm(2 * width)),
            Upsample(), ConvBlock(2 * width, width, kernel=5, padding=2, norm=ImageNorm(width),
                                  activation=nn.ReLU()),
            ConvBlock(width, channels, kernel=7, padding=3, activation=nn.ReLU())])
        self.tanh = Tanh()

    def forward(self, content: Tensor, styles: Tensor) -> Tensor:
        """styles: [B, blocks, 2, 2, C], as StyleMLP gives them."""
        residual, *rest = self.model
        x = content
        for block, style in zip(residual.model, styles.unbind(1), strict=True):
            x = block(x, style)
        for module in rest:
            x = module(x)
        return self.tanh(x)


class MUNITGenerator(Network):
    """The encoders and the decoder of one domain.

    channels: of its images. width: of the first layer; the paper's is 64. blocks: residual ones, in the
    encoder and in the decoder.
    checkpointing: keep what goes into a pass alone, and compute the pass again in backward.
    """

    size_multiple = 4
    smallest_side = 16      # the style encoder halves it four times
    passes = ("encode_content", "encode_style", "decode")
    checkpointing: bool = False

    def __init__(self, *, channels: int, width: int = 64, style_dim: int = 8, blocks: int = 4):
        super().__init__()
        self.enc_style = StyleEncoder(channels=channels, width=width, style_dim=style_dim)
        self.enc_content = ContentEncoder(channels=channels, width=width, blocks=blocks)
        self.dec = Decoder(channels=channels, width=width, blocks=blocks)
        self.mlp = StyleMLP(style_dim=style_dim, width=4 * width, blocks=blocks, channels=4 * width)

    def encode_content(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W] in [-1, 1]. Returns [B, 4 width, H / 4, W / 4]."""
        return self._run(self.enc_content, x)

    def encode_style(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W] in [-1, 1]. Returns [B, style_dim]."""
        return self._run(self.enc_style, x)

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """content: [B, 4 width, H, W]; style: [B, style_dim]. Returns [B, channels, 4 H, 4 W] in [-1, 1]."""
        return self._run(self.dec, content, self.mlp(style))

    def forward(self, x: Tensor) -> Tensor:
        """The images [B, channels, H, W] from their own content and style."""
        return self.decode(self.encode_content(x), self.encode_style(x))

    def _run(self, part: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
        return part(*inputs)
