"""The base class of models with a generator and a discriminator, and the networks that the flags ask for."""

from argparse import Namespace
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.base_model import BaseModel, Batch
from models.diffaugment import augment
from models.losses.gan import OBJECTIVES, gradient_penalty
from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.base import Discriminator, Generator, Network
from models.networks.spectral_norm import normalize_spectrally
from util.errors import UsageError
from util.image_pool import ImagePool

# Layers whose output for one image depends on the others of the pass, or on chance.
NOT_REPEATABLE = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class AdversarialModel(BaseModel):
    """A model whose losses hold an adversarial objective (--gan_mode).

    repeatable: network -> whether its output for an image depends on that image alone.
    """

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.repeatable: dict[str, bool] = {}
        if opt.isTrain:
            self.objective = OBJECTIVES[opt.gan_mode]

    def set_input(self, batch: Batch) -> None:
        """As BaseModel's; images that --preprocess does not crop must have a size that the networks take."""
        super().set_input(batch)
        if not {"crop", "patch"} & set(self.opt.preprocess.split("_and_")):
            read = [self.real_A] + ([self.real_B] if self.target_key in batch else [])
            for net in self.networks.values():
                for images in read if isinstance(net, Network) else ():
                    check_image(self.opt, net, self.flag_of(net), images)

    def flag_of(self, net: Network) -> str:
        """The flag that chose a network, as error messages name it."""
        flag = "netG" if isinstance(net, Generator) else "netD"
        return f"--{flag} {getattr(self.opt, flag)}"

    def add_network(self, name: str, net: nn.Module) -> nn.Module:
        """As BaseModel's; a discriminator gets --spectral_norm, and sees all images through --diffaugment."""
        self.repeatable[name] = not any(isinstance(module, NOT_REPEATABLE) for module in net.modules())
        net = super().add_network(name, net)
        if self.opt.isTrain and name.startswith("D"):
            equip_discriminator(self.opt, net)
        return net

    def apply(self, name: str, *images: Tensor) -> tuple[Tensor, ...]:
        """A network's outputs for several minibatches, from one pass where that gives the same."""
        net = self.networks[name]
        if self.repeatable[name] and all(p.shape == images[0].shape for p in images):
            return net(torch.cat(images)).chunk(len(images))
        return tuple(net(p) for p in images)

    def discriminator_losses(self, name: str, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The objective of discriminator `name` on real and generated images, scalars; G learns nothing."""
        score_fake, score_real = self.apply(name, fake.detach(), real)
        return self.objective.real(score_real), self.objective.fake(score_fake)

    def objective_penalty(self, name: str, real: Tensor, fake: Tensor) -> Tensor | None:
        """The gradient penalty of discriminator `name`, where --gan_mode has one; a scalar without weight."""
        return gradient_penalty(self.networks[name], real, fake) if self.objective.penalty_weight else None

    def discriminator_loss(self, name: str, real: Tensor, fake: Tensor) -> Tensor:
        """All that discriminator `name` minimises: half the sum of both objectives, and the penalty."""
        loss = sum(self.discriminator_losses(name, real, fake)) / 2
        penalty = self.objective_penalty(name, real, fake)
        return loss if penalty is None else loss + self.objective.penalty_weight * penalty


def from_pools(pools: Sequence[ImagePool], images: Sequence[Tensor]) -> list[Tensor]:
    """What pools make of generated images of each kind, for the images of this part of a minibatch.

    A pool sees those of all parts, so that it is the same in all of them.
    """
    if not any(pool.size for pool in pools):
        return [pool.query(x) for pool, x in zip(pools, images, strict=True)]
    together = parts.whole(*(x.detach() for x in images))
    return [parts.own(pool.query(x)) for pool, x in zip(pools, together, strict=True)]


def equip_discriminator(opt: Namespace, net: nn.Module) -> None:
    """Give a network that judges --spectral_norm and, where it judges images, --diffaugment."""
    if opt.spectral_norm:
        normalize_spectrally(net)
    if opt.diffaugment and isinstance(net, Discriminator):
        names = opt.diffaugment.split(",")
        net.register_forward_pre_hook(lambda _, inputs: (augment(inputs[0], names),))


def check_crop(opt: Namespace, net: Network, flag: str) -> None:
    """Raise UsageError where the network that `flag` chose cannot be trained on crops of --crop_size."""
    words = set(opt.preprocess.split("_and_"))
    if not {"crop", "patch"} & words:
        return      # check_image looks at what is read
    if opt.crop_size < net.smallest_side:
        raise UsageError(f"--crop_size {opt.crop_size} is too small for {flag}, which needs "
                         f"{net.smallest_side}")
    if opt.crop_size % net.size_multiple:
        raise UsageError(f"--crop_size {opt.crop_size} does not suit {flag}, which needs a multiple of "
                         f"{net.size_multiple}")


def check_image(opt: Namespace, net: Network, flag: str, images: Tensor) -> None:
    """Raise UsageError for images [B, C, H, W] of a size that the network that `flag` chose cannot take."""
    sides, needed = images.shape[2:], net.input_size or net.smallest_side
    if net.input_size is not None:
        fits, wish = all(side == needed for side in sides), f"{needed}x{needed} alone"
    else:
        fits = all(side >= needed and side % net.size_multiple == 0 for side in sides)
        wish = f"sides of {needed} or more, multiples of {net.size_multiple}"
    if not fits:
        raise UsageError(f"--preprocess {opt.preprocess} gives an image of {sides[1]}x{sides[0]} pixels, but "
                         f"{flag} takes {wish}; use a --preprocess that crops, such as resize_and_crop")


def build_generator(opt: Namespace, *, backward: bool = False) -> Generator:
    """--netG, from the input domain's channels to the target domain's; `backward`: the other way."""
    channels = (opt.output_nc, opt.input_nc) if backward else (opt.input_nc, opt.output_nc)
    net = GENERATORS[opt.netG](
        in_channels=channels[0], out_channels=channels[1], width=opt.ngf, norm=opt.normG,
        dropout=not opt.no_dropout, antialias=not opt.no_antialias, antialias_up=not opt.no_antialias_up,
        crop_size=opt.crop_size, num_downsampling=opt.stylegan2_G_num_downsampling)
    if opt.isTrain:
        check_crop(opt, net, f"--netG {opt.netG}")
    return net


def build_discriminator(opt: Namespace, *, backward: bool = False) -> Discriminator:
    """--netD, for images of the target domain; `backward`: for images of the input domain."""
    net = DISCRIMINATORS[opt.netD](
        in_channels=opt.input_nc if backward else opt.output_nc, width=opt.ndf, norm=opt.normD,
        antialias=not opt.no_antialias, layers=opt.n_layers_D, crop_size=opt.crop_size, tile=opt.D_tile_size)
    check_crop(opt, net, f"--netD {opt.netD}")
    return net
