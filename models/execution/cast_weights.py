"""Casts of a network's weights to autocast's 16-bit format: all by one operation in each pass.

Autocast launches a kernel for each weight of each layer, and one more for its gradient: a fifth of all that a
step of CUT launches. The numbers are the same.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.networks.base import entrances
from models.networks.patch_sampler import PatchSampler
from models.networks.patchgan import PatchDiscriminator, PixelDiscriminator, TiledPatchDiscriminator
from models.networks.resample import BlurDownsample
from models.networks.resnet import ResnetGenerator
from models.networks.unet import UnetGenerator

# Networks without a part that leaves autocast and needs its weights in float32. Others cast them one by one.
NETWORKS = (ResnetGenerator, UnetGenerator, PatchDiscriminator, PixelDiscriminator, TiledPatchDiscriminator,
            PatchSampler)
# Their layers that compute in 16 bits, and what of these is cast. Where another module computes a weight
# (spectral norm), it is left to autocast.
CAST = {nn.Conv2d: ("weight", "bias"), nn.ConvTranspose2d: ("weight", "bias"), nn.Linear: ("weight", "bias"),
        BlurDownsample: ("filt",)}


class CastTogether(torch.autograd.Function):
    """Tensors in another dtype, and their gradients back in their own; differentiable any number of times."""

    @staticmethod
    def forward(ctx, *arguments: Any) -> tuple[Tensor, ...]:
        """arguments: the tensors, and behind them the dtype."""
        *tensors, dtype = arguments
        ctx.dtype = tensors[0].dtype
        ctx.set_materialize_grads(False)
        results = tuple(torch.empty_like(x, dtype=dtype) for x in tensors)
        torch._foreach_copy_(results, tensors)
        learning = ctx.needs_input_grad[:-1]
        ctx.mark_non_differentiable(*(y for y, learns in zip(results, learning, strict=True) if not learns))
        return results

    @staticmethod
    def backward(ctx, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        arrived = [number for number, gradient in enumerate(gradients) if gradient is not None]
        cast = CastTogether.apply(*(gradients[number] for number in arrived), ctx.dtype)
        found = dict(zip(arrived, cast, strict=True))
        return *(found.get(number) for number in range(len(gradients))), None


class WithCastWeights:
    """A network's method that runs, within autocast, on weights that are cast already."""

    def __init__(self, method: Callable[..., Any], weights: Sequence[tuple[dict[str, Tensor], str]]):
        """weights: the tables in which the network's modules keep them, with their names there."""
        self._plain, self._weights = method, weights

    def __call__(self, *args: Any) -> Any:
        tensors = [table[name] for table, name in self._weights]
        device = tensors[0].device.type
        if not torch.is_autocast_enabled(device):
            return self._plain(*args)
        cast = CastTogether.apply(*tensors, torch.get_autocast_dtype(device))
        try:
            self._put(cast)
            return self._plain(*args)
        finally:
            self._put(tensors)

    def _put(self, tensors: Sequence[Tensor]) -> None:
        for (table, name), x in zip(self._weights, tensors, strict=True):
            table[name] = x


def cast_together(net: nn.Module) -> None:
    """Let the passes of one of NETWORKS cast its weights by one operation; its parameters stay."""
    if type(net) not in NETWORKS:       # a subclass may have other parts
        return
    weights = [(table, name) for module in net.modules()
               for kind, names in CAST.items() if isinstance(module, kind)
               for table in (module._parameters, module._buffers)
               for name in names if table.get(name) is not None]
    for method in entrances(net) if weights else ():
        setattr(net, method, WithCastWeights(getattr(net, method), weights))
