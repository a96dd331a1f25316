"""CycleGAN, GcGAN and DistanceGAN so small that a step takes milliseconds, and their common formulas."""

import copy
from argparse import Namespace
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models import create_model
from models.base_model import BaseModel
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.formula import picture

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --crop_size 16 --load_size 16 "
         "--gpu_ids -1 --num_threads 0").split()


def parse(*flags: str, train: bool = True) -> Namespace:
    return (TrainOptions() if train else TestOptions()).parse([*SMALL, *flags])


def build(*flags: str, train: bool = True) -> BaseModel:
    torch.manual_seed(0)
    return create_model(parse(*flags, train=train))


def batch_of(size: int = 1, step: int = 0, side: int = 16) -> dict[str, Tensor]:
    """A and B of one training step, [size, 3, side, side]."""
    return {"A": picture(size, 3, side, side, 0.1 * step).float(),
            "B": picture(size, 3, side, side, 0.1 * step + 2).flip(2).float()}


def nets_of(model: BaseModel) -> dict[str, nn.Module]:
    """Copies of a model's networks as they are now."""
    return {name: copy.deepcopy(net) for name, net in model.networks.items()}


def adam_of(*nets: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for net in nets for p in net.parameters()], lr=2e-4, betas=(0.5, 0.999))


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def fooling(score: Tensor) -> Tensor:
    """What a generator minimises under least squares (Mao et al. 2017)."""
    return ((score - 1) ** 2).mean()


def telling(net: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """What a discriminator minimises under least squares, halved as CycleGAN does."""
    return (((net(real) - 1) ** 2).mean() + (net(fake.detach()) ** 2).mean()) / 2


def largest_difference(nets: Mapping[str, nn.Module], others: Mapping[str, nn.Module]) -> float:
    """Between corresponding weights of networks; a step of Adam moves a weight by up to 2e-4.

    Biases are left out: before a norm their gradients are zero but for rounding, which Adam makes large.
    """
    return max((p - others[name].get_parameter(key)).abs().max().item() for name, net in nets.items()
               for key, p in net.named_parameters() if key.endswith("weight"))
