"""Images of any depth (--value_range): a file to an image in [-1, 1], and a translation back to its depth."""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from data.image_folder import EXTENSIONS, BadImage, as_channels
from data.readers.deep_image import DeepImage
from data.readers.formats import FORMATS, Content, read_pillow, write
from util.errors import UsageError


class ValueRange(NamedTuple):
    """Which numbers in a file are black and white; None: the least and the largest of the file's dtype."""

    bounds: tuple[float, float] | None

    def of(self, depth: np.dtype) -> tuple[float, float]:
        """Raises UsageError for a dtype without a range."""
        if self.bounds:
            return self.bounds
        if depth.kind not in "iu":
            raise UsageError(f"--value_range is auto, but there are numbers of {depth}, whose type has no "
                             "range; give --value_range lo:hi")
        return np.iinfo(depth).min, np.iinfo(depth).max


def value_range(text: str) -> ValueRange | None:
    """What a --value_range value stands for; None for "". Raises UsageError."""
    if not text:
        return None
    if text == "auto":
        return ValueRange(None)
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low = high = math.nan
    if not (low < high and math.isfinite(high - low)):
        raise UsageError(f"--value_range is {text!r}; give auto, or two numbers, the lower first, "
                         "as in 0:4095")
    return ValueRange((low, high))


def readable(text: str) -> tuple[str, ...]:
    """The extensions of image files under a --value_range."""
    further = [extension for extension in FORMATS if extension not in EXTENSIONS]
    return (*EXTENSIONS, *further) if text else EXTENSIONS


def read_image(path: str, channels: int, scale: ValueRange) -> Image.Image | DeepImage:
    """The image in a file with as many channels, 1 or 3. Raises BadImage."""
    known = FORMATS.get(os.path.splitext(path)[1].lower())
    try:
        return to_image(known.read(path) if known else read_pillow(path), channels, scale, path)
    except (BadImage, UsageError):
        raise
    except Exception as error:      # readers answer damaged bytes with errors of every kind
        raise BadImage(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error


def to_image(found: Content, channels: int, scale: ValueRange, name: str) -> Image.Image | DeepImage:
    """What a reader found as an image. Raises BadImage, and ValueError for numbers that are none.

    One of 8 bits a channel is as without --value_range, and the range does not touch it. In others numbers
    beyond the range are cut off, and one channel is spread to three. name: of the image, for the message.
    """
    if isinstance(found, np.ndarray) and found.dtype == np.uint8:
        found = Image.fromarray(found[..., 0] if found.ndim == 3 and found.shape[2] == 1 else found)
    if isinstance(found, Image.Image):
        return as_channels(found, channels, name)
    return DeepImage.of(_scaled(found, channels, scale), found.dtype.newbyteorder("=").name)


def _scaled(values: np.ndarray, channels: int, scale: ValueRange) -> np.ndarray:
    """float32 [C, H, W] in [-1, 1]. Raises ValueError for numbers that are no image."""
    values = values[..., None] if values.ndim == 2 else values
    if values.dtype.kind not in "iuf":
        raise ValueError(f"it holds {values.dtype}, not whole numbers or floats")
    if values.ndim != 3 or not values.size or values.shape[2] not in (1, channels):
        raise ValueError(f"its shape is {values.shape}; an image here is [height, width] or [height, width, "
                         f"{channels}]")
    low, high = scale.of(values.dtype)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite numbers")
    scaled = ((values.astype(np.float64) - low) * (2 / (high - low)) - 1).clip(-1, 1).astype(np.float32)
    return np.broadcast_to(scaled, (*values.shape[:2], channels)).transpose(2, 0, 1)


def write_image(path: Path, image: Tensor, depth: str, scale: ValueRange) -> None:
    """Write an image [C, H, W] in [-1, 1] into a file of a format of FORMATS, with numbers of a dtype.

    Whole numbers are rounded to the nearest. One channel is written as [H, W].
    """
    dtype = np.dtype(depth)
    low, high = scale.of(dtype)
    values = (image.double().clamp(-1, 1).permute(1, 2, 0).cpu().numpy() + 1) * ((high - low) / 2) + low
    if dtype.kind in "iu":
        values = values.round().clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    write(path, (values[..., 0] if values.shape[2] == 1 else values).astype(dtype))


def extension_of(path: str) -> str:
    """The extension under which the translation of a deep image in a file is written."""
    extension = os.path.splitext(path)[1].lower()
    return extension if extension in FORMATS else ".npy"
