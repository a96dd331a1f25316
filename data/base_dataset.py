"""What every data set is: an item for a place in the training, a pure function of (seed, epoch, index)."""

import os
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from data.image_cache import create_cache
from data.image_folder import EXTENSIONS, MODES, Domain, find_images, load_image
from data.transforms import SIDE_MULTIPLE, Geometry, Transform, check_preprocess
from util.errors import UsageError

# The purposes of random numbers; each gives streams of its own.
ITEM, ORDER, BATCH = 0, 1, 2


class Position(NamedTuple):
    """The place of an item in the training."""

    epoch: int  # from 1
    index: int  # of the item in the data set
    batch: int  # number of its minibatch within the epoch, from 0


def random_stream(seed: int, epoch: int, number: int, purpose: int) -> np.random.Generator:
    """Random numbers of their own for an item, an epoch's order (number 0) or a minibatch; seed >= 0."""
    return np.random.default_rng([seed, epoch, number, purpose])


class BaseDataset(Dataset, ABC):
    """A data set writes `__len__` and `item`, sets `domains`, and may add flags.

    domains: side ("A", "B") -> Domain, the images it reads; roots: side -> the folder they came from.
    """

    def __init__(self, opt: Namespace):
        self.opt = opt
        self.domains: dict[str, Domain] = {}
        self.roots: dict[str, str] = {}
        words = check_preprocess(opt.preprocess)
        exact = words == ("none",) and not opt.isTrain  # translating, the model pads and unpads by itself
        self._transform = Transform(words, opt.isTrain and not opt.no_flip, 1 if exact else SIDE_MULTIPLE)
        self._cache = create_cache(opt) if opt.isTrain and opt.cache != "none" else None
        self._geometry = Geometry(opt.load_size, opt.crop_size, opt.random_scale_max)

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add flags, or change defaults, of this data set."""
        return parser

    @abstractmethod
    def __len__(self) -> int:
        """Items of an epoch."""

    @abstractmethod
    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        """{"A": [C, H, W] in [-1, 1], "A_paths": str, and the same for B}, sides that are absent left out.

        "bad", where there, lists one line for each image that could not be read.
        """

    def __getitem__(self, position: Position | int) -> dict[str, Any]:
        """The item at a position; a plain index means the first epoch."""
        epoch, index = position[:2] if isinstance(position, tuple) else (1, position)
        if not 0 <= index < len(self):  # also what ends a plain `for item in dataset`
            raise IndexError(f"index {index} in a data set of {len(self)}")
        return self.item(index, epoch, random_stream(self.opt.seed, epoch, index, ITEM))

    def transform(self, image: Image, epoch: int, random: np.random.Generator, **geometry: Any) -> Tensor:
        """The image through --preprocess; [C, H, W] in [-1, 1]. `geometry` replaces fields of Geometry.

        In training past --n_epochs, while the learning rate falls, load_size is crop_size: the whole image.
        """
        return self._transform(image, self._geometry_in(epoch)._replace(**geometry), random)

    def _geometry_in(self, epoch: int) -> Geometry:
        if self.opt.isTrain and epoch > self.opt.n_epochs:
            return self._geometry._replace(load_size=self._geometry.crop_size)
        return self._geometry

    @property
    def input_side(self) -> str:
        """The side that the model translates."""
        return "B" if self.opt.direction == "BtoA" else "A"

    def channels(self, side: str) -> int:
        """Channels of a side's images: input_nc on the side that is translated, output_nc on the other."""
        flag = "input_nc" if side == self.input_side else "output_nc"
        channels = getattr(self.opt, flag)
        if channels not in MODES:
            raise UsageError(f"--{flag} is {channels}, but images are read as gray (1) or colour (3)")
        return channels

    def dataroot(self) -> str:
        """--dataroot, which must exist. Raises UsageError."""
        root = self.opt.dataroot
        if os.path.exists(root):
            return root
        if root == "placeholder":  # the flag's default
            raise UsageError("--dataroot is not given; it names the folder of the data set")
        raise UsageError(f"--dataroot is {root!r}, which does not exist; give the folder of the data set")

    def add_domain(self, side: str, folder: str, limit: float) -> None:
        """Make the first `limit` images of a folder, or one image, a side. Raises UsageError for none."""
        if os.path.isfile(folder):
            folder, paths = os.path.dirname(folder) or ".", [folder]
        elif os.path.isdir(folder):
            paths = find_images(folder, limit)
        else:
            raise UsageError(f"the folder {folder!r} is missing, where side {side}'s images should be; "
                             f"{os.path.dirname(folder)!r} holds {_contents(os.path.dirname(folder))}; "
                             "see --dataroot and --phase")
        if not paths:
            raise UsageError(f"the folder {folder!r} should hold side {side}'s images "
                             f"({' '.join(EXTENSIONS)}), but holds {_contents(folder)}; "
                             "see --dataroot and --phase")
        self.domains[side], self.roots[side] = Domain(paths, self.channels(side)), folder

    def relative_name(self, side: str, path: str) -> str:
        """An image's path within its side's folder, without the extension."""
        return os.path.splitext(os.path.relpath(path, self.roots[side]))[0]

    def read(self, numbers: dict[str, int], epoch: int, random: np.random.Generator) -> dict[str, Any]:
        """The item made of one image a side, by its number there.

        In training the next readable image replaces one that cannot be read; in translation its side is
        absent, since a result under another image's name would mislead.
        """
        item: dict[str, Any] = {}
        bad: list[str] = []
        geometry = self._geometry_in(epoch)
        for side, number in numbers.items():
            domain, load = self.domains[side], partial(self._load, geometry)
            found = (domain.read_or_next(number, bad, load) if self.opt.isTrain else
                     domain.read(number, bad, load))
            if found:
                image, path = found
                item[side] = self._transform.finish(image, geometry, random)
                item[f"{side}_paths"] = path
        return item | {"bad": bad} if bad else item

    def _load(self, geometry: Geometry, path: str, channels: int) -> Image:
        """An image as the words of --preprocess before the first random one leave it. Raises BadImage."""
        def make() -> Image:
            return self._transform.prepare(load_image(path, channels), geometry)
        if self._cache is None:
            return make()
        return self._cache.get(path, (channels, self._transform.fixed, *geometry[:2]), make)


def _contents(folder: str, most: int = 8) -> str:
    """What a folder holds, in a few words."""
    if not os.path.isdir(folder):
        return "nothing: it is no folder"
    names = sorted(os.listdir(folder))
    shown = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return shown or "nothing"
