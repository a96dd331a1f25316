"""A few steps of a run that is only planned: does all fit, and how long will it take?"""

import math
import os
import resource
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from util.distributed import ranks
from util.errors import UsageError
from util.runtime.progress import Progress

FIRST_STEPS, TIMED_STEPS = 2, 10    # the first ones are slower: they choose algorithms, and may compile


class Loader(Protocol):
    """data.loader.Loader is one."""

    dataset: Any
    images_per_epoch: int

    def set_epoch(self, epoch: int, skip_images: int = 0) -> None: ...
    def __iter__(self) -> Iterator[dict[str, Any]]: ...


class Model(Protocol):
    """models.base_model.BaseModel is one."""

    def start_epoch(self, epoch: int) -> None: ...
    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]: ...


def rehearse(opt: Namespace, folder: Path, loader: Loader, model: Model, progress: Progress) -> Iterator[str]:
    """Lines: the data, the losses after ten timed steps, the memory, the plan. Writes nothing.

    Raises UsageError where the run could not write to its folder.
    """
    check_writable(folder)
    for domain, images in loader.dataset.domains.items():
        yield f"{domain}: {len(images):,} images in {images.folder}"
    batches = endless(loader, progress)
    model.start_epoch(progress.epoch)
    first = next(batches)
    for name, value in first.items():
        if isinstance(value, Tensor) and value.ndim == 4:
            yield f"{name}: {' x '.join(map(str, value.shape[1:]))} in a step's {len(value)}, read well"
    losses = model.train_step(first)
    for _ in range(FIRST_STEPS - 1):
        losses = model.train_step(next(batches))
    wait_for(losses)
    began, images = time.perf_counter(), 0
    for _ in range(TIMED_STEPS):
        batch = next(batches)
        images = len(next(value for value in batch.values() if isinstance(value, Tensor)))
        images *= ranks.world_size()
        losses = model.train_step(batch)
    shown = wait_for(losses)
    seconds = (time.perf_counter() - began) / TIMED_STEPS
    yield f"losses after {FIRST_STEPS + TIMED_STEPS} steps: " + ", ".join(
        f"{name} {value:.3f}" for name, value in shown.items())
    yield memory(opt.device)
    yield plan(progress, images, seconds)


def endless(loader: Loader, progress: Progress) -> Iterator[dict[str, Any]]:
    """Minibatches from where the run begins; more epochs than it has, if they are short."""
    epoch, skip = progress.epoch, progress.epoch_images
    while True:
        loader.set_epoch(epoch, skip_images=skip)
        yield from loader
        epoch, skip = epoch + 1, 0


def wait_for(losses: dict[str, Tensor]) -> dict[str, float]:
    """The losses as numbers, so the device has done the step."""
    return {name: float(loss) for name, loss in losses.items()}


def memory(device: torch.device) -> str:
    """What was in use at most, and what there is."""
    if device.type == "cuda":
        used, there = torch.cuda.max_memory_allocated(device), torch.cuda.mem_get_info(device)[1]
        return f"GPU memory: {used / 1e9:.2f} GB in use at most, of {there / 1e9:.1f} GB"
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"memory: {used / 1e9:.2f} GB in use at most, of {there / 1e9:.1f} GB (data workers aside)"


def plan(progress: Progress, images: int, seconds: float) -> str:
    """images: in a step. seconds: for a step."""
    epochs = max(progress.last_epoch - progress.epoch + 1, 0)
    left = epochs * progress.images_per_epoch - progress.epoch_images if epochs else 0
    steps = math.ceil(left / images)
    return (f"plan: {epochs} epochs of {progress.images_per_epoch:,} images, {steps:,} steps of {images}; at "
            f"{seconds:.3g} s a step ({images / seconds:.3g} images/s) {steps * seconds / 3600:,.1f} hours, "
            "evaluations and saves aside")


def check_writable(folder: Path) -> None:
    whole = folder.absolute()
    nearest = next(parent for parent in (whole, *whole.parents) if parent.exists())
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"{nearest} cannot be written to; choose another --checkpoints_dir")
