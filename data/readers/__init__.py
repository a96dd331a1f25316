"""Images of any depth (--value_range): a file or a slice to an image in [-1, 1], and back to its depth."""

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from data.image_folder import EXTENSIONS, BadImage, as_channels, find_images
from data.readers import alpha
from data.readers.deep_image import DeepImage
from data.readers.formats import FORMATS, Content, read_pillow, write
from data.readers.place import Place
from data.readers.ranges import Range, ValueRange, numbers, value_range
from data.readers.stack import Stack
from data.readers.volumes import VOLUMES
from data.shards.packed import PackedFile
from util.errors import RunError, UsageError

__all__ = ["ValueRange", "value_range"]     # and what is defined here
LUMA = np.array([0.299, 0.587, 0.114])      # of red, green, blue: ITU-R 601, as Pillow makes grey of colour


def readable(text: str) -> tuple[str, ...]:
    """The extensions of image files under a --value_range."""
    further = [extension for extension in dict.fromkeys((*FORMATS, *VOLUMES)) if extension not in EXTENSIONS]
    return (*EXTENSIONS, *further) if text else EXTENSIONS


def open_stack(place: Place, axis: int | None = None) -> Stack | None:
    """The numbers of a volume's file; None for a file of one image that FORMATS, or Pillow, reads, such as
    all those in shards.

    axis: --slice_axis. Raises BadImage, and UsageError for a missing package.
    """
    if place.extension not in VOLUMES or isinstance(place.file, PackedFile):
        return None
    try:
        if not os.path.isfile(place.file):      # opening a pipe would wait forever
            raise OSError("not a file, or a link to nothing")
        return _opened(place._replace(number=None), axis, os.stat(place.file).st_mtime_ns)
    except UsageError:
        raise
    except Exception as error:      # readers answer damaged bytes with errors of every kind
        raise _bad(place.file, error) from error


@lru_cache(maxsize=64)
def _opened(place: Place, axis: int | None, changed: int) -> Stack | None:
    """Kept, for the slices of a volume one after the other. changed: when the file was, ns."""
    stack = VOLUMES[place.extension].open(place, axis)
    return stack and replace(stack, name=repr((place, axis, changed)))


def slices(path: str, axis: int | None = None) -> list[str]:
    """The items that a file, or a data set in one, is: the path itself, or one of each slice."""
    place = Place.of(path)
    if place.number is not None:
        return [path]
    try:
        stack = open_stack(place, axis)
    except BadImage:                # said when it is read
        return [path]
    return place.slices(stack.count) if stack else [path]


def sliced(paths: list[str], axis: int | None, limit: float) -> tuple[list[str], list[int]]:
    """The first `limit` items of files, where a file of several slices is several, and the number of the file
    that each belongs to.
    """
    items: list[str] = []
    files: list[int] = []
    for number, path in enumerate(paths):
        found = slices(path, axis)
        items += found
        files += [number] * len(found)
        if len(items) >= limit:
            return items[:int(limit)], files[:int(limit)]
    return items, files


def hint(folder: str, extensions: tuple[str, ...]) -> str:
    """That --value_range reads what is in a folder, where it does and these extensions do not."""
    further = tuple(set(readable("auto")) - set(extensions))
    found = find_images(folder, 1, further) if further and os.path.isdir(folder) else []
    return f"; --value_range reads {found[0]!r}" if found else ""


def read_image(path: str, channels: int, scale: Range, axis: int | None = None) -> Image.Image | DeepImage:
    """The image at a path with as many channels, 1 or 3. Raises BadImage.

    axis: --slice_axis.
    """
    place = Place.of(path)
    stack = open_stack(place, axis)
    try:
        if stack:
            return _of_stack(stack, place, channels, scale)
        if place.number or place.dataset:
            raise ValueError("the file holds one image")
        known = FORMATS.get(place.extension)
        found = known.read(path) if known else read_pillow(path)
        if not isinstance(found, Image.Image):
            found, _ = alpha.split(found, path)
        return to_image(found, channels, scale, path)
    except (BadImage, UsageError, RunError):
        raise
    except Exception as error:
        raise _bad(path, error) from error


def _bad(path: str, error: Exception) -> BadImage:
    reason = " ".join(str(error).split()) or type(error).__name__
    return BadImage(f"{path}: {reason.removeprefix(f'{path}: ')}")


def _of_stack(stack: Stack, place: Place, channels: int, scale: Range) -> DeepImage:
    """An image of a volume, whose 8 bits are numbers like others."""
    if place.number is None and stack.count > 1:
        raise ValueError(f"its shape is {stack.shape}, which are {stack.count} slices; name one, as in "
                         f"{place.slices(stack.count)[0]}")
    return _deep(stack.values(place.number), stack, channels, scale)


def to_image(found: Content, channels: int, scale: Range, name: str) -> Image.Image | DeepImage:
    """What a reader found as an image. Raises BadImage, and ValueError for numbers that are none.

    One of 8 bits a channel is as without --value_range, and the range does not touch it. In others numbers
    beyond the range are cut off, and one channel is spread to three. name: of the image, for the message.
    """
    if isinstance(found, np.ndarray) and found.dtype == np.uint8:
        found = Image.fromarray(found[..., 0] if found.ndim == 3 and found.shape[2] == 1 else found)
    if isinstance(found, Image.Image):
        return as_channels(found, channels, name)
    return _deep(found, Stack.of(found), channels, scale)


def _deep(values: np.ndarray, stack: Stack, channels: int, scale: Range) -> DeepImage:
    """The numbers of an image in its file's range. Raises ValueError for numbers that are no image."""
    values = values[..., None] if values.ndim == 2 else values
    if values.dtype.kind not in "iuf":
        raise ValueError(f"it holds {values.dtype}, not whole numbers or floats")
    if values.ndim != 3 or not values.size or values.shape[2] not in (1, 3):
        raise ValueError(f"its shape is {values.shape}; an image here is [height, width] or [height, width, "
                         f"{channels}]")
    low, high = scale.within(stack)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite numbers")
    scaled = ((values.astype(np.float64) - low) * (2 / (high - low)) - 1).clip(-1, 1)
    if channels < scaled.shape[2]:
        scaled = scaled @ LUMA[:, None]
    spread = np.broadcast_to(scaled.astype(np.float32), (*values.shape[:2], channels)).transpose(2, 0, 1)
    return DeepImage.of(spread, stack.dtype.newbyteorder("=").name, (low, high))


def write_image(path: Path, image: Tensor, depth: str, scale: ValueRange) -> None:
    """Write an image [C, H, W] in [-1, 1] into a file of a format of FORMATS, with numbers of a dtype.

    Whole numbers are rounded to the nearest. One channel is written as [H, W].
    """
    dtype = np.dtype(depth)
    write(path, Stack.of(np.empty(0, dtype)).stored(numbers(image, scale.of(dtype))))


def extension_of(path: str) -> str:
    """The extension under which the translation of a deep image in a file is written."""
    extension = Place.of(path).extension
    return extension if extension in FORMATS or extension in VOLUMES else ".npy"
