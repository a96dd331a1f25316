"""Augmentation of what is read in training (--augment): functions of an image and random numbers of its own.

It comes behind the words of --preprocess that draw nothing, and so before a crop. Companions, and the two
images of a pair, get the same numbers; what changes colours alone leaves companions as they are.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance
from PIL.Image import Resampling, Transpose

from data.companions import Labels
from util.errors import UsageError

Picture = Image.Image | Labels
TURNS = (None, Transpose.ROTATE_90, Transpose.ROTATE_180, Transpose.ROTATE_270)


def rotate90(picture: Picture, random: np.random.Generator) -> Picture:
    """Turned by 0, 90, 180 or 270 degrees."""
    turn = TURNS[random.integers(4)]
    return picture if turn is None else picture.transpose(turn)


def rotate(picture: Picture, random: np.random.Generator, degrees: float) -> Picture:
    """Turned by up to so many degrees either way; at the corners the image is continued by its reflection."""
    angle = random.uniform(-degrees, degrees)
    sine, cosine = abs(math.sin(math.radians(angle))), abs(math.cos(math.radians(angle)))
    width, height = picture.size
    right = max(math.ceil((width * cosine + height * sine - width) / 2), 0) + 1
    down = max(math.ceil((width * sine + height * cosine - height) / 2), 0) + 1
    turned = reflected(picture, right, down).rotate(angle, Resampling.BICUBIC)
    return turned.crop((right, down, right + width, down + height))


def scale(picture: Picture, random: np.random.Generator, low: float, high: float) -> Picture:
    """Both sides times one factor between the two numbers."""
    factor = random.uniform(low, high)
    size = tuple(max(round(side * factor), 1) for side in picture.size)
    return picture.resize(size, Resampling.BICUBIC)


def colour(picture: Image.Image, random: np.random.Generator, strength: float) -> Image.Image:
    """Brightness, contrast and saturation, each times a factor in [1 - strength, 1 + strength]."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(random.uniform(1 - strength, 1 + strength))
    return picture


def noise(picture: Image.Image, random: np.random.Generator, std: float) -> Image.Image:
    """Gaussian noise of this std added to every value, 1 being the range from black to white."""
    levels = np.asarray(picture, dtype=np.float32)
    levels = levels + 255 * std * random.standard_normal(levels.shape, dtype=np.float32)
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


class Augmentation(NamedTuple):
    """values: how many numbers it takes; most: what they are at most; moves: whether companions move too."""

    change: Callable[..., Picture]
    values: int = 1
    most: float = 1.0
    moves: bool = False


# One more: a function above and a line here.
AUGMENTATIONS: dict[str, Augmentation] = {
    "rotate90": Augmentation(rotate90, values=0, moves=True),
    "rotate": Augmentation(rotate, most=180.0, moves=True),
    "scale": Augmentation(scale, values=2, most=10.0, moves=True),
    "colour": Augmentation(colour),
    "noise": Augmentation(noise),
}


def augmentations(text: str) -> tuple[Callable[[Picture, np.random.Generator], Picture], ...]:
    """The changes of a --augment value, such as "rotate90,rotate=10,scale=0.9:1.1". Raises UsageError."""
    changes = []
    for part in text.split(",") if text else ():
        name, _, given = part.partition("=")
        if name not in AUGMENTATIONS:
            raise UsageError(f"--augment is {text!r}, but {name!r} is none of {', '.join(AUGMENTATIONS)}; "
                             "join several by commas")
        entry = AUGMENTATIONS[name]
        try:
            values = [float(number) for number in given.split(":")] if given else []
        except ValueError:
            values = [math.nan]
        if len(values) != entry.values or sorted(values) != values or not all(
                0 < value <= entry.most for value in values):
            wish = ("", f"={{a number up to {entry.most:g}}}", "={smallest}:{largest}")[entry.values]
            raise UsageError(f"--augment is {text!r}, but {part!r} should be {name}{wish}")
        changes.append(partial(changed, entry=entry, values=values))
    return tuple(changes)


def augment(text: str) -> str:
    """The type of --augment."""
    augmentations(text)
    return text


def changed(picture: Picture, random: np.random.Generator, *, entry: Augmentation,
            values: list[float]) -> Picture:
    """The picture after one augmentation; labels that it does not move are themselves."""
    if isinstance(picture, Labels) and not entry.moves:
        return picture
    return entry.change(picture, random, *values)


def reflected(picture: Picture, right: int, down: int) -> Picture:
    """The picture with so many columns and rows more on either side, mirrored at its border."""
    if isinstance(picture, Labels):
        return Labels(reflected(picture.image, right, down))
    values = np.asarray(picture)
    margins = ((down, down), (right, right)) + ((0, 0),) * (values.ndim - 2)
    return Image.fromarray(np.pad(values, margins, mode="symmetric"))
