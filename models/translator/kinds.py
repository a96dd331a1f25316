"""The kinds of image that a Translator takes: how each becomes a tensor, and a translation of that kind."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.image_folder import EXTENSIONS, MODES, BadImage, as_channels, load_image
from data.readers import ValueRange, read_image, readable, to_image
from data.readers.deep_image import DeepImage
from data.readers.formats import content_of
from data.readers.place import Place
from data.readers.ranges import Percentiles, Range
from data.readers.stack import Stack
from data.transforms import to_tensor
from util.errors import UsageError
from util.images import to_pixels, viewable

ImageLike: TypeAlias = Image.Image | np.ndarray | Tensor | str | os.PathLike
DEPTHS = (np.uint8, np.uint16)      # of arrays of whole numbers
SLACK = 1e-4                        # by which rounding may carry a float beyond its range


class Intake(NamedTuple):
    """What a network takes: channels, and the --value_range of its run, None where there was none, and its
    --slice_axis.
    """

    channels: int
    scale: Range | None
    axis: int | None = None


class Kind(NamedTuple):
    """What is known of a kind of image.

    read: an image and what the network takes -> float32 [C, H, W] in [-1, 1]. Raises UsageError.
    write: the translation, float32 [C, H, W] in [-1, 1], the image and the same -> one of that kind.
    """

    read: Callable[[Any, Intake], Tensor]
    write: Callable[[Tensor, Any, Intake], Any]


def kind_of(image: Any) -> Kind:
    """The kind of an image. Raises UsageError for what is none."""
    for types, kind in KINDS.items():
        if isinstance(image, types):
            return kind
    raise UsageError(f"an image is a {type(image).__name__}; give a PIL image, a NumPy array, a tensor, a "
                     "path, or a list of them")


def read_path(path: str | os.PathLike, intake: Intake) -> Tensor:
    """A file as the run would read it; of a volume a slice, as in scan.nii.gz[012]."""
    path = os.fspath(path)
    if intake.scale:
        return _as_file(lambda: read_image(path, *intake), intake.channels)
    extension = Place.of(path).extension
    if extension not in EXTENSIONS and extension in readable("auto"):
        raise UsageError(f"{path} is read with a --value_range, which the run has not: train with one, or "
                         "give value_range to Translator.load")
    return _as_file(lambda: load_image(path, intake.channels), intake.channels)


def read_pil(image: Image.Image, intake: Intake) -> Tensor:
    """As if it were read from a file; the image itself is not changed."""
    if intake.scale and image.mode.startswith(("I", "F")):
        return _as_file(lambda: to_image(content_of(image), intake.channels, intake.scale, "the image"),
                        intake.channels)
    return _as_file(lambda: as_channels(image.copy(), intake.channels, "the image"), intake.channels)


def _as_file(load: Callable[[], Image.Image | DeepImage], channels: int) -> Tensor:
    if channels not in MODES:
        raise UsageError(f"the network takes {channels} channels, but files and PIL images give 1 or 3; give "
                         "an array or a tensor")
    try:
        return to_tensor(load())
    except (BadImage, OSError, ValueError) as error:    # OSError: of a PIL image that was not yet decoded
        raise UsageError(str(error)) from error


def write_pil(made: Tensor, image: Any, intake: Intake) -> Image.Image:
    """An "L" or "RGB" image, with the levels that test.py writes."""
    pixels = to_pixels(viewable(made[None])[0])
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


def read_array(array: np.ndarray, intake: Intake) -> Tensor:
    """[H, W, C] or [H, W]: uint8 or uint16, black 0, white the largest; or float, black 0, white 1. Where the
    run had a --value_range, that holds, but for uint8.
    """
    if array.ndim not in (2, 3):
        raise UsageError(f"an array of the shape {array.shape} is no image; give [height, width, channels] "
                         "or [height, width]")
    pixels = torch.from_numpy(np.array(array if array.ndim == 3 else array[..., None], np.float32))
    low, high = _ends(array, intake)
    pixels = pixels.permute(2, 0, 1).sub(low).div((high - low) / 2).sub(1)
    if isinstance(intake.scale, Percentiles) and array.dtype != np.uint8:
        pixels = pixels.clamp(-1, 1)    # some numbers lie beyond their own percentiles
    return _checked(pixels, intake.channels, "an array", (low, high))


def write_array(made: Tensor, array: np.ndarray, intake: Intake) -> np.ndarray:
    low, high = _ends(array, intake)
    made = torch.nan_to_num(made, nan=-1.0).clamp(-1, 1).add(1).mul((high - low) / 2).add(low)
    made = made if array.dtype.kind == "f" else made.round()
    pixels = made.permute(1, 2, 0).cpu().numpy().astype(array.dtype)
    return pixels[..., 0] if array.ndim == 2 and pixels.shape[-1] == 1 else pixels


def _ends(array: np.ndarray, intake: Intake) -> tuple[float, float]:
    """The values of black and of white. Raises UsageError for a dtype without a known range."""
    if intake.scale not in (None, ValueRange(None)) and array.dtype != np.uint8 and array.dtype.kind in "iuf":
        try:
            return intake.scale.within(Stack.of(array))
        except ValueError as error:
            raise UsageError(f"an array cannot be scaled: {error}") from error
    if array.dtype.type in DEPTHS:
        return 0, int(np.iinfo(array.dtype).max)
    if array.dtype.kind == "f":
        return 0, 1
    raise UsageError(f"an array of {array.dtype} has no known range; give uint8, uint16, or float from "
                     "0 to 1")


def read_tensor(tensor: Tensor, intake: Intake) -> Tensor:
    if tensor.ndim != 3 or not tensor.is_floating_point():
        raise UsageError(f"a tensor of {str(tensor.dtype).removeprefix('torch.')} and the shape "
                         f"{list(tensor.shape)} is no image; give float [channels, height, width], from "
                         "-1 to 1")
    return _checked(tensor.detach().float(), intake.channels, "a tensor", (-1, 1))


def write_tensor(made: Tensor, tensor: Tensor, intake: Intake) -> Tensor:
    return made.to(tensor.device, tensor.dtype)


def _checked(pixels: Tensor, channels: int, what: str, shown: tuple[float, float]) -> Tensor:
    """The image [C, H, W], one channel spread to as many as the network takes. Raises UsageError.

    shown: black and white as the caller counts them, for the message.
    """
    if not pixels.numel() or pixels.shape[0] not in (1, channels):
        raise UsageError(f"{what} of {pixels.shape[0]} channels and {pixels.shape[2]}x{pixels.shape[1]} "
                         f"pixels: the network takes {channels} channels, of one pixel or more")
    low, high = pixels.min().item(), pixels.max().item()
    if not (low >= -1 - SLACK and high <= 1 + SLACK):       # NaN is neither
        black, white = shown
        low, high = ((value + 1) / 2 * (white - black) + black for value in (low, high))
        raise UsageError(f"{what} holds values from {low:g} to {high:g}; scale or clip them to {black:g} to "
                         f"{white:g}, without NaN")
    return pixels.expand(channels, -1, -1).contiguous()


KINDS: dict[type | tuple[type, ...], Kind] = {
    Image.Image: Kind(read_pil, write_pil),
    np.ndarray: Kind(read_array, write_array),
    Tensor: Kind(read_tensor, write_tensor),
    (str, os.PathLike): Kind(read_path, write_pil),
}
