"""A CUT so small that a step takes milliseconds, and minibatches for it."""

from argparse import Namespace

import torch
from torch import Tensor

from models import create_model
from models.base_model import BaseModel
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.formula import picture

FLAGS = ("--netG resnet_4blocks --ngf 2 --ndf 2 --netF_nc 4 --crop_size 16 --load_size 16 --num_patches 8 "
         "--gpu_ids -1 --num_threads 0").split()


def parse(*flags: str, train: bool = True) -> Namespace:
    """The options of these flags, as they are typed; later flags win over FLAGS."""
    return (TrainOptions() if train else TestOptions()).parse([*FLAGS, *flags])


def build(*flags: str, seed: int = 0, train: bool = True) -> BaseModel:
    torch.manual_seed(seed)
    return create_model(parse(*flags, train=train))


def batch_of(size: int = 1, step: int = 0, side: int = 16, channels: int = 3) -> dict[str, Tensor]:
    """A and B of one training step, [size, channels, side, side]."""
    return {"A": picture(size, channels, side, side, 0.1 * step).float(),
            "B": picture(size, channels, side, side, 0.1 * step + 2.0).flip(2).float()}


def weights(model: BaseModel) -> dict[str, Tensor]:
    """A copy of every parameter, by network and key."""
    return {f"{name}.{key}": p.detach().clone() for name, net in model.networks.items()
            for key, p in net.named_parameters()}
