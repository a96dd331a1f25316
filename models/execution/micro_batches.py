"""A training step on a minibatch that is taken in micro-batches, one after the other (--accumulate).

The step of a model is Python that updates one network and goes on with the new one. So that it can stay as it
is written, it is run on every micro-batch, and broken off where it needs what only all of them together have:
the gradients of an update, or tensors of all images (`parts.whole`). When the last has come there, the
need is met, and the step is run again on the others: with the same random numbers, the weights as they were
at each moment, and what was already found in its place. The last one simply goes on.

What comes out is the step on the whole minibatch but for rounding, in the memory of a micro-batch. The price
is forward passes: CUT's step, which updates D and then G and F, runs 2 n - 1 times on n micro-batches.
"""

import random
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.execution.over_ranks import gather, total
from models.networks.parts import Division
from models.precision import Precision
from util.distributed import ranks
from util.errors import UsageError

Batch = Mapping[str, Any]


class Model(Protocol):
    """What it needs of a model; models.base_model.BaseModel is one."""

    losses: dict[str, Tensor]
    batch: Batch
    device: torch.device
    input_key: str
    groups: int
    precision: Precision

    def parameters_of(self, *names: str) -> list[nn.Parameter]: ...
    def step(self, *names: str, largest_norm: float | None = None) -> None: ...
    def run_step(self, batch: Batch) -> None: ...
    def remember(self) -> list[Callable[[], None]]: ...


class BrokenOff(BaseException):
    """The step under way has given what it had to give. Not an Exception: nobody may take it for an error."""


@dataclass
class Updated:
    """An update that was made: the weights before and after it."""

    parameters: Sequence[nn.Parameter]
    before: Sequence[Tensor]
    after: Sequence[Tensor]

    def undo(self) -> None:
        for parameter, weights in zip(self.parameters, self.before, strict=True):
            parameter.data = weights

    def redo(self) -> None:
        """As the update itself, it makes a backward fail that still needs the weights before."""
        for parameter, weights in zip(self.parameters, self.after, strict=True):
            parameter.data = weights
            torch.autograd.graph.increment_version(parameter)


class MicroBatches:
    """Takes a step of a model in `count` micro-batches."""

    def __init__(self, model: Model, count: int):
        self.model, self.count = model, count
        self._micro = 0                 # the micro-batch under way
        self._event = 0                 # how many needs of all it has come to in this run
        self._met: list[Updated | list[Tensor]] = []      # the needs that are met, in order
        self._given: dict[int, list[Tensor]] = {}               # towards the next: what each micro-batch gave

    def __call__(self, batch: Batch) -> None:
        """A whole step on a minibatch. It leaves the attributes of the last run, and the mean losses."""
        model, batches = self.model, split(batch, self.count, len(batch[self.model.input_key]))
        self._micro, self._met, self._given = 0, [], {}
        attributes, remembered, state = dict(vars(model)), model.remember(), random_state(model.device)
        losses: dict[int, dict[str, Tensor]] = {}
        while True:
            model.losses, model.batch, self._event = {}, batches[self._micro], 0
            finished = self._run(batches[self._micro])
            losses[self._micro] = {name: loss.detach() for name, loss in model.losses.items()}
            if finished:
                break
            # Attributes hold the graph of the run, whose memory the next one needs.
            vars(model).clear()
            vars(model).update(attributes)
            for bring_back in remembered:
                bring_back()
            set_random_state(state, model.device)
            for met in reversed(self._met):
                if isinstance(met, Updated):
                    met.undo()
            self._micro = next(n for n in range(self.count) if n not in self._given)
        model.batch = batch
        model.losses = {name: torch.stack([of[name] for of in losses.values() if name in of]).mean(0)
                        for name in model.losses}
        self._met, self._given = [], {}

    def _run(self, batch: Batch) -> bool:
        """The step on a micro-batch. Returns whether it came to its end."""
        there = ranks.world_size()
        division = Division(len(batch[self.model.input_key]) // self.model.groups,
                            self._micro * there + ranks.rank(), self.count * there, self.gather, total)
        try:
            with parts.divided(division):
                self.model.run_step(batch)
        except BrokenOff:
            return False
        return True

    def gather(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor with those of all micro-batches and ranks, one behind the other."""
        if self._event == len(self._met):
            self._give(gather(tensors))
            together = zip(*(self._given[n] for n in range(self.count)), strict=True)
            self._met.append([torch.cat(list(x)) for x in together])
            self._given = {}
        self._event += 1
        return self._met[self._event - 1]

    def update(self, names: Sequence[str], loss: Tensor, largest_norm: float | None) -> None:
        """BaseModel.update's work, by the mean over the micro-batches of their gradients."""
        model, parameters = self.model, self.model.parameters_of(*names)
        if self._event == len(self._met):
            model.precision.backward(loss / self.count, parameters)
            self._give([])
            self._given = {}
            before = [parameter.data for parameter in parameters]
            for parameter in parameters:
                parameter.data = parameter.data.clone()
            model.step(*names, largest_norm=largest_norm)
            self._met.append(Updated(parameters, before, [parameter.data for parameter in parameters]))
        else:
            self._met[self._event].redo()
        self._event += 1

    def _give(self, tensors: list[Tensor]) -> None:
        """Keep what this micro-batch gives; break its run off unless it is the last."""
        self._given[self._micro] = tensors
        if len(self._given) < self.count:
            raise BrokenOff


def remembered(tensor: Tensor) -> Callable[[], Tensor]:
    """A function that puts what a tensor holds now back into it."""
    before = tensor.clone()
    return lambda: tensor.copy_(before)


def check_accumulate(opt: Namespace, model: Any) -> None:
    """Raise UsageError where --accumulate cannot give what the whole minibatch does."""
    flag, name = f"--accumulate {opt.accumulate}", type(model).__name__
    if "remember" not in vars(type(model)):
        raise UsageError(f"{flag} runs parts of a step again, but {name} does not say what its step keeps: "
                         "leave it out, or see docs/plugins.md")
    for network, net in model.networks.items():
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules()):
            raise UsageError(f"{flag} takes a minibatch in parts, but network {network} takes statistics "
                             "over all of it (batch norm): leave one of them out, or use several GPUs")


def split(batch: Batch, count: int, images: int) -> list[dict[str, Any]]:
    """A minibatch of so many images as `count` smaller ones; what is not of each image is in all of them."""
    size = images // count
    return [{name: value[n * size:(n + 1) * size]
             if isinstance(value, (Tensor, list)) and len(value) == images else value
             for name, value in batch.items()} for n in range(count)]


def random_state(device: torch.device) -> tuple[Any, ...]:
    """Of the generators that a step may draw from, as they keep it."""
    on_device = torch.cuda.get_rng_state(device) if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), on_device, random.getstate(), np.random.get_state()


def set_random_state(state: tuple[Any, ...], device: torch.device) -> None:
    on_host, on_device, of_python, of_numpy = state
    torch.set_rng_state(on_host)
    if on_device is not None:
        torch.cuda.set_rng_state(on_device, device)
    random.setstate(of_python)
    np.random.set_state(of_numpy)
