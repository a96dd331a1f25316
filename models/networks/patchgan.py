"""Discriminators that score every patch of an image (Isola et al. 2017)."""

from torch import Tensor, nn

from models.networks.base import Discriminator, NetworkError
from models.networks.norm import bias_with, norm_layer
from models.networks.resample import BlurDownsample


class PatchDiscriminator(Discriminator):
    """`layers` 4x4 convolutions that downsample by 2, then two that do not.

    [B, C, H, W] in [-1, 1] -> scores [B, 1, H', W']. With 3 layers a score sees 70x70 pixels, or 84x84 where
    blurs do the downsampling.
    """

    def __init__(self, *, in_channels: int, width: int, layers: int = 3, norm: str = "instance",
                 antialias: bool = True):
        super().__init__()
        self.smallest_side = 3 * 2 ** layers     # leaves one score

        def downsampling(c_in: int, c_out: int, first: bool = False) -> list[nn.Module]:
            conv = nn.Conv2d(c_in, c_out, 4, stride=1 if antialias else 2, padding=1,
                             bias=first or bias_with(norm))
            return [conv, *([] if first else [norm_layer(norm, c_out)]), nn.LeakyReLU(0.2),
                    *([BlurDownsample(c_out)] if antialias else [])]

        widths = [width * min(2 ** i, 8) for i in range(layers + 1)]
        modules = downsampling(in_channels, widths[0], first=True)
        for c_in, c_out in zip(widths[:-2], widths[1:-1], strict=True):
            modules += downsampling(c_in, c_out)
        modules += [nn.Conv2d(widths[-2], widths[-1], 4, padding=1, bias=bias_with(norm)),
                    norm_layer(norm, widths[-1]), nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], 1, 4, padding=1)]
        self.model = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class PixelDiscriminator(Discriminator):
    """Scores every pixel by itself, with 1x1 convolutions. [B, C, H, W] -> scores [B, 1, H, W]."""

    def __init__(self, *, in_channels: int, width: int, norm: str = "instance"):
        super().__init__()
        bias = bias_with(norm)
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, width, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1, bias=bias), norm_layer(norm, 2 * width), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TiledPatchDiscriminator(PatchDiscriminator):
    """A PatchDiscriminator on tiles of `tile` x `tile` pixels, each treated as an image.

    [B, C, H, W] -> the scores of B * (H // tile) * (W // tile) tiles. What is left over at the right and the
    bottom is not seen.
    """

    def __init__(self, *, in_channels: int, width: int, tile: int = 16, layers: int = 2,
                 norm: str = "instance", antialias: bool = True):
        super().__init__(in_channels=in_channels, width=width, layers=layers, norm=norm, antialias=antialias)
        self.tile = self.smallest_side = tile

    def forward(self, x: Tensor) -> Tensor:
        return self.model(tiles(x, self.tile))


def tiles(x: Tensor, size: int) -> Tensor:
    """Cut [B, C, H, W] into [B * (H // size) * (W // size), C, size, size], row by row.

    Raises NetworkError for an image smaller than one tile.
    """
    b, c, h, w = x.shape
    rows, columns = h // size, w // size
    if not rows or not columns:
        raise NetworkError(f"an image of {w}x{h} pixels holds no tile of {size}x{size} for this --netD; "
                           "use larger images, or another --netD")
    x = x[:, :, :rows * size, :columns * size].reshape(b, c, rows, size, columns, size)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(b * rows * columns, c, size, size)
