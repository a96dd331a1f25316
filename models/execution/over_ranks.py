"""A training step on several ranks: each takes its part of the minibatch, and they share what they find."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import models.networks.parts as parts
from models.networks.parts import Division
from util.distributed import ranks
from util.errors import RunError


class Model(Protocol):
    """What it needs of a model; models.base_model.BaseModel is one."""

    input_key: str
    groups: int

    def eager_step(self, batch: Mapping[str, Any]) -> dict[str, Tensor]: ...


class OverRanks:
    """A model's training steps on this rank's part of each minibatch.

    Every update of an optimizer that it watches follows the mean of the ranks' gradients. BaseModel.step asks
    for that first, in one message for all of its networks. An optimizer that is stepped by somebody else is
    caught at its step, so that none can be forgotten.
    """

    def __init__(self, model: Model):
        self.model = model
        self._averaged: set[int] = set()        # ids of the optimizers whose gradients are means already

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """A step. Returns the means over the ranks of its losses."""
        images = len(batch[self.model.input_key]) // self.model.groups
        with parts.divided(Division(images, ranks.rank(), ranks.world_size(), gather, total)):
            return mean_losses(self.model.eager_step(batch))

    def watch(self, optimizer: Optimizer) -> None:
        optimizer.register_step_pre_hook(self._before_step)

    def average(self, optimizers: Iterable[Optimizer]) -> None:
        """Put the ranks' mean in the place of every gradient. In fp16 they are scaled still: where one rank's
        overflows the mean does, so that all ranks leave the update out.
        """
        for optimizer in (optimizers := list(optimizers)):
            self._averaged.add(id(optimizer))
        ranks.average([parameter.grad for optimizer in optimizers for group in optimizer.param_groups
                       for parameter in group["params"] if parameter.grad is not None])

    def _before_step(self, optimizer: Optimizer, *_: object) -> None:
        if id(optimizer) not in self._averaged:
            self.average([optimizer])
        self._averaged.discard(id(optimizer))


def over_ranks(model: Model) -> OverRanks | None:
    """None where there is one rank."""
    return OverRanks(model) if ranks.world_size() > 1 else None


def gather(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor with those of all ranks, one behind the other."""
    return [ranks.gather(x) for x in tensors]


def total(x: Tensor) -> Tensor:
    """The sum over the ranks."""
    return ranks.gather(x[None]).sum(0)


def mean_losses(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The means over the ranks of a step's losses."""
    if not losses:
        return {}
    together = torch.stack([loss.float() for loss in losses.values()])
    ranks.average([together])
    return dict(zip(losses, together.unbind(), strict=True))


def check_agreement(networks: Mapping[str, nn.Module]) -> None:
    """Raise RunError, on all ranks, where a network's weights or buffers differ between ranks in any bit.

    To be called on every rank. A network costs one number.
    """
    if ranks.world_size() == 1:
        return
    digests = torch.stack([digest(list(net.state_dict().values())) for net in networks.values()])
    of_ranks = ranks.gather(digests[None])
    differing = (of_ranks != of_ranks[0]).any(0).tolist()
    for name, differs in zip(networks, differing, strict=True):
        if differs:
            raise RunError(f"the weights of network {name} are not the same on all ranks, so that they no "
                           "longer train one model: its gradients, or what it keeps from step to step, are "
                           "not shared (docs/distributed.md)")


@torch.no_grad()
def digest(tensors: Sequence[Tensor]) -> Tensor:
    """A number, int64, of the bits of tensors and their places: any one bit that differs changes it."""
    total = torch.zeros((), dtype=torch.int64, device=tensors[0].device if tensors else None)
    for number, tensor in enumerate(tensors, 1):
        words = tensor.contiguous().view(-1).view(torch.uint8).to(torch.int64)
        places = torch.arange(1, len(words) + 1, device=words.device)
        total = total * 31 + (words * (places * 2 + 1)).sum() + number
    return total
