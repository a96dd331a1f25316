"""What autocast must leave alone: steps that gain nothing from fewer bits, or lose by them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def own_dtype(x: Tensor) -> AbstractContextManager:
    """Within it, autocast changes no dtype on x's device.

    Autocast turns the input of norms, paddings and resizings into float32, which only moves more bytes: their
    kernels add up in float32 whatever comes in. It turns matrix products into bfloat16, which losses must not.
    """
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """x itself, or in float32 where it has fewer bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
