"""The networks by name. A constructor takes the sizes it needs, by keyword, and knows no options."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from models.networks.patch_sampler import PatchSampler, PooledFeatures
from models.networks.patchgan import PatchDiscriminator, PixelDiscriminator, TiledPatchDiscriminator
from models.networks.resnet import ResnetGenerator
from models.networks.stylegan2 import (
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    TileStyleGAN2Discriminator,
)
from models.networks.unet import UnetGenerator


class Choice:
    """A network that a flag can name: a class, and the arguments of its constructor that the name decides.

    Called with every size that the flags give, it hands on those that the constructor takes.
    """

    def __init__(self, network: Callable[..., nn.Module], **decided: Any):
        self.network, self.decided = network, decided
        self.takes = inspect.signature(network).parameters.keys() - decided.keys()

    def __call__(self, **sizes: Any) -> nn.Module:
        return self.network(**self.decided, **{name: sizes[name] for name in self.takes & sizes.keys()})


class GeneratorChoice(Choice):
    """A generator that --netG can name. nce_layers: the --nce_layers that suit it.

    pairs: layers of its encoder and of its decoder, the first with the last and so on, whose maps have one
    size and the same place in the halves; "" where there are none.
    """

    def __init__(self, network: Callable[..., nn.Module], *, nce_layers: str, pairs: str = "",
                 **decided: Any):
        super().__init__(network, **decided)
        self.nce_layers, self.pairs = nce_layers, pairs


# in_channels, out_channels, width, norm, dropout, antialias, antialias_up, crop_size, num_downsampling -> G
GENERATORS: dict[str, GeneratorChoice] = {
    "resnet_9blocks": GeneratorChoice(ResnetGenerator, blocks=9, nce_layers="0,4,8,12,16",
                                      pairs="3,7,13,18,24,28"),
    "resnet_6blocks": GeneratorChoice(ResnetGenerator, blocks=6, nce_layers="0,4,8,12,16",
                                      pairs="3,7,13,15,21,25"),
    "resnet_4blocks": GeneratorChoice(ResnetGenerator, blocks=4, nce_layers="0,4,8,12,15",
                                      pairs="3,7,12,14,19,23"),
    "unet_256": GeneratorChoice(UnetGenerator, depth=8, nce_layers="0,1,2,3,4"),
    "unet_128": GeneratorChoice(UnetGenerator, depth=7, nce_layers="0,1,2,3,4"),
    "stylegan2": GeneratorChoice(StyleGAN2Generator, blocks=3, noise=True, nce_layers="0,2,4"),
    "smallstylegan2": GeneratorChoice(StyleGAN2Generator, blocks=1, noise=False, nce_layers="0,2"),
}

# in_channels, width, norm, antialias, layers, crop_size, tile -> D
DISCRIMINATORS: dict[str, Choice] = {
    "basic": Choice(PatchDiscriminator, layers=3),
    "n_layers": Choice(PatchDiscriminator),
    "pixel": Choice(PixelDiscriminator),
    "patch": Choice(TiledPatchDiscriminator, layers=2, tile=16),
    "stylegan2": Choice(StyleGAN2Discriminator),
    "tilestylegan2": Choice(TileStyleGAN2Discriminator),
}

# channels of the tapped layers, width -> F
PROJECTORS: dict[str, Choice] = {
    "mlp_sample": Choice(PatchSampler, mlp=True),
    "sample": Choice(PatchSampler, mlp=False),
    "reshape": Choice(PooledFeatures, side=4),
}
