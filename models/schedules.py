"""Learning-rate schedules: epoch -> factor on `--lr`. Epochs count from 1."""

import math
from collections.abc import Callable


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
    """1: what lowers a plateau's rate is not the epoch but the metric (see BaseModel.end_epoch)."""
    return 1.0


SCHEDULES: dict[str, Callable[[int, int, int, int], float]] = {
    "linear": linear, "step": step, "plateau": constant, "cosine": cosine,
}
