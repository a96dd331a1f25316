"""The networks by name. A constructor here takes the sizes it needs, by keyword, and knows no options."""

from collections.abc import Callable
from functools import partial

from torch import nn

from models.networks.base import TappedGenerator
from models.networks.patch_sampler import PatchSampler, PooledFeatures
from models.networks.patchgan import PatchDiscriminator, PixelDiscriminator, TiledPatchDiscriminator
from models.networks.resnet import ResnetGenerator
from models.networks.stylegan2 import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    TileStyleGAN2Discriminator,
)
from models.networks.unet import UnetGenerator


def _resnet(blocks: int) -> Callable[..., TappedGenerator]:
    def build(*, in_channels, out_channels, width, norm, dropout, antialias, antialias_up, **_):
        return ResnetGenerator(in_channels=in_channels, out_channels=out_channels, width=width, blocks=blocks,
                               norm=norm, dropout=dropout, antialias=antialias, antialias_up=antialias_up)
    return build


def _unet(depth: int) -> Callable[..., TappedGenerator]:
    def build(*, in_channels, out_channels, width, norm, dropout, **_):
        return UnetGenerator(in_channels=in_channels, out_channels=out_channels, width=width, depth=depth,
                             norm=norm, dropout=dropout)
    return build


def _stylegan2(**variant) -> Callable[..., TappedGenerator]:
    def build(*, in_channels, out_channels, width, crop_size, num_downsampling, **_):
        return StyleGAN2Generator(in_channels=in_channels, out_channels=out_channels, width=width,
                                  crop_size=crop_size, num_downsampling=num_downsampling, **variant)
    return build


# in_channels, out_channels, width, norm, dropout, antialias, antialias_up, crop_size, num_downsampling -> G
GENERATORS: dict[str, Callable[..., TappedGenerator]] = {
    "resnet_9blocks": _resnet(9),
    "resnet_6blocks": _resnet(6),
    "resnet_4blocks": _resnet(4),
    "unet_256": _unet(8),
    "unet_128": _unet(7),
    "stylegan2": _stylegan2(),
    "smallstylegan2": _stylegan2(blocks=1, noise=False),
}

# The --nce_layers that suit a generator, where they are not CUT's own 0,4,8,12,16.
NCE_LAYERS: dict[str, str] = {
    "resnet_4blocks": "0,4,8,12,15",
    "unet_256": "0,1,2,3,4",
    "unet_128": "0,1,2,3,4",
    "stylegan2": "0,2,4",
    "smallstylegan2": "0,2",
}


def _patch(*, in_channels, width, norm, antialias, **_):
    return PatchDiscriminator(in_channels=in_channels, width=width, norm=norm, antialias=antialias)


def _n_layers(*, in_channels, width, norm, antialias, layers, **_):
    return PatchDiscriminator(in_channels=in_channels, width=width, norm=norm, antialias=antialias,
                              layers=layers)


def _pixel(*, in_channels, width, norm, **_):
    return PixelDiscriminator(in_channels=in_channels, width=width, norm=norm)


def _tiled(*, in_channels, width, norm, antialias, **_):
    return TiledPatchDiscriminator(in_channels=in_channels, width=width, norm=norm, antialias=antialias)


def _stylegan2_D(*, in_channels, width, crop_size, **_):
    return StyleGAN2Discriminator(in_channels=in_channels, width=width, crop_size=crop_size)


def _tiled_stylegan2(*, in_channels, width, crop_size, tile, **_):
    return TileStyleGAN2Discriminator(in_channels=in_channels, width=width, crop_size=crop_size, tile=tile)


# in_channels, width, norm, antialias, layers, crop_size, tile -> D
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "basic": _patch, "n_layers": _n_layers, "pixel": _pixel, "patch": _tiled,
    "stylegan2": _stylegan2_D, "tilestylegan2": _tiled_stylegan2,
}

# channels of the tapped layers, width -> F
PROJECTORS: dict[str, Callable[..., nn.Module]] = {
    "mlp_sample": partial(PatchSampler, mlp=True),
    "sample": partial(PatchSampler, mlp=False),
    "reshape": lambda *, channels, width: PooledFeatures(),
}
