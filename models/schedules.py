"""Learning-rate schedules: epoch -> factor on --lr, --lr_G and --lr_D. Epochs count from 1."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau


def linear(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    """1 for `n_epochs` epochs, then straight down; 0 in the epoch after the last one, and from there on."""
    return max(0.0, 1 - max(0, epoch - n_epochs) / (n_epochs_decay + 1))


def step(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    """A tenth after every `decay_iters` epochs."""
    return 0.1 ** ((epoch - 1) // decay_iters)


def cosine(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    """Half a cosine from 1 to 0 over all n_epochs + n_epochs_decay epochs; it does not climb again."""
    total = max(1, n_epochs + n_epochs_decay)
    return (1 + math.cos(math.pi * min(1.0, (epoch - 1) / total))) / 2


def constant(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    """1; also for a plateau, whose rate depends on scores, not on the epoch (see LearningRate.end_epoch)."""
    return 1.0


SCHEDULES: dict[str, Callable[[int, int, int, int], float]] = {
    "linear": linear, "step": step, "plateau": constant, "cosine": cosine,
    "constant": constant,
}


class LearningRate:
    """The learning rates of all optimizers: each its first rate times one factor, which is a function of the
    epoch or, with `plateau`, of earlier scores.
    """

    def __init__(self, policy: str, first_rate: Callable[[str], float],
                 optimizers: Mapping[str, Optimizer], *, n_epochs: int, n_epochs_decay: int,
                 decay_iters: int, device: torch.device, warmup: int = 0):
        """policy: a name in SCHEDULES. first_rate: an optimizer's name -> its rate at factor 1. optimizers:
        the model's by name, also those to come. The numbers are epochs; in the first `warmup` of them the
        rates climb in a straight line.
        """
        self.policy, self.first_rate = policy, first_rate
        self._epochs, self._warmup = (n_epochs, n_epochs_decay, decay_iters), max(1, warmup)
        self.optimizers = optimizers
        self.plateaus: list[ReduceLROnPlateau] = []
        self.epoch_losses = torch.zeros(2, device=device)      # of this epoch: sum of G's losses, steps

    def add_plateau(self, optimizer: Optimizer) -> None:
        """With `plateau`, let the scores decide this optimizer's rate."""
        if self.policy == "plateau":
            self.plateaus.append(ReduceLROnPlateau(optimizer, factor=0.2, threshold=0.01, patience=5))

    @property
    def rate(self) -> float:
        """The rate now, of the first optimizer."""
        return float(next(iter(self.optimizers.values())).param_groups[0]["lr"])

    def start_epoch(self, epoch: int) -> None:
        """Set the rates of an epoch (from 1); a plateau keeps the rates that it has.

        A group with a first rate of its own keeps it under torch's name for that, initial_lr.
        """
        if self.plateaus:
            return
        factor = SCHEDULES[self.policy](epoch, *self._epochs) * min(1.0, epoch / self._warmup)
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = group.get("initial_lr", self.first_rate(name)) * factor

    def add_loss(self, loss_G: Tensor) -> None:
        """Count G's loss of a step, a scalar on the device, towards the epoch's mean. Waits for nothing."""
        self.epoch_losses += torch.stack([loss_G, torch.ones_like(loss_G)])

    def end_epoch(self, scores: Sequence[float] | None = None) -> None:
        """Tell the plateaus the scores of the epoch's evaluations, lower being better.

        None stands for a run without evaluations: the plateaus then follow the epoch's mean loss of G.
        """
        if not self.plateaus:
            return
        total, steps = self.epoch_losses.tolist()
        if scores is None:
            scores = [total / steps] if steps else []
        for score in scores:
            for plateau in self.plateaus:
                plateau.step(score)
        self.epoch_losses.zero_()

    def state_dict(self) -> dict[str, Any]:
        return {"plateaus": [p.state_dict() for p in self.plateaus], "epoch_losses": self.epoch_losses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for plateau, saved in zip(self.plateaus, state["plateaus"], strict=True):
            plateau.load_state_dict(saved)
        self.epoch_losses.copy_(state["epoch_losses"])
