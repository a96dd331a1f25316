"""The translation of images that are too large for one pass of a network."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.networks.base import Generator, NetworkError, fit_sides, translate
from models.networks.tiled import Tiled
from models.tiling.blending import in_tiles
from models.tiling.exact import translate_exactly
from models.tiling.networks import NETWORKS
from models.tiling.quick import small_copy, statistics_of
from models.tiling.reach import field, numbers_per_pixel
from util.console import say
from util.runtime.memory import free_bytes

AUTOMATIC = 384     # --tile, in pixels, where the image does not fit and none is given
COPY = 4            # tiles' area that the small copy has with --tile_statistics quick
SHARE = 0.9         # of the free memory that an image may take before it is translated in tiles


class Tiles(NamedTuple):
    """Side and overlap of tiles, in pixels."""

    side: int
    overlap: int


def exact(net: Generator, images: Tensor, tiles: Tiles) -> Tensor:
    """The network's own output: layer by layer, statistics over the whole image, maps in files."""
    return translate_exactly(net, images, tiles.side)


def quick(net: Generator, images: Tensor, tiles: Tiles) -> Tensor:
    """Blended tiles with the statistics of a small copy of the image."""
    made = []
    for image in images.split(1):
        with statistics_of(net, small_copy(image, COPY * tiles.side ** 2)):
            made.append(alone(net, image, tiles))
    return torch.cat(made)


def alone(net: Generator, images: Tensor, tiles: Tiles) -> Tensor:
    """Blended tiles, each with statistics of its own: colours and contrast may change from tile to tile."""
    return in_tiles(net, images, tile=tiles.side, overlap=tiles.overlap, multiple=net.size_multiple)


# --tile_statistics: what the norms' mean and variance are taken from -> how images are translated.
STATISTICS: dict[str, Callable[[Generator, Tensor, Tiles], Tensor]] = {
    "exact": exact, "quick": quick, "tile": alone}


class Tiling:
    """Translates images in tiles where that is asked for, or where they do not fit into memory.

    tile: side of a tile in pixels; None: as few as needed, so none for an image that fits; 0: never.
    overlap: pixels that neighbouring tiles share. statistics: a name in STATISTICS. number_bytes: of a number
    in the networks' maps.
    """

    def __init__(self, tile: int | None, overlap: int, statistics: str, *, number_bytes: int):
        self.tile, self.overlap, self.statistics = tile, overlap, statistics
        self.number_bytes = number_bytes

    def check(self, net: nn.Module) -> None:
        """Raises NetworkError, in one line, where --tile cannot work with the network."""
        if not self.tile or isinstance(net, Tiled):
            return
        if not isinstance(net, Generator) or not self._works(net):
            remedy = "use --tile_statistics quick" if isinstance(net, Generator) else "leave --tile out"
            raise NetworkError(f"--tile {self.tile} with --tile_statistics {self.statistics} does not know "
                               f"this generator ({type(net).__name__}); {remedy}")
        smallest = field(net) if type(net) in NETWORKS or net.reach is not None else 1
        if self.tile < smallest:
            raise NetworkError(f"--tile is {self.tile}, but a pixel of this generator's output is made of "
                               f"{smallest} x {smallest} pixels; give --tile {smallest} or more")
        if self.statistics != "exact" and 2 * self.overlap > self.tile:
            raise NetworkError(f"--tile_overlap is {self.overlap}, more than half of --tile {self.tile}; "
                               f"give {self.tile // 2} or less")

    def _works(self, net: Generator) -> bool:
        return self.statistics != "exact" or type(net) in NETWORKS or net.reach is not None

    def __call__(self, net: nn.Module, images: Tensor) -> Tensor:
        """net(images) at any size: [B, C, H, W] in [-1, 1] -> [B, C_out, H, W]. See translate."""
        side = self._side(net, images)
        if side is None or max(images.shape[2:]) <= side:
            return translate(net, images)
        height, width = images.shape[2:]
        if isinstance(net, Tiled):
            made = Tiled(net.net, side)(fit_sides(net, images))
        elif net.reach is not None:
            made = Tiled(net, side)(fit_sides(net, images))
        else:
            made = STATISTICS[self.statistics](net, fit_sides(net, images), Tiles(side, self.overlap))
        return made[..., :height, :width]

    def _side(self, net: nn.Module, images: Tensor) -> int | None:
        """The side of the tiles for these images; None where they go through the network at once."""
        if self.tile is not None:
            return self.tile or None
        if not isinstance(net, Generator) or isinstance(net, Tiled) or not self._works(net):
            return None
        pixels = len(images) * images.shape[2] * images.shape[3]
        free = free_bytes(images.device)
        needed = pixels * numbers_per_pixel(net) * self.number_bytes
        if free is None or needed < SHARE * free:
            return None
        side = max(AUTOMATIC, field(net))
        say(f"{images.shape[3]}x{images.shape[2]} pixels take about {needed / 1e9:.1f} GB at once, and "
            f"{free / 1e9:.1f} GB are free: translated in parts, --tile {side} --tile_statistics "
            f"{self.statistics}")
        return side
