"""Generator and discriminators made of StyleGAN2's blocks, for single images (Park et al. 2020, SinCUT)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models.networks.base import Discriminator, NetworkError, SequentialGenerator
from models.networks.patchgan import tiles
from models.networks.stylegan2_ops import (
    ConvLayer,
    EqualLinear,
    NoiseInjection,
    ResidualBlock,
    UpsamplingLayer,
)

# Channels at a resolution (side in pixels) before a network's width scales them.
CHANNELS = {4: 4096, 8: 2048, 16: 1024, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
SMALL = 32  # up to this resolution the number of channels has a limit


def nearest_resolution(size: int, flag: str) -> int:
    """The power of two nearest to `size` on a logarithmic scale, which CHANNELS must list."""
    resolution = 2 ** round(math.log2(size)) if size > 0 else 0
    if resolution not in CHANNELS:
        raise NetworkError(f"{flag} is {size}, but the stylegan2 networks need one from 4 to 1024")
    return resolution


def downsamplings_to_4(resolution: int) -> int:
    """How many downsamplings by 2 lead from a power of two to 4."""
    return resolution.bit_length() - 3


def generator_channels(resolution: int, width: int) -> int:
    """CHANNELS times width / 32, rounded; at most 512 where the resolution is small."""
    return _checked(round(CHANNELS[resolution] * width / 32), 512, resolution, f"--ngf {width}")


def discriminator_channels(resolution: int, width: int) -> int:
    """CHANNELS times width / 64, truncated; at most 384 where the resolution is small."""
    return _checked(CHANNELS[resolution] * width // 64, 384, resolution, f"--ndf {width}")


def _checked(channels: int, limit: int, resolution: int, setting: str) -> int:
    if channels < 1:
        raise NetworkError(f"{setting} leaves no channels at {resolution} pixels; raise it")
    return min(channels, limit) if resolution <= SMALL else channels


class Encoder(nn.Module):
    """Layer 0 (the image), layer 1 (conv1), then residual blocks that downsample, then those that do not."""

    def __init__(self, in_channels: int, channels: Sequence[int], blocks: int):
        super().__init__()
        layers = [nn.Identity(), ConvLayer(in_channels, channels[0], 1)]
        layers += [ResidualBlock(a, b, downsample=True) for a, b in pairwise(channels)]
        layers += [ResidualBlock(channels[-1], channels[-1]) for _ in range(blocks)]
        self.convs = nn.Sequential(*layers)


class Decoder(nn.Module):
    """Residual blocks, upsamplings by 2, conv1 to the image."""

    def __init__(self, out_channels: int, channels: Sequence[int], blocks: int, noise: bool):
        super().__init__()
        layers = [ResidualBlock(channels[0], channels[0]) for _ in range(blocks)]
        layers += [UpsamplingLayer(a, b, noise=noise) for a, b in pairwise(channels)]
        self.convs = nn.Sequential(*layers, ConvLayer(channels[-1], out_channels, 1))


class StyleGAN2Generator(SequentialGenerator):
    """Encoder and decoder of StyleGAN2's blocks. There is no tanh: colours may leave [-1, 1] a little.

    width: 32 gives StyleGAN2's own number of channels. crop_size: the side in pixels of the images trained
    on; it decides the number of channels, and images of any size can be translated. num_downsampling:
    downsamplings by 2. blocks: residual blocks at the smallest size, in the encoder and again in the decoder.
    noise: add noise after each upsampling. Tapping layers of the encoder costs no decoder.
    """

    own_init = True

    def __init__(self, *, in_channels: int, out_channels: int, width: int, crop_size: int,
                 num_downsampling: int = 1, blocks: int = 3, noise: bool = True):
        super().__init__()
        largest = nearest_resolution(crop_size, "--crop_size")
        if not 0 <= num_downsampling <= downsamplings_to_4(largest):
            raise NetworkError(f"--stylegan2_G_num_downsampling is {num_downsampling}, but --crop_size "
                               f"{crop_size} allows 0 to {downsamplings_to_4(largest)}")
        self.num_downsampling, self.blocks, self.draws_random = num_downsampling, blocks, noise
        self.size_multiple = 2**num_downsampling
        if crop_size % self.size_multiple:
            raise NetworkError(f"--crop_size {crop_size} is not a multiple of {self.size_multiple}, which "
                               f"--stylegan2_G_num_downsampling {num_downsampling} needs")
        channels = [generator_channels(largest >> i, width) for i in range(num_downsampling + 1)]
        self.encoder = Encoder(in_channels, channels, blocks)
        self.decoder = Decoder(out_channels, channels[::-1], blocks, noise)

    @property
    def reach(self) -> int:
        """In input pixels; a layer at 1 / 2^i of the size counts 2^i times."""
        down = sum(4 * 2**i for i in range(self.num_downsampling))  # conv3, blur, downsampling conv3
        blocks = 2 * self.blocks * 2 * 2**self.num_downsampling  # in encoder and decoder, two conv3 each
        up = sum(2 * 2**i for i in range(1, self.num_downsampling + 1))  # transposed conv3 and blur
        return down + blocks + up

    def stages(self) -> Sequence[nn.Module]:
        return [*self.encoder.convs, *self.decoder.convs]

    def set_noise(self, enabled: bool) -> None:
        """Switch the decoder's noise on or off."""
        for module in self.modules():
            if isinstance(module, NoiseInjection):
                module.enabled = enabled


class StyleGAN2Discriminator(Discriminator):
    """Residual blocks that downsample to 4x4 pixels, conv3, two linear layers; no minibatch statistics.

    [B, C, crop_size, crop_size] in [-1, 1] -> scores [B, 1]. width: 64 gives StyleGAN2's number of channels.
    """

    own_init = True
    name, flag = "stylegan2", "--crop_size"  # for error messages

    def __init__(self, *, in_channels: int, width: int, crop_size: int):
        super().__init__()
        largest = nearest_resolution(crop_size, self.flag)
        downsamplings = downsamplings_to_4(largest)
        if crop_size >> downsamplings != 4:
            raise NetworkError(f"{self.flag} {crop_size} does not become 4 pixels when --netD {self.name} "
                               f"downsamples it by 2; use {largest}")
        channels = [discriminator_channels(largest >> i, width) for i in range(downsamplings + 1)]
        blocks = [ResidualBlock(a, b, downsample=True) for a, b in pairwise(channels)]
        self.input_size = crop_size
        self.convs = nn.Sequential(ConvLayer(in_channels, channels[0], 1), *blocks)
        self.final_conv = ConvLayer(channels[-1], channels[-1], 3)
        self.final_linear = nn.Sequential(EqualLinear(16 * channels[-1], channels[-1], activate=True),
                                          EqualLinear(channels[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.final_linear(self.final_conv(self.convs(x)).flatten(1))


class TileStyleGAN2Discriminator(StyleGAN2Discriminator):
    """A StyleGAN2Discriminator on tiles of the image: [B, C, H, W] -> [B * tiles, 1].

    tile: side in pixels, at most crop_size. What is left over at the right and the bottom is not seen.
    """

    name, flag = "tilestylegan2", "--D_tile_size"

    def __init__(self, *, in_channels: int, width: int, crop_size: int, tile: int):
        if tile > crop_size:
            raise NetworkError(f"--D_tile_size {tile} is larger than --crop_size {crop_size}; lower it")
        super().__init__(in_channels=in_channels, width=width, crop_size=tile)
        self.tile = self.smallest_side = tile
        self.input_size = None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(tiles(x, self.tile))
