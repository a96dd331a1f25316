"""Differentiable augmentation of the images that a discriminator sees (--diffaugment).

Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training. Images are [B, C, H, W] in
[-1, 1]; every image has random numbers of its own, drawn on its device. Where an image has nothing left it is
0, grey.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

import models.networks.parts as parts
from util.errors import UsageError

SHIFT = 1 / 8       # part of a side that an image moves at most
HOLE = 1 / 2        # part of a side that is cut out


def translation(x: Tensor) -> Tensor:
    """x moved by up to an eighth of its sides, by whole pixels."""
    for dim in (2, 3):
        farthest = int(x.shape[dim] * SHIFT + 0.5)
        by = parts.drawn(partial(integers, -farthest, farthest + 1, device=x.device), len(x))
        x = moved(x, by, dim)
    return x


def color(x: Tensor) -> Tensor:
    """x with -0.5 to 0.5 added (brightness), 0 to 2 times its saturation, 0.5 to 1.5 times its contrast."""
    brightness, saturation, contrast = parts.drawn(
        lambda images: torch.rand(3, images, 1, 1, 1, device=x.device, dtype=x.dtype), len(x), dim=1)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * saturation) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def cutout(x: Tensor) -> Tensor:
    """x with a hole of half its sides, whose middle may lie anywhere; what lies outside x is lost."""
    rows, columns = (within(x.shape[dim], len(x), x.device) for dim in (2, 3))
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


# One more: a function above and a line here.
AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "translation": translation, "color": color, "cutout": cutout,
}


def augment(x: Tensor, names: Sequence[str]) -> Tensor:
    """x through the augmentations of these names, one after the other."""
    for name in names:
        x = AUGMENTATIONS[name](x)
    return x


def augmentations(text: str) -> str:
    """The type of --diffaugment: names of AUGMENTATIONS joined by commas, or nothing. Raises UsageError."""
    for name in text.split(",") if text else ():
        if name not in AUGMENTATIONS:
            raise UsageError(f"--diffaugment is {text!r}, but {name!r} is none of "
                             f"{', '.join(AUGMENTATIONS)}; join several by commas")
    return text


def integers(low: int, high: int, images: int, *, device: torch.device) -> Tensor:
    """One in [low, high) for each image."""
    return torch.randint(low, high, (images,), device=device)


def moved(x: Tensor, by: Tensor, dim: int) -> Tensor:
    """Each image of x moved along a dimension by its number of pixels, [B]; zeros move in."""
    size = x.shape[dim]
    source = torch.arange(size, device=x.device) - by[:, None]      # [B, size]
    shape = [len(x), 1, 1, 1]
    shape[dim] = size
    inside = ((source >= 0) & (source < size)).view(shape)
    return x.gather(dim, source.clamp(0, size - 1).view(shape).expand_as(x)) * inside


def within(size: int, count: int, device: torch.device) -> Tensor:
    """For `count` images, which of `size` pixels lie in a hole along one side: bool [count, size]."""
    hole = int(size * HOLE + 0.5)
    start = parts.drawn(partial(integers, 0, size + 1 - hole % 2, device=device), count)[:, None] - hole // 2
    pixels = torch.arange(size, device=device)
    return (pixels >= start) & (pixels < start + hole)
