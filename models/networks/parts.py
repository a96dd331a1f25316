"""The part of a minibatch that is computed here and now, and what the parts of one minibatch share.

A minibatch is divided over the ranks and, with --accumulate, over micro-batches that follow each other.
Within a step, code that needs more than each image by itself says so here:

- `drawn`: random numbers that belong to images. They are drawn for the whole minibatch, whose generators'
  states are the same in all parts, and a part takes its share.
- `whole`: tensors of all images, for what compares images; `own` takes this part's share of such a tensor.
- `summed`: sums over all images, for batch norms.

So a step gives what it gives on the whole minibatch. Outside a step, and where nothing is divided, all of
these change nothing. Micro-batch m of rank r holds the images that follow those of micro-batches before m,
and, within m, those of the ranks before r.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Division:
    """How the minibatch of a step is divided, and how its parts share tensors.

    images: of a domain in a part. number: which of `count` parts this is, from 0. gather: of tensors of this
    part, each with those of all parts, one behind the other. total: the sum of a tensor over the parts.
    """

    images: int
    number: int
    count: int
    gather: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    total: Callable[[Tensor], Tensor]


_division: Division | None = None       # of the step under way


@contextmanager
def divided(division: Division) -> Iterator[None]:
    """Within it a step is computed on a part of a minibatch."""
    global _division
    before, _division = _division, division
    try:
        yield
    finally:
        _division = before


def count() -> int:
    """How many parts the minibatch of the step under way has; 1 outside a step."""
    return _division.count if _division else 1


def number() -> int:
    """Which of them this is, from 0."""
    return _division.number if _division else 0


def drawn(draw: Callable[[int], Tensor], images: int, dim: int = 0) -> Tensor:
    """draw(images), random numbers with that many entries along `dim`: those that belong to this part."""
    return own(draw(images * count()), dim)


def normal(*shape: int, like: Tensor, dim: int = 0) -> Tensor:
    """N(0, 1) in this shape, with this part's images along `dim`; of the type and on the device of `like`."""
    def draw(images: int) -> Tensor:
        return torch.randn(*shape[:dim], images, *shape[dim + 1:], dtype=like.dtype, device=like.device)

    return drawn(draw, shape[dim], dim)


def own(x: Tensor, dim: int = 0) -> Tensor:
    """This part's share of x, whose entries along `dim` belong to the images of a whole minibatch.

    Where these are several times its images, they are several domains, one behind the other.
    """
    if count() == 1:
        return x
    images = x.shape[dim] // count()
    unit = images if images % _division.images else _division.images
    return x.unflatten(dim, (-1, count(), unit)).select(dim + 1, number()).flatten(dim, dim + 1)


def whole(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors [B, ...] of all parts: [parts * B, ...] each. What all parts compute of them must be alike.

    A gradient reaches this part's share alone, times the number of parts: the mean over the parts of what
    they all compute then has the gradient that it has on the whole minibatch.
    """
    if count() == 1:
        return tensors
    blocks = _division.gather([x.detach() for x in tensors])
    return tuple(_Among.apply(x, block, number(), count()) for x, block in zip(tensors, blocks, strict=True))


class _Among(torch.autograd.Function):
    """A part's tensor among those of all parts."""

    @staticmethod
    def forward(ctx, x: Tensor, block: Tensor, number: int, count: int) -> Tensor:
        ctx.place = slice(number * len(x), (number + 1) * len(x)), count
        return block

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        place, count = ctx.place
        return gradient[place] * count, None, None, None


def summed(x: Tensor) -> Tensor:
    """The sum of x over the parts. Its gradient is summed, too, and can be differentiated again."""
    return _Sum.apply(x, _division.total)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, total: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.total = total
        return total(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(gradient, ctx.total), None
