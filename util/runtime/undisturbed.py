"""Translating in the middle of a training without a trace in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import nn

from util.runtime.seed import random_state, seed_everything, set_random_state


class Model(Protocol):
    """What is needed of a model; models.base_model.BaseModel is one."""

    networks: dict[str, nn.Module]

    def train(self, mode: bool) -> None: ...


@contextmanager
def undisturbed(model: Model, seed: int) -> Iterator[None]:
    """Within the block the networks translate as test.py --eval would, with random numbers from the seed;
    after it modes and random numbers are as before.
    """
    modes = {module: module.training for net in model.networks.values() for module in net.modules()}
    state = random_state()
    seed_everything(seed)
    model.train(False)
    try:
        yield
    finally:
        set_random_state(state)
        for module, training in modes.items():
            module.training = training
