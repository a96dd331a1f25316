"""Negatives from earlier images: queues of keys, made by slowly moving copies of G and F (He et al. 2020)."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

QueueKey = tuple[int, int]     # number of the domain (0: input, 1: target) and of the tapped layer


class MomentumQueue:
    """A queue of keys for every domain and layer, so that a patch meets earlier patches of its own kind.

    netG, netF: start as exact copies and then move towards the networks that learn, by `momentum` a step.
    size: keys a queue holds; the oldest leave first.
    """

    def __init__(self, netG: nn.Module, netF: nn.Module, *, size: int, momentum: float):
        self.netG, self.netF = (copy.deepcopy(net).requires_grad_(False) for net in (netG, netF))
        self.size, self.momentum = size, momentum
        self.queues: dict[QueueKey, Tensor] = {}    # [N, C], N up to size

    def dequeue_and_enqueue(self, queue: QueueKey, keys: Tensor) -> Tensor:
        """The queue as it was, [N, C] (N = 0 at first); the keys [B, S, C] are in it from then on."""
        keys = keys.detach().flatten(0, 1)
        earlier = self.queues.get(queue, keys[:0])
        self.queues[queue] = torch.cat([earlier, keys])[-self.size:]
        return earlier

    @torch.no_grad()
    def momentum_update(self, netG: nn.Module, netF: nn.Module, *, momentum: float | None = None) -> None:
        """slow = momentum * slow + (1 - momentum) * fast, for every weight; buffers are copied.

        momentum: another than the queue's; 0 copies the networks.
        """
        weight = 1 - (self.momentum if momentum is None else momentum)
        for slow, fast in ((self.netG, netG), (self.netF, netF)):
            for p, q in zip(slow.parameters(), fast.parameters(), strict=True):
                p.lerp_(q, weight)
            for p, q in zip(slow.buffers(), fast.buffers(), strict=True):
                p.copy_(q)

    def state_dict(self) -> dict[str, Any]:
        return {"netG": self.netG.state_dict(), "netF": self.netF.state_dict(), "queues": dict(self.queues)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """A smaller --nce_queue_size keeps the newest keys."""
        self.netG.load_state_dict(state["netG"])
        self.netF.load_state_dict(state["netF"])
        device = next(self.netG.parameters()).device
        self.queues = {queue: keys[-self.size:].to(device) for queue, keys in state["queues"].items()}
