"""Large images through a convolutional generator, one tile after the other."""

import torch
from torch import Tensor

from models.networks.base import Generator, Network


class Tiled(Network):
    """net(x), computed in overlapping tiles, so that memory does not grow with the image.

    net: keeps the image's size and has a finite `reach`; the result is then that of one pass. Random noise in
    the network is drawn tile by tile. core: side of a tile without its margin, in pixels, rounded up to a
    multiple of the network's `size_multiple`. Not for training: gradients would need all tiles at once.
    """

    def __init__(self, net: Generator, core: int = 512):
        super().__init__()
        self.net = net
        self.size_multiple, self.smallest_side = net.size_multiple, net.smallest_side
        self.core = -(-core // self.size_multiple) * self.size_multiple
        self.margin = -(-net.reach // self.size_multiple) * self.size_multiple

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W], sides multiples of size_multiple. Returns [B, C_out, H, W]."""
        rows = [torch.cat([self._tile(x, top, left) for left in range(0, x.shape[3], self.core)], dim=3)
                for top in range(0, x.shape[2], self.core)]
        return torch.cat(rows, dim=2)

    def _tile(self, x: Tensor, top: int, left: int) -> Tensor:
        above, before = max(top - self.margin, 0), max(left - self.margin, 0)
        below, after = top + self.core + self.margin, left + self.core + self.margin
        y = self.net(x[:, :, above:below, before:after])
        return y[:, :, top - above:, left - before:][:, :, :self.core, :self.core]
