"""Gradients of a loss as soon as it is computed, so that its activations need not wait for other losses."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def early_backward(loss: Callable[[], Tensor], parameters: Sequence[nn.Parameter]) -> Tensor:
    """loss(), a scalar, with its gradients to the parameters but without its graph.

    The gradients are computed at once and kept, as large as the parameters; backward multiplies them by what
    arrives. The result can be differentiated once, and with respect to the parameters alone.
    """
    return _EarlyBackward.apply(loss, *parameters)


class _EarlyBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss: Callable[[], Tensor], *parameters: nn.Parameter) -> Tensor:
        with torch.enable_grad():
            value = loss()
        # As in any backward, each operation in the format of its forward.
        with torch.autocast(value.device.type, enabled=False):
            gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        ctx.save_for_backward(*gradients)
        return value.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, factor: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(None if g is None else g * factor for g in ctx.saved_tensors)
