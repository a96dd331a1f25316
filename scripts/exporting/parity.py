"""An exported generator beside the network that it was made of, on images of several sizes and batches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from scripts.exporting.generator import Chosen
from util.metrics.exported import ExportedNetwork

# Largest difference that is let pass, of numbers in [-1, 1]; 0.0078 is one of 255 levels.
BOUNDS = {"fp32": 1e-3, "fp16": 5e-2}
# Images, height and width of a batch; sides are raised to those that the generator takes.
BATCHES = ((1, 1, 1), (2, 64, 64), (3, 72, 100), (1, 96, 160), (1, 256, 256))


def batches(chosen: Chosen, *, few: bool = False) -> list[Tensor]:
    """Images of noise upon slopes of colour, [B, C, H, W] in [-1, 1], the same in every call.

    few: the two smallest alone, for what computes slowly.
    """
    random, found = torch.Generator().manual_seed(0), {}
    for count, *sides in BATCHES[:2] if few else BATCHES:
        height, width = (max(-(-side // chosen.size_multiple) * chosen.size_multiple, chosen.smallest_side)
                         for side in sides)
        found[count, height, width] = None
    return [image_batch(count, chosen.in_channels, height, width, random) for count, height, width in found]


def image_batch(count: int, channels: int, height: int, width: int, random: torch.Generator) -> Tensor:
    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random) * 2 - 1

    down, right = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    slopes = drawn(count, channels, 1, 1) * down + drawn(count, channels, 1, 1) * right
    return (slopes / 2 + drawn(count, channels, height, width) / 2).clamp(-1, 1)


@torch.no_grad()
def largest_difference(network: ExportedNetwork, chosen: Chosen, given: Sequence[Tensor]) -> float:
    """Between what both make of these batches, numbers in [-1, 1]; NaN where one of them gives NaN.

    PyTorch gets the images one by one, as test.py gives them.
    """
    worst = torch.zeros(())
    for images in given:
        expected = torch.cat([chosen.net(image) for image in images.split(1)])
        worst = torch.maximum(worst, (network(images) - expected).abs().max())     # keeps NaN
    return worst.item()
