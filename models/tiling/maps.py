"""Feature maps of a large image that are made row by row, when somebody asks for rows.

A map never is in memory as a whole. It computes the rows that it is asked for from rows of the map before it,
and so on back to the image or to a map that is kept in a file. All rows have the whole width of the image:
left and right the layers pad as ever, and only at the top and the bottom is there an edge to be cut off.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from models.networks.norm import InstanceNorm
from models.precision import is_channels_last, to_channels_last
from models.tiling.fields import Rows, height_behind, slab_for
from models.tiling.moments import Moments, normalised
from models.tiling.row_file import RowFile


class Map(ABC):
    """Feature maps [B, channels, height, width] of which rows can be had, once `prepare` was called.

    sources: the maps that its rows are made of. cost: multiplications for a number of this map, from what is
    in memory or in files.
    """

    sources: tuple["Map", ...] = ()
    cost: float = 0.0

    def __init__(self, channels: int, height: int, width: int):
        self.channels, self.height, self.width = channels, height, width

    @abstractmethod
    def rows(self, rows: Rows) -> Tensor:
        """Those rows, [B, channels, bottom - top, width]."""

    def prepare(self, numbers: int) -> None:
        """Gather the statistics of the norms before this map, the first norm's first.

        numbers: that a strip of rows may hold meanwhile.
        """
        for source in self.sources:
            source.prepare(numbers)

    def row_numbers(self) -> float:
        """How many numbers a row takes, here or in the widest of the maps that are computed along with it."""
        return max([self.channels * self.width, *(source.row_numbers() * source.height / self.height
                                                  for source in self.sources)])

    def strips(self, numbers: int) -> Iterator[Rows]:
        """All rows from the top, so many at a time that no map takes much more than `numbers` for them."""
        step = max(1, int(numbers / self.row_numbers()))
        for top in range(0, self.height, step):
            yield Rows(top, min(top + step, self.height))


class Image(Map):
    """The image itself, which is in memory."""

    def __init__(self, image: Tensor):
        super().__init__(*image.shape[1:])
        self._image = image

    def rows(self, rows: Rows) -> Tensor:
        return part(self._image, rows)


class Applied(Map):
    """What layers make of a map, one after the other. None of them looks further than a few rows."""

    def __init__(self, source: Map, layers: Sequence[nn.Module]):
        shapes = [(source.channels, source.height, source.width)]
        for layer in layers:
            channels, height, width = shapes[-1]
            channels = layer.out_channels if isinstance(layer, CONVOLUTIONS) else channels
            shapes.append((channels, height_behind(layer, height), height_behind(layer, width)))
        super().__init__(*shapes[-1])
        self.sources, self.layers, self.cost = (source,), list(layers), source.cost
        self.sizes = [prod(shape) for shape in shapes]      # numbers before and behind every layer
        for layer, (before, behind) in zip(layers, pairwise(self.sizes), strict=True):
            self.cost = self.cost * before / behind + multiplications(layer)

    def row_numbers(self) -> float:
        return max(super().row_numbers(), max(self.sizes) / self.height)

    def rows(self, rows: Rows) -> Tensor:
        slab = slab_for(self.layers, self.sources[0].height, rows)
        x = self.sources[0].rows(slab.rows)
        for layer in self.layers:
            x = layer(x)
        return part(x, slab.wanted)


CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def multiplications(layer: nn.Module) -> float:
    """For one number of the output of a convolution; other layers count as free."""
    if not isinstance(layer, CONVOLUTIONS):
        return 0.0
    each = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
    return each / layer.stride[0] ** 2 if isinstance(layer, nn.ConvTranspose2d) else each


class Sum(Map):
    """The sum of two maps of one shape."""

    def __init__(self, *sources: Map):
        super().__init__(sources[0].channels, sources[0].height, sources[0].width)
        self.sources, self.cost = sources, sum(source.cost for source in sources)

    def rows(self, rows: Rows) -> Tensor:
        one, other = self.sources
        return one.rows(rows) + other.rows(rows)


class Joined(Map):
    """The channels of one map, and behind them those of another of the same size."""

    def __init__(self, *sources: Map):
        super().__init__(sum(source.channels for source in sources), sources[0].height, sources[0].width)
        self.sources, self.cost = sources, max(source.cost for source in sources)

    def rows(self, rows: Rows) -> Tensor:
        return torch.cat([source.rows(rows) for source in self.sources], dim=1)


class Kept(Map):
    """A map whose rows are computed once, in order, and read from a file when they are asked for again."""

    def __init__(self, source: Map):
        super().__init__(source.channels, source.height, source.width)
        self.sources = (source,)        # let go when all is there, and with it the files that it needs
        self._file, self._filled = RowFile(), 0

    def rows(self, rows: Rows) -> Tensor:
        if rows.bottom <= self._filled:
            return self._file.read(*rows)
        new = Rows(self._filled, rows.bottom)
        x = self.sources[0].rows(new)
        self._file.append(x)
        self._filled = rows.bottom
        if self._filled == self.height:
            self.sources = ()
        return x if new == rows else self._file.read(*rows)


class Normed(Map):
    """The norm of a map, with the mean and variance of all of it."""

    def __init__(self, source: Map, norm: InstanceNorm | nn.BatchNorm2d):
        super().__init__(source.channels, source.height, source.width)
        self.sources, self.cost = (source,), source.cost
        self.norm, self._moments = norm, Moments()

    def prepare(self, numbers: int) -> None:
        source, = self.sources
        if self._moments.count:
            return
        source.prepare(numbers)
        for strip in source.strips(numbers):
            self._moments.add(source.rows(strip))

    def rows(self, rows: Rows) -> Tensor:
        return normalised(self.norm, self.sources[0].rows(rows), self._moments.mean, self._moments.variance)


def all_before(last: Map) -> list[Map]:
    """A map and every map that it is made of, each once."""
    found, waiting = {}, [last]
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found[id(one)] = one
            waiting += one.sources
    return list(found.values())


def part(x: Tensor, rows: Rows) -> Tensor:
    """The rows of x [B, C, H, W], dense in the order of memory that x has."""
    if rows == (0, x.shape[2]):
        return x
    cut = x[:, :, rows.top:rows.bottom]
    return to_channels_last(cut) if is_channels_last(x) else cut.contiguous()
