"""Time reading one image: with Pillow, as this program does, beside torchvision; tell how far they differ.

    python scripts/benchmark_decoding.py ./datasets/horse2zebra/trainA

Each image is decoded, resized to 286x286 (bicubic), cut to 256x256, mirrored and made a tensor in [-1, 1],
in one process of one thread, by turns. torchvision decodes with its own libjpeg and resizes uint8 tensors
(transforms.v2); requirements-eval.txt has it. Prints milliseconds an image: median and range of the rounds.
"""

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.image_folder import find_images  # noqa: E402
from data.transforms import resize, to_tensor  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

LOAD, CROP, LEFT, TOP = 286, 256, 17, 9


def by_pillow(path: str) -> Tensor:
    with Image.open(path) as stored:
        image = resize(stored.convert("RGB"), LOAD, LOAD)
    image = image.crop((LEFT, TOP, LEFT + CROP, TOP + CROP)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return to_tensor(image)


def by_torchvision(path: str) -> Tensor:
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


def gray_levels_apart(path: str) -> float:
    """The largest difference between the two ways, of 255 levels."""
    one, other = (read(path) for read in WAYS.values())
    return float((one - other).abs().max() * 127.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of images")
    parser.add_argument("--images", type=int, default=100, help="how many are read (default: 100)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way (default: 5)")
    args = parser.parse_args()
    if not args.folder.is_dir():
        raise UsageError(f"there is no folder {args.folder}; name one that holds images")
    paths = find_images(str(args.folder))[:args.images]
    if importlib.util.find_spec("torchvision") is None:
        raise UsageError("torchvision is not installed; pip install -r requirements-eval.txt")
    torch.set_num_threads(1)
    apart = [gray_levels_apart(path) for path in paths]     # and the files are in memory from here on
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(args.rounds):
        for name, read in WAYS.items():
            times[name].append(milliseconds(read, paths))
    for name, found in times.items():
        print(f"{name:12} {statistics.median(found):6.2f} ms an image "
              f"({min(found):.2f} to {max(found):.2f})")
    print(f"largest difference {max(apart):.1f} grey levels; median over {len(paths)} images "
          f"{statistics.median(apart):.1f}")


if __name__ == "__main__":
    run_command(main)
