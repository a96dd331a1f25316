"""What autocast must leave alone: steps that gain nothing from fewer bits, or lose by them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def own_dtype(x: Tensor) -> AbstractContextManager:
    """Within it, autocast changes no dtype on x's device.

    Autocast turns the input of norms, paddings and resizings into float32. That only moves more bytes: their
    kernels add up in float32 whatever comes in.
    """
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """x itself, or in float32 where it has fewer bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Tanh(nn.Tanh):
    """tanh in float32 at least: with bfloat16's 8 bits, neighbouring gray levels would fall together."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(at_least_float32(x))
