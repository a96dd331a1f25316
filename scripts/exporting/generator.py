"""The generator of a run in the form in which it is written to a file."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.base_model import BaseModel
from models.cycle_gan_model import CycleGANModel
from models.multimodal import MultimodalModel
from models.networks.base import Network
from models.networks.norm import EPSILON, InstanceNorm
from models.networks.stylegan2 import StyleGAN2Generator
from models.networks.tiled import Tiled
from util.errors import UsageError


class Chosen(NamedTuple):
    """The generator that is exported. name: in its run, as in "G_A"; direction: as --direction has it."""

    name: str
    net: nn.Module
    direction: str
    in_channels: int
    out_channels: int

    @property
    def size_multiple(self) -> int:
        return self.net.size_multiple if isinstance(self.net, Network) else 1

    @property
    def smallest_side(self) -> int:
        """The shortest side that it takes, in pixels, a multiple of size_multiple."""
        least = self.net.smallest_side if isinstance(self.net, Network) else 1
        return -(-least // self.size_multiple) * self.size_multiple


def choose(model: BaseModel, direction: str | None) -> Chosen:
    """The generator of a model that was loaded for translation, its noise switched off.

    direction: None stands for the run's own. Raises UsageError where there is no such generator.
    """
    opt = model.opt
    if isinstance(model, MultimodalModel):
        raise UsageError(f"--model {opt.model} translates in a style that it draws or takes from another "
                         "image, which a file of one network cannot; export a run of another model")
    net, channels = model.translator(), (opt.input_nc, opt.output_nc)
    if direction not in (None, opt.direction):
        if not isinstance(model, CycleGANModel):
            raise UsageError(f"--direction {direction}: the run learned {opt.direction} alone; leave it out")
        net, channels = model.netG_B, channels[::-1]
    net = net.net if isinstance(net, Tiled) else net
    if isinstance(net, StyleGAN2Generator):
        net.set_noise(False)
    name = next(name for name, one in model.networks.items() if one is net)
    return Chosen(name, net, direction or opt.direction, *channels)


class ImageNorm(nn.Module):
    """Instance norm as the one operation that every format has; then weight and bias [C], if given."""

    def __init__(self, weight: Tensor | None = None, bias: Tensor | None = None):
        super().__init__()
        self.weight, self.bias = (value if value is None else nn.Parameter(value.detach().clone())
                                  for value in (weight, bias))

    def forward(self, x: Tensor) -> Tensor:
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, EPSILON, False)


class Exportable(nn.Module):
    """A generator that computes in float32 or half precision; images in and out are float32, in [-1, 1]."""

    def __init__(self, net: nn.Module, *, half: bool):
        super().__init__()
        self.net = exportable(net)
        self.dtype = torch.float16 if half else torch.float32
        self.net.to(self.dtype)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image.to(self.dtype)).float()


def exportable(net: nn.Module) -> nn.Module:
    """A copy of a network for translation that does the same to each image of a batch by itself.

    Raises UsageError for a network that draws random numbers.
    """
    drawing = [module for module in net.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    if any(module.training and module.p for module in drawing):
        raise UsageError("the run translates with dropout, which draws random numbers: give --eval, which "
                         "leaves it out")
    net = copy.deepcopy(net)
    _replace_norms(net)
    return net.eval()


def _replace_norms(net: nn.Module) -> None:
    """Make norms ImageNorms; a batch norm, too, that takes mean and variance of the one image it is given."""
    for name, module in net.named_children():
        if isinstance(module, InstanceNorm):
            setattr(net, name, ImageNorm())
        elif isinstance(module, nn.BatchNorm2d) and module.training:
            setattr(net, name, ImageNorm(module.weight, module.bias))
        else:
            _replace_norms(module)
