"""Exponential moving averages of the generators' weights (--ema)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from util.checkpoints.weights import save_file
from util.console import say
from util.errors import UsageError

SUFFIX = "_ema"     # behind a network's name in weight files, and behind a metric's in scores
RAMP = 0.05         # at the start the half-life is this part of the images averaged so far


class EMA:
    """A slowly moving copy of the weights of some networks, for translation: it evens out single steps.

    What a weight was counts half as much `half_life` images later; during the first half_life / RAMP images
    less long, so that the random start is soon forgotten. Buffers are copied. The definition of StyleGAN2-ADA
    (Karras et al. 2020) and EDM (2022).

    networks: by name; they keep learning as if there were no averages.
    """

    def __init__(self, networks: Mapping[str, nn.Module], half_life: float):
        # The tensors themselves: whatever changes them in place is seen here.
        self._live = {name: net.state_dict(keep_vars=True) for name, net in networks.items()}
        self.half_life = half_life      # images
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Begin anew with the networks as they are now."""
        self.images = 0     # averaged so far
        self.averages = {name: {key: tensor.detach().clone() for key, tensor in tensors.items()}
                         for name, tensors in self._live.items()}

    @torch.no_grad()
    def update(self, images: int) -> None:
        """Move the averages towards the networks, after a step on so many images."""
        half_life = min(self.half_life, RAMP * self.images)
        keep = 0.5 ** (images / half_life) if half_life else 0.0
        weights, buffers = self._pairs(parameters=True), self._pairs(parameters=False)
        torch._foreach_lerp_(*weights, 1 - keep)
        if buffers[0]:
            torch._foreach_copy_(*buffers)
        self.images += images

    def _pairs(self, parameters: bool) -> tuple[list[Tensor], list[Tensor]]:
        """The averages, and what they are averages of: the parameters, or else the buffers."""
        pairs = [(self.averages[name][key], tensor) for name, tensors in self._live.items()
                 for key, tensor in tensors.items() if isinstance(tensor, nn.Parameter) == parameters]
        return [average for average, _ in pairs], [tensor for _, tensor in pairs]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the networks compute with the averages; after it with their own weights again."""
        averages, live = (a + b for a, b in zip(self._pairs(True), self._pairs(False), strict=True))
        own = [tensor.data for tensor in live]
        for tensor, average in zip(live, averages, strict=True):
            tensor.data = average
        try:
            yield
        finally:
            for tensor, data in zip(live, own, strict=True):
                tensor.data = data

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images, "networks": self.averages}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.images = state["images"]
        for name, tensors in self.averages.items():
            for key, average in tensors.items():
                average.copy_(state["networks"][name][key])


def resume(ema: EMA | None, saved: Mapping[str, Any] | None) -> None:
    """Go on with saved averages. A line says where a run has averages that its saved state lacks, or has none
    any more.
    """
    if ema and saved:
        ema.load_state_dict(saved)
    elif ema:
        ema.restart()
        say("--ema: the saved state holds no averages; they start from its weights")
    elif saved:
        say("--ema is 0: the averages in the saved state are dropped")


# ---- weight files


def averages_path(path: Path) -> Path:
    """The file of the averages beside a generator's weight file."""
    return path.with_name(f"{path.stem}{SUFFIX}{path.suffix}")


def save_averages(path: Path, averages: Mapping[str, Tensor] | None) -> None:
    """Write a generator's averages beside its weight file; None: remove those that an earlier run left."""
    if averages is None:
        averages_path(path).unlink(missing_ok=True)
    else:
        save_file(averages_path(path), averages)


def existing_averages(path: Path) -> Path:
    """averages_path(path). Raises UsageError where there are weights without averages."""
    averages = averages_path(path)
    if path.exists() and not averages.exists():
        raise UsageError(f"--use_ema: there is {path}, but no {averages.name}; leave out --use_ema, or train "
                         "with --ema")
    return averages
