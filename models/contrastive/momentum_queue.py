"""Negatives from earlier images: queues of keys, made by slowly moving copies of G and F (He et al. 2020)."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

QueueKey = tuple[int, int]     # number of the domain (0: input, 1: target) and of the tapped layer


class KeyQueue:
    """The newest `size` keys, oldest first.

    They are a window that slides through memory of twice that length, so that keys that come in are all that
    a step writes; at the end of it the window starts anew at the front. Keys of a step are written only at
    its end (`settle`): until then its losses may need the old ones for their backward.
    """

    def __init__(self, size: int, keys: Tensor):
        """keys: [N, C], like those to come; they are not let in."""
        self._size, self._end = size, 0
        self._memory = keys.new_empty(2 * size, keys.shape[1])
        self._new = keys[:0]        # of this step, not written yet

    def keys(self) -> Tensor:
        """[N, C]; a view where no keys came in this step, to be used within it."""
        settled = self._memory[max(0, self._end - self._size):self._end]
        return torch.cat([settled, self._new])[-self._size:] if len(self._new) else settled

    def push(self, keys: Tensor) -> None:
        """Let keys [N, C] in; the oldest leave."""
        self._new = torch.cat([self._new, keys])[-self._size:] if len(self._new) else keys[-self._size:]

    def forget_new(self) -> None:
        """Leave out the keys that came in during this step, which begins anew."""
        self._new = self._new[:0]

    def settle(self) -> None:
        """To be called at the end of a step, after the backward of its losses."""
        new, self._new = self._new, self._new[:0]
        if self._end + len(new) > len(self._memory):
            kept = self._size - len(new)
            self._memory[:kept] = self._memory[self._end - kept:self._end]
            self._end = kept
        self._memory[self._end:self._end + len(new)] = new
        self._end += len(new)


class MomentumQueue:
    """A queue of keys for every domain and layer, so that a patch meets earlier patches of its own kind.

    netG, netF: start as exact copies and then move towards the networks that learn, by `momentum` a step.
    size: keys a queue holds; the oldest leave first.
    """

    def __init__(self, netG: nn.Module, netF: nn.Module, *, size: int, momentum: float):
        self.netG, self.netF = (copy.deepcopy(net).requires_grad_(False) for net in (netG, netF))
        self.size, self.momentum = size, momentum
        self._queues: dict[QueueKey, KeyQueue] = {}

    @property
    def queues(self) -> dict[QueueKey, Tensor]:
        """Copies of the keys of each place, [N, C], N up to size, oldest first."""
        return {place: queue.keys().clone() for place, queue in self._queues.items()}

    def dequeue_and_enqueue(self, place: QueueKey, keys: Tensor) -> Tensor:
        """The queue as it was, [N, C] (N = 0 at first); the keys [B, S, C] are in it from then on.

        What is returned may be used until `momentum_update`, which ends the step.
        """
        keys = keys.detach().flatten(0, 1)
        if place not in self._queues:
            self._queues[place] = KeyQueue(self.size, keys)
        earlier = self._queues[place].keys()
        self._queues[place].push(keys)
        return earlier

    def forget_new(self) -> None:
        """Leave out the keys of this step, which begins anew."""
        for queue in self._queues.values():
            queue.forget_new()

    @torch.no_grad()
    def momentum_update(self, netG: nn.Module, netF: nn.Module, *, momentum: float | None = None) -> None:
        """slow = momentum * slow + (1 - momentum) * fast, for every weight; buffers are copied. Ends a step.

        momentum: another than the queue's; 0 copies the networks.
        """
        for queue in self._queues.values():
            queue.settle()
        weight = 1 - (self.momentum if momentum is None else momentum)
        slow, fast = (self.netG, self.netF), (netG, netF)
        weights, targets = ([p for net in nets for p in net.parameters()] for nets in (slow, fast))
        torch._foreach_lerp_(weights, targets, weight)
        buffers, targets = ([b for net in nets for b in net.buffers()] for nets in (slow, fast))
        if buffers:
            torch._foreach_copy_(buffers, targets)

    def state_dict(self) -> dict[str, Any]:
        return {"netG": self.netG.state_dict(), "netF": self.netF.state_dict(), "queues": self.queues}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """A smaller --nce_queue_size keeps the newest keys."""
        self.netG.load_state_dict(state["netG"])
        self.netF.load_state_dict(state["netF"])
        device = next(self.netG.parameters()).device
        self._queues = {}
        for place, keys in state["queues"].items():
            self._queues[place] = KeyQueue(self.size, keys.to(device))
            self._queues[place].push(keys.to(device))
            self._queues[place].settle()
