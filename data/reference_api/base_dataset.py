"""The reference's `data.base_dataset` by its names: the base class and the transforms of its data sets.

Random numbers come from the global generators that the reference draws from: crops and mirroring from torch's
(where no params are given), zoom, trim and patch from NumPy's, get_params from Python's. The adapter seeds
them for every item, and files seed them again to treat two images alike.
"""

import random
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, Resampling, Transpose
from torch import Tensor
from torch.utils.data import Dataset

from data import transforms
from data.transforms import SIDE_MULTIPLE

Step = Callable[[Image], Image]
Params = Mapping[str, Any]


class BaseDataset(Dataset, ABC):
    """root: --dataroot. current_epoch: from 1, in training."""

    def __init__(self, opt: Namespace):
        self.opt = opt
        self.root = opt.dataroot
        self.current_epoch = 0

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        return parser

    @abstractmethod
    def __len__(self) -> int:
        """Items of an epoch."""

    @abstractmethod
    def __getitem__(self, index: int) -> dict[str, Any]:
        """A, B, A_paths, B_paths and what else the model needs."""


class _TorchGlobal:
    """What data/transforms.py draws, from torch's global generator."""

    def integers(self, below: int) -> int:
        return int(torch.randint(below, ()))


class _NumpyGlobal:
    """The same from NumPy's."""

    def integers(self, below: int) -> int:
        return int(np.random.randint(below))

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        return np.random.uniform(low, high, size)


def get_params(opt: Namespace, size: tuple[int, int]) -> dict[str, Any]:
    """Where to crop an image of this width and height, as (left, top), and whether to mirror it."""
    width, height = size
    if opt.preprocess == "resize_and_crop":
        width = height = opt.load_size
    elif opt.preprocess == "scale_width_and_crop":
        width, height = opt.load_size, opt.load_size * height // width
    left, top = (random.randint(0, max(0, side - opt.crop_size)) for side in (width, height))
    return {"crop_pos": (left, top), "flip": random.random() > 0.5}


def get_transform(opt: Namespace, params: Params | None = None, grayscale: bool = False,
                  method: Any = Resampling.BICUBIC, convert: bool = True,
                  normalize: bool = True) -> Callable[[Image], Image | Tensor]:
    """--preprocess as a function of an image, which gives [C, H, W] in [-1, 1]; without `convert` an image.

    params: crop_pos, flip, scale_factor, patch_index and size, in place of random numbers. method: a filter
    of Pillow's or torchvision's. normalize: of forks, for masks; without it [0, 1].
    """
    steps = _steps(opt, params or {}, _filter(method))

    def transform(image: Image) -> Image | Tensor:
        image = image.convert("L") if grayscale else image
        for step in steps:
            image = step(image)
        if not convert:
            return image
        return to_tensor(image) if normalize else to_tensor(image).add(1).div(2)
    return transform


def to_tensor(image: Image) -> Tensor:
    """[C, H, W]: 8 bits a channel become [-1, 1]; other numbers x become 2 x - 1, as of [0, 1]."""
    pixels = np.array(image)
    if pixels.dtype == np.uint8:
        return transforms.to_tensor(image)
    values = torch.from_numpy(pixels.astype(np.float32)).reshape(*pixels.shape[:2], -1)
    return values.permute(2, 0, 1).mul(2).sub(1).contiguous()


def _filter(method: Any) -> Resampling:
    """Pillow's name of a filter, or of torchvision's InterpolationMode, whose values are words."""
    return Resampling(method) if isinstance(method, int) else Resampling[method.value.upper()]


def _steps(opt: Namespace, params: Params, method: Resampling) -> list[Step]:
    """What --preprocess and `params` say, in the order in which it is done."""
    size, words = opt.crop_size, opt.preprocess
    steps: list[Step] = []
    if "fixsize" in words:
        steps.append(lambda image: transforms.resize(image, *reversed(_pair(params["size"])), method))
    if "resize" in words:
        steps.append(lambda image: transforms.resize(image, opt.load_size, opt.load_size, method))
    elif "scale_width" in words:
        steps.append(lambda image: __scale_width(image, opt.load_size, size, method))
    elif "scale_shortside" in words:
        steps.append(lambda image: __scale_shortside(image, opt.load_size, size, method))
    if "zoom" in words:
        steps.append(lambda image: __random_zoom(image, opt.load_size, size, method,
                                                 params.get("scale_factor")))
    if "crop" in words and "crop_pos" in params:
        steps.append(lambda image: __crop(image, params["crop_pos"], size))
    elif "crop" in words:
        steps.append(lambda image: transforms.crop(image, size, _TorchGlobal()))
    if "patch" in words:
        steps.append(lambda image: __patch(image, params["patch_index"], size))
    if "trim" in words:
        steps.append(lambda image: __trim(image, size))
    steps.append(lambda image: __make_power_2(image, SIDE_MULTIPLE, method))
    if not opt.no_flip:
        steps.append(lambda image: __flip(image, params["flip"] if "flip" in params else
                                          bool(torch.rand(()) < 0.5)))
    return steps


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


# ---- the reference's helpers, by their names


def __make_power_2(img: Image, base: int, method: Any = Resampling.BICUBIC) -> Image:
    """Both sides at the nearest multiple of `base`."""
    width, height = (round(side / base) * base for side in img.size)
    return transforms.resize(img, width, height, method)


def __scale_width(img: Image, target_width: int, crop_width: int,
                  method: Any = Resampling.BICUBIC) -> Image:
    """At a width, aspect kept, except that the height is at least crop_width."""
    if img.width == target_width and img.height >= crop_width:
        return img
    height = int(max(target_width * img.height / img.width, crop_width))
    return transforms.resize(img, target_width, height, method)


def __scale_shortside(img: Image, target_width: int, crop_width: int,
                      method: Any = Resampling.BICUBIC) -> Image:
    """Enlarged, aspect kept, until the shorter side measures target_width."""
    scale = max(target_width / min(img.size), 1)
    return transforms.resize(img, round(img.width * scale), round(img.height * scale), method)


def __random_zoom(img: Image, target_width: int, crop_width: int, method: Any = Resampling.BICUBIC,
                  factor: tuple[float, float] | None = None) -> Image:
    """Width and height times factors of 0.8 to 1, or those given; each at least crop_width."""
    factors = _NumpyGlobal().uniform(0.8, 1.0, 2) if factor is None else factor
    width, height = (int(round(max(crop_width, side * f))) for side, f in zip(img.size, factors, strict=True))
    return transforms.resize(img, width, height, method)


def __crop(img: Image, pos: tuple[int, int], size: int) -> Image:
    """The part of size x size whose left upper corner is pos; an image that is no larger stays as it is."""
    left, top = pos
    return img.crop((left, top, left + size, top + size)) if max(img.size) > size else img


def __patch(img: Image, index: int, size: int) -> Image:
    """Cell `index` of a grid of size x size cells, counted column by column, at a random offset."""
    columns, rows = img.width // size, img.height // size
    left, top = (np.random.randint(side % size + 1) for side in img.size)
    column, row = divmod(index % (columns * rows), rows)
    left, top = left + column * size, top + row * size
    return img.crop((left, top, left + size, top + size))


def __trim(img: Image, trim_width: int) -> Image:
    """A random part of at most trim_width a side."""
    return transforms.trim(img, trim_width, _NumpyGlobal())


def __flip(img: Image, flip: bool) -> Image:
    """Mirrored left to right, if so."""
    return img.transpose(Transpose.FLIP_LEFT_RIGHT) if flip else img


def __print_size_warning(ow: int, oh: int, w: int, h: int) -> None:
    """Nothing: that sides are rounded is documented."""
