"""An update of networks, and what the ranks that train one model share of it: gradients and shown losses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.precision import Precision
from util.distributed import ranks
from util.errors import RunError


class SharedGradients:
    """Every update of an optimizer that it watches follows the mean of the ranks' gradients.

    BaseModel.update asks for that ahead of a step, in one message for all of its networks. An optimizer that
    is stepped by somebody else is caught at its step, so that none can be forgotten.
    """

    def __init__(self) -> None:
        self._averaged: set[int] = set()        # ids of the optimizers whose gradients are means already

    def watch(self, optimizer: Optimizer) -> None:
        if ranks.world_size() > 1:
            optimizer.register_step_pre_hook(self._before_step)

    def average(self, optimizers: Iterable[Optimizer]) -> None:
        """Put the ranks' mean in the place of every gradient. In fp16 they are scaled still: where one rank's
        overflows the mean does, so that all ranks leave the update out.
        """
        optimizers = list(optimizers)
        ranks.average([p.grad for p in parameters_of(optimizers) if p.grad is not None])
        self._averaged |= set(map(id, optimizers))

    def _before_step(self, optimizer: Optimizer, *_: object) -> None:
        if id(optimizer) not in self._averaged:
            self.average([optimizer])
        self._averaged.discard(id(optimizer))


@dataclass
class Update:
    """An update of all that some optimizers change, by the gradients of a loss into these parameters alone.

    largest_norm: an optimizer's gradient is shortened to it.
    """

    optimizers: Sequence[Optimizer]
    loss: Tensor
    precision: Precision
    gradients: SharedGradients
    largest_norm: float | None = None

    def make(self) -> None:
        self.backward()
        self.step()

    def backward(self, part: float = 1.0) -> None:
        """Add the gradients of this part of the loss."""
        loss = self.loss if part == 1 else self.loss * part
        self.precision.backward(loss, self.parameters())

    def step(self) -> None:
        """Step on the mean over the ranks of their gradients, which are then gone."""
        self.gradients.average(self.optimizers)
        for optimizer in self.optimizers:
            if self.largest_norm is not None:
                self.precision.clip(optimizer, self.largest_norm)
            self.precision.step(optimizer)
            optimizer.zero_grad(set_to_none=True)

    def parameters(self) -> list[nn.Parameter]:
        return parameters_of(self.optimizers)


def parameters_of(optimizers: Iterable[Optimizer]) -> list[nn.Parameter]:
    """What optimizers change."""
    return [parameter for optimizer in optimizers for group in optimizer.param_groups
            for parameter in group["params"]]


def mean_losses(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The means over the ranks of a step's losses; the tensors themselves where there is one rank."""
    if ranks.world_size() == 1 or not losses:
        return dict(losses)
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
