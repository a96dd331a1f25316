"""Statistics of norms from a small copy of an image, kept while its tiles are translated."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.base import Network, fit_sides
from models.tiling.moments import channel_moments, is_norm_of_the_image, normalised


class FixedNorm(nn.Module):
    """Stands for a norm of the image: the first map that it gets is measured, and norms all others too."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm
        self.moments: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.moments is None:
            self.moments = channel_moments(x)
        return normalised(self.norm, x, *self.moments)


@contextmanager
def statistics_of(net: Network, images: Tensor) -> Iterator[None]:
    """Within it, every norm in the network has the mean and variance that it has when `images` pass.

    images: [B, C, H, W]; with instance norm, one image.
    """
    norms = [(parent, name, child) for parent in net.modules() for name, child in parent.named_children()
             if is_norm_of_the_image(child)]
    try:
        for parent, name, child in norms:
            setattr(parent, name, FixedNorm(child))
        net(fit_sides(net, images))
        yield
    finally:
        for parent, name, child in norms:
            setattr(parent, name, child)


def small_copy(images: Tensor, pixels: int) -> Tensor:
    """The images [B, C, H, W], shrunk to at most that many pixels, or as they are where they have no more."""
    height, width = images.shape[2:]
    scale = min(1.0, (pixels / (height * width)) ** 0.5)
    size = [max(1, int(side * scale)) for side in (height, width)]
    return images if scale == 1 else F.interpolate(images, size, mode="bilinear", antialias=True)
