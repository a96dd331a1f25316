"""Networks through torch.compile (--compile), or as they are where that fails."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._functorch import config as functorch_config

from models.networks.base import entrances
from util.console import say
from util.runtime.memory import is_out_of_memory


class Compiled:
    """A network's method, compiled when it is first called, and the plain one from the first failure on."""

    def __init__(self, method: Callable[..., Any], name: str):
        self._plain, self._name = method, name
        self._compiled: Callable[..., Any] | None = None
        self._failed = False

    def __call__(self, *args: Any) -> Any:
        if self._failed:
            return self._plain(*args)
        if self._compiled is None:
            self._compiled = torch.compile(self._plain)
        try:
            return self._compiled(*args)
        except Exception as error:    # of the compiler, or the method's own: then it comes again below
            if is_out_of_memory(error):
                raise
            self._failed = True
            say(f"--compile: {self._name} runs uncompiled, torch.compile failed ({_reason(error)})")
            return self._plain(*args)


def _reason(error: Exception) -> str:
    """The first line of a message; with the one behind it where it ends in a colon."""
    first, *rest = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {rest[0].strip()}"[:200] if first.endswith(":") and rest else first[:200]


def compile_network(net: nn.Module, name: str) -> None:
    """Let the network's passes be compiled; its modules, parameters and checkpoint keys stay as they are.

    A backward is compiled together with its forward. Left until it runs, as torch does by default, a failure
    in it would come too late to run the network as it is.
    """
    if hasattr(functorch_config, "force_non_lazy_backward_lowering"):
        functorch_config.force_non_lazy_backward_lowering = True
    for method in entrances(net):
        setattr(net, method, Compiled(getattr(net, method), f"net{name}"))


def announce_first_step(model: Any) -> None:
    """Say how long the model's next `train_step` takes, in which its networks are compiled."""
    plain = model.train_step

    def timed(batch: Any) -> Any:
        began = time.perf_counter()
        losses = plain(batch)
        float(losses["G"])    # waits for the device
        say(f"--compile: the first step took {time.perf_counter() - began:.0f} s, compiling included")
        model.train_step = plain
        return losses

    model.train_step = timed
