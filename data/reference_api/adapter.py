"""Reads a data set that is written against the reference's interface as the program reads its own."""

import os
import random
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.base_dataset import BaseDataset
from util.errors import UsageError
from util.reference_files import in_one_line
from util.reference_options import OfFile, ReferenceOptions, reference_options


class ReferenceDataset(OfFile, BaseDataset):
    """A data set of ours around an object of a file's class. The subclass of a file names the class.

    Its items are a function of (seed, epoch, index), too: for each, the global random numbers of Python,
    NumPy and torch start from the item's own stream.
    """

    package = "data"
    written: type[Dataset]

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.dataroot()
        with in_one_line(self.file()):
            with global_random(opt.seed):
                self.inner = self.written(translating(reference_options(opt)))
            if len(self.inner) == 0:
                raise UsageError(f"{self.file()} finds no images in --dataroot {opt.dataroot}")
            check_item(self.file(), opt, self[0], self.input_domain)

    def __len__(self) -> int:
        return len(self.inner)

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        self.inner.current_epoch = epoch
        with global_random(int(random.integers(2**32))):
            return dict(self.inner[index])

    def relative_name(self, domain: str, path: str) -> str:
        """An image's path below its folder in --dataroot, or else its name; without the extension."""
        below = os.path.splitext(os.path.relpath(path, self.opt.dataroot))[0].split(os.sep)
        return os.sep.join(below[1:] or below) if below[0] != os.pardir else below[-1]


def check_item(file: str, opt: Namespace, item: dict[str, Any], domain: str) -> None:
    """Raise UsageError for an item that no model can take."""
    lacking = [key for key in (domain, f"{domain}_paths") if key not in item]
    if lacking:
        raise UsageError(f"{file} gives items without {lacking[0]!r}; they hold {', '.join(map(str, item))}")
    image = item[domain]
    if not isinstance(image, Tensor) or image.ndim != 3:
        raise UsageError(f"{file} gives an {domain!r} that is no tensor [channels, height, width]")
    if len(image) != opt.input_nc:
        raise UsageError(f"--input_nc is {opt.input_nc}, but {file} gives images of {len(image)} channels: "
                         f"use --input_nc {len(image)}")


def translating(opt: ReferenceOptions) -> ReferenceOptions:
    """For translation, images in order and not mirrored."""
    if not opt.isTrain:
        opt.serial_batches = opt.no_flip = True
    return opt


@contextmanager
def global_random(seed: int) -> Iterator[None]:
    """Within it the global random numbers of the CPU start from a seed; after it they go on as before."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)       # torch.manual_seed would seed the GPUs, too
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def adapted(written: type[Dataset]) -> type[ReferenceDataset]:
    """The data set of ours that reads objects of a file's class."""
    return type(written.__name__, (ReferenceDataset,), {"written": written, "__doc__": written.__doc__})
