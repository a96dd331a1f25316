"""Time of decoding one image: with Pillow, as this project does, beside torchvision; and how far they differ.

Each image is decoded, resized to 286x286 (bicubic), cut to 256x256, mirrored and made a tensor in [-1, 1],
in one process of one thread, by turns. torchvision decodes with its own libjpeg and resizes uint8 tensors
(transforms.v2); requirements-eval.txt has it.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from data.image_folder import find_images
from data.transforms import resize, to_tensor
from util.errors import UsageError

LOAD, CROP, LEFT, TOP = 286, 256, 17, 9


def by_pillow(path: str) -> Tensor:
    """[3, 256, 256], in [-1, 1]."""
    with Image.open(path) as stored:
        image = resize(stored.convert("RGB"), LOAD, LOAD)
    image = image.crop((LEFT, TOP, LEFT + CROP, TOP + CROP)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return to_tensor(image)


def by_torchvision(path: str) -> Tensor:
    """[3, 256, 256], in [-1, 1]."""
    import torchvision
    from torchvision.transforms.v2 import functional as v2

    pixels = torchvision.io.decode_image(path, mode=torchvision.io.ImageReadMode.RGB)
    if pixels.shape[1:] != (LOAD, LOAD):
        pixels = v2.resize(pixels, [LOAD, LOAD], torchvision.transforms.InterpolationMode.BICUBIC)
    pixels = v2.horizontal_flip(v2.crop(pixels, TOP, LEFT, CROP, CROP))
    return pixels.float().div(127.5).sub(1)


WAYS = {"Pillow": by_pillow, "torchvision": by_torchvision}


def milliseconds(read: Callable[[str], Tensor], paths: Sequence[str]) -> float:
    """An image, the mean over the paths."""
    began = time.perf_counter()
    for path in paths:
        read(path)
    return (time.perf_counter() - began) / len(paths) * 1000


def grey_levels_apart(path: str) -> float:
    """The largest difference between the two ways, of 255 levels."""
    one, other = (read(path) for read in WAYS.values())
    return float((one - other).abs().max() * 127.5)


def compare(folder: Path, images: int, rounds: int) -> None:
    """Read the first `images` of a folder in both ways; print milliseconds an image, median and range."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; name one that holds images")
    paths = find_images(str(folder))[:images]
    if importlib.util.find_spec("torchvision") is None:
        raise UsageError("torchvision is not installed; pip install -r requirements-eval.txt")
    torch.set_num_threads(1)
    apart = [grey_levels_apart(path) for path in paths]     # and the files are in memory from here on
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, read in WAYS.items():
            times[name].append(milliseconds(read, paths))
    for name, found in times.items():
        print(f"{name:12} {statistics.median(found):6.2f} ms an image "
              f"({min(found):.2f} to {max(found):.2f})")
    print(f"largest difference {max(apart):.1f} grey levels; median over {len(paths)} images "
          f"{statistics.median(apart):.1f}")
