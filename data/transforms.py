"""The words of --preprocess: named operations on PIL images, with every random number passed in.

A value such as resize_and_crop names a set of words. They are applied in the order of the table WORDS, in
whatever order they were written. Then the sides are rounded to a multiple, the image is mirrored with
probability 1/2, and it becomes a tensor.
"""

from collections.abc import Callable
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import torch
from PIL.Image import Image, Resampling, Transpose
from torch import Tensor

from data.companions import Labels
from data.readers.deep_image import DeepImage
from util.errors import UsageError

SIDE_MULTIPLE = 4  # of the sides in pixels: a generator that downsamples by 2 twice returns such sides


class Geometry(NamedTuple):
    """The sizes that the words work with, in pixels."""

    load_size: int
    crop_size: int
    random_scale_max: float = 3.0  # zoom makes a side at most this many times shorter


def resize(image: Image, width: int, height: int, resample: Resampling = Resampling.BICUBIC) -> Image:
    """The image at exactly width x height; itself where it has that size."""
    return image if image.size == (width, height) else image.resize((width, height), resample)


def scale_width(image: Image, width: int, min_height: int) -> Image:
    """Resized to a width, aspect kept, except that the height is at least min_height."""
    return resize(image, width, max(round(image.height * width / image.width), min_height))


def scale_shortside(image: Image, side: int) -> Image:
    """Enlarged, aspect kept, until the shorter side measures `side`; a larger image stays as it is."""
    scale = side / min(image.size)
    return image if scale <= 1 else resize(image, round(image.width * scale), round(image.height * scale))


def zoom(image: Image, factors: tuple[float, float], min_side: int) -> Image:
    """Width and height times their own factor, each at least min_side, bilinear."""
    width = max(round(image.width * factors[0]), min_side)
    height = max(round(image.height * factors[1]), min_side)
    return resize(image, width, height, Resampling.BILINEAR)


def trim(image: Image, size: int, random: np.random.Generator) -> Image:
    """A random part of at most size x size; a shorter side stays whole."""
    width, height = min(image.width, size), min(image.height, size)
    left = int(random.integers(image.width - width + 1))
    top = int(random.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def crop(image: Image, size: int, random: np.random.Generator) -> Image:
    """A random part of exactly size x size; an image too small for one is enlarged first."""
    return trim(scale_shortside(image, size), size, random)


def patch(image: Image, size: int, random: np.random.Generator) -> Image:
    """A random cell of a grid of size x size cells at a random offset; a small image is enlarged first."""
    image = scale_shortside(image, size)
    columns, rows = image.width // size, image.height // size
    left = int(random.integers(image.width - columns * size + 1))
    top = int(random.integers(image.height - rows * size + 1))
    row, column = divmod(int(random.integers(columns * rows)), columns)
    left, top = left + column * size, top + row * size
    return image.crop((left, top, left + size, top + size))


def round_sides(image: Image, multiple: int) -> Image:
    """Resampled so that both sides are the nearest multiple, and at least one multiple long."""
    width, height = (max(round(side / multiple), 1) * multiple for side in image.size)
    return resize(image, width, height)


def to_tensor(image: Image | DeepImage | Labels) -> Tensor:
    """An "L", "RGB" or deep image as float32 [C, H, W] in [-1, 1], C = 1 or 3; labels as they are."""
    if isinstance(image, Labels | DeepImage):
        return image.to_tensor()
    pixels = torch.from_numpy(np.array(image)).reshape(image.height, image.width, -1)  # [H, W, C] in 0..255
    return pixels.permute(2, 0, 1).float().div_(127.5).sub_(1).contiguous()


def _drawn_zoom(geometry: Geometry, random: np.random.Generator) -> tuple[float, float]:
    """Factors of width and height, drawn uniformly from [1 / random_scale_max, 1]."""
    return tuple(random.uniform(1 / geometry.random_scale_max, 1, size=2))


WORDS: dict[str, Callable[[Image, Geometry, np.random.Generator], Image]] = {
    "resize": lambda image, g, random: resize(image, g.load_size, g.load_size),
    "fixsize": lambda image, g, random: resize(image, g.load_size, g.load_size),
    "scale_width": lambda image, g, random: scale_width(image, g.load_size, g.crop_size),
    "scale_shortside": lambda image, g, random: scale_shortside(image, g.load_size),
    "zoom": lambda image, g, random: zoom(image, _drawn_zoom(g, random), g.crop_size),
    "crop": lambda image, g, random: crop(image, g.crop_size, random),
    "patch": lambda image, g, random: patch(image, g.crop_size, random),
    "trim": lambda image, g, random: trim(image, g.crop_size, random),
    "none": lambda image, g, random: image,
}
DRAWING = ("zoom", "crop", "patch", "trim")    # the words that draw random numbers
ALTERNATIVES = (("resize", "fixsize", "scale_width", "scale_shortside"), ("crop", "patch", "trim"))


def check_preprocess(value: str) -> tuple[str, ...]:
    """The words of a --preprocess value in the order in which they are applied.

    Raises UsageError for unknown, repeated or contradicting words.
    """
    words = value.split("_and_")
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise UsageError(f"--preprocess is {value!r}, but {unknown[0]!r} is none of its words: "
                         f"{', '.join(WORDS)}; join them by _and_, as in resize_and_crop")
    clashes = [words] if "none" in words or len(set(words)) < len(words) else []
    clashes += [[word for word in words if word in group] for group in ALTERNATIVES]
    for clash in clashes:
        if len(clash) > 1:
            raise UsageError(f"--preprocess is {value!r}, but {' and '.join(clash)} exclude each other; "
                             "keep one of them")
    return tuple(word for word in WORDS if word in words)


class Transform(NamedTuple):
    """From a PIL image to a tensor [C, H, W] in [-1, 1]: the words, rounding, mirroring.

    augment: further changes, behind the fixed words, of an image by random numbers of their own.
    """

    words: tuple[str, ...]
    flip: bool  # mirrored left to right with probability 1/2
    multiple: int = SIDE_MULTIPLE  # of the sides; 1 keeps them as they are
    augment: tuple[Callable[[Image | Labels, np.random.Generator], Image | Labels], ...] = ()

    def __call__(self, image: Image | Labels, geometry: Geometry, random: np.random.Generator) -> Tensor:
        return self.finish(self.prepare(image, geometry), geometry, random)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The words before the first that draws anything; their result can be cached."""
        return tuple(takewhile(lambda word: word not in DRAWING, self.words))

    def prepare(self, image: Image | Labels, geometry: Geometry) -> Image | Labels:
        """The image after the fixed words, which is the same in every epoch."""
        for word in self.fixed:
            image = WORDS[word](image, geometry, None)
        return image

    def finish(self, image: Image | Labels, geometry: Geometry, random: np.random.Generator) -> Tensor:
        """The tensor of a prepared image: augmentation, the other words, rounding, mirroring."""
        for change in self.augment:     # each draws once here: what it draws beside does not move the rest
            image = change(image, np.random.default_rng(random.integers(2**63)))
        for word in self.words[len(self.fixed):]:
            image = WORDS[word](image, geometry, random)
        image = round_sides(image, self.multiple)
        if self.flip and random.random() < 0.5:
            image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
        return to_tensor(image)
