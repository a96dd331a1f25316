"""Tiles that cover an image, and the weights with which their overlaps are blended."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from models.tiling.fields import Rows


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[Rows]:
    """Where tiles begin and end along one side of an image, from the first to the last pixel.

    length: of the side, a multiple of `multiple`. Neighbours share `overlap` pixels or more. Every tile
    begins and ends at a multiple of `multiple`, so that the network halves it at the places where it halves
    the image. One tile covers a side that is no longer than it.
    """
    tile = -(-tile // multiple) * multiple
    if length <= tile:
        return [Rows(0, length)]
    step = max(multiple, (tile - overlap) // multiple * multiple)
    tops = [*range(0, length - tile, step), length - tile]
    return [Rows(top, top + tile) for top in tops]


def weights(tiles: list[Rows], overlap: int) -> list[Tensor]:
    """The weights of each tile's pixels along one side. At every pixel of the side they sum to 1.

    At an edge that another tile covers, a quarter of the overlap has no weight: these pixels lack neighbours.
    Then the weights rise linearly over half of it.
    """
    length = tiles[-1].bottom
    total, raw = torch.zeros(length), []
    for top, bottom in tiles:
        place = torch.arange(top, bottom) + 0.5
        inner = torch.stack([place - top if top else place.new_full(place.shape, torch.inf),
                             bottom - place if bottom < length else place.new_full(place.shape, torch.inf)])
        away = inner.amin(0)        # pixels from the nearest such edge
        raw.append(((away - overlap / 4) / max(overlap / 2, 1)).clamp(0, 1))
        total[top:bottom] += raw[-1]
    return [weight / total[top:bottom] for weight, (top, bottom) in zip(raw, tiles, strict=True)]


def in_tiles(translate: Callable[[Tensor], Tensor], images: Tensor, *, tile: int, overlap: int,
             multiple: int) -> Tensor:
    """The translations of an image's tiles, blended where they overlap.

    images: [B, C, H, W], sides multiples of `multiple`. Returns [B, C_out, H, W] in float32.
    """
    down, across = (spans(length, tile, overlap, multiple) for length in images.shape[2:])
    made = torch.zeros(0)
    for (rows, above), (columns, beside) in product(zip(down, weights(down, overlap), strict=True),
                                                    zip(across, weights(across, overlap), strict=True)):
        piece = translate(images[:, :, rows.top:rows.bottom, columns.top:columns.bottom])
        if not made.numel():
            made = piece.new_zeros(*piece.shape[:2], *images.shape[2:], dtype=torch.float32)
        weight = (above[:, None] * beside).to(piece.device)
        made[:, :, rows.top:rows.bottom, columns.top:columns.bottom] += piece * weight
    return made
