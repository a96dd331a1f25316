"""How far a generator looks, and how much memory it takes: facts that its layers tell."""

from functools import cache
from itertools import pairwise

import torch
from torch import nn

from models.networks.base import Generator
from models.tiling.fields import Rows, field_of
from models.tiling.maps import Applied, Image, Map, all_before
from models.tiling.networks import NETWORKS

SIDE = 4096         # of a pretended image, a multiple of every network's size_multiple
WORKSPACE = 2.0     # times a layer's input and output: what layers take beside them, and the map of a skip


def map_of(net: nn.Module, side: int = SIDE) -> Map:
    """The map of a network's output for a pretended image, which cannot be computed. net: see NETWORKS."""
    channels = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d)).in_channels
    return NETWORKS[type(net)](net, Image(torch.empty(1, channels, side, side, device="meta")))


def field(net: Generator) -> int:
    """Pixels of the input, a side, of which a pixel of the output is made, norms aside."""
    if net.reach is not None:
        return 2 * net.reach + 1
    last, places = map_of(net), range(SIDE // 2, SIDE // 2 + net.size_multiple, -(-net.size_multiple // 16))
    return max(bottom - top for top, bottom in (needed(last, Rows(place, place + 1)) for place in places))


def needed(last: Map, rows: Rows) -> Rows:
    """The rows of the image of which rows of a map are made; padding aside, and norms."""
    @cache      # a skip leads to one map by two ways
    def from_image(one: Map, rows: Rows) -> Rows:
        if not one.sources:
            return rows
        if isinstance(one, Applied):
            for layer in reversed(one.layers):
                rows = field_of(layer).needs(rows)
        found = [from_image(source, rows) for source in one.sources]
        return Rows(min(top for top, _ in found), max(bottom for _, bottom in found))
    return from_image(last, rows)


def numbers_per_pixel(net: Generator) -> float:
    """Numbers in memory for each pixel of an image that is translated at once, at the worst moment."""
    if type(net) not in NETWORKS:
        widest = next(weight for weight in net.parameters() if weight.ndim == 4).shape[0]
        return 2 * WORKSPACE * widest
    return WORKSPACE * max(_largest_step(one) for one in all_before(map_of(net)) if one.sources) / SIDE ** 2


def _largest_step(one: Map) -> int:
    """The most numbers that go into and come out of a layer of a map."""
    if isinstance(one, Applied):
        return max(before + behind for before, behind in pairwise(one.sizes))
    return 2 * one.channels * one.height * one.width
