"""A generator's output strip by strip, with every norm's statistics taken over the whole image."""

import torch
from torch import Tensor, nn

from models.tiling.maps import Image, all_before
from models.tiling.networks import NETWORKS


def translate_exactly(net: nn.Module, images: Tensor, tile: int) -> Tensor:
    """net(images), up to rounding, in memory that does not grow with the images.

    net: of a class in NETWORKS. images: [B, C, H, W], sides multiples of the net's size_multiple. tile: a
    strip holds about as many numbers as the widest map of tile x tile pixels. Dropout is drawn strip by
    strip. Returns [B, C_out, H, W], float32.
    """
    batched = any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())
    return torch.cat([_translate(net, part, tile) for part in images.split(len(images) if batched else 1)])


def _translate(net: nn.Module, images: Tensor, tile: int) -> Tensor:
    last = NETWORKS[type(net)](net, Image(images))
    widest = max(one.channels * one.height * one.width for one in all_before(last))
    numbers = int(widest * tile ** 2 / (images.shape[2] * images.shape[3]))
    last.prepare(numbers)
    made = torch.empty(len(images), last.channels, last.height, last.width, device=images.device)
    for strip in last.strips(numbers):
        made[:, :, strip.top:strip.bottom] = last.rows(strip)
    return made
