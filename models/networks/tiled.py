"""Large images through a convolutional network, a part at a time."""

import torch
from torch import Tensor, nn


class Tiled(nn.Module):
    """net(x), computed in tiles with a margin, so that memory does not grow with the image.

    The same numbers as in one pass, for a network that keeps the size and of whose output no pixel depends on
    input more than `net.reach` pixels away (none that normalises over the image). Random noise in the
    network is drawn tile by tile. `core`: pixels a side of a tile without its margin, rounded up to the
    network's `size_multiple`. Not for training: gradients would need all tiles at once.
    """

    def __init__(self, net: nn.Module, core: int = 512):
        super().__init__()
        self.net = net
        self.size_multiple = net.size_multiple
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
        below, behind = top + self.core + self.margin, left + self.core + self.margin
        y = self.net(x[:, :, above:below, before:behind])
        return y[:, :, top - above:, left - before:][:, :, :self.core, :self.core]
