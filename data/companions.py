"""Companions: images that belong to an image and are moved like it, such as a mask or a map of labels."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling, Transpose
from torch import Tensor

from data.image_folder import find_images, load_values, source
from data.image_list import check_files, resolve
from util.errors import UsageError

# Keys of items that mean something else.
TAKEN = ("A", "B", "A_paths", "B_paths", "A_depth", "B_depth", "bad", "paired")


class Labels:
    """An image whose values are kept: however it is resized, a pixel gets the value of the nearest one.

    It offers what the words of --preprocess and --augment use of a PIL image.
    """

    def __init__(self, image: Image.Image):
        self.image = image

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height

    def resize(self, size: tuple[int, int], resample: Resampling) -> "Labels":
        return Labels(self.image.resize(size, Resampling.NEAREST))

    def rotate(self, angle: float, resample: Resampling) -> "Labels":
        return Labels(self.image.rotate(angle, Resampling.NEAREST))

    def crop(self, box: tuple[int, int, int, int]) -> "Labels":
        return Labels(self.image.crop(box))

    def transpose(self, method: Transpose) -> "Labels":
        return Labels(self.image.transpose(method))

    def to_tensor(self) -> Tensor:
        """The values as they are in the file, float32 [C, H, W]."""
        values = np.array(self.image, dtype=np.float32).reshape(self.height, self.width, -1)
        return torch.from_numpy(values).permute(2, 0, 1).contiguous()


class Companion(NamedTuple):
    """The companions of one key: the domain whose images they belong to, and their folder or column."""

    key: str
    domain: str
    source: str

    def paths(self, folder: str, names: Sequence[str]) -> list[str]:
        """The file of each image in a folder, by the image's name. Raises UsageError for a missing one.

        names: paths below the images' folder, without extensions.
        """
        if not os.path.isdir(folder):
            raise UsageError(f"--companions {self.key}={self.source}: there is no folder {folder!r}; give "
                             "one beside the images'")
        found = {os.path.splitext(os.path.relpath(path, folder))[0]: path for path in find_images(folder)}
        missing = [name for name in names if name not in found]
        if missing:
            raise UsageError(f"--companions {self.key}={self.source}: {len(missing)} of {len(names)} images "
                             f"have no file of their name in {folder!r}, the first is {missing[0]}")
        return [found[name] for name in names]

    def listed(self, path: str, names: Sequence[str]) -> list[str]:
        """The files that a list names in the column. Raises UsageError for a missing one."""
        if not any(names):
            raise UsageError(f"--companions {self.key}={self.source}: {path} has no column {self.source!r}, "
                             "or nothing in it")
        check_files(path, names)
        return [resolve(path, name) for name in names]


def companions(text: str, phase: str) -> list[Companion]:
    """Those of a --companions value, such as "mask=trainA_mask,label=trainA_label". Raises UsageError.

    They go with the images of A, or of B where the folder (or the column of a list) begins with trainB (the
    phase) or B.
    """
    found = []
    for part in text.split(",") if text else ():
        key, _, source = part.partition("=")
        if not key.isidentifier() or not source or key in (*TAKEN, *(other.key for other in found)):
            raise UsageError(f"--companions is {text!r}, but {part!r} is no name=folder of its own; write "
                             "them joined by commas, as in mask=trainA_mask,label=trainA_label")
        found.append(Companion(key, "B" if source.startswith((f"{phase}B", "B")) else "A", source))
    return found


def load_labels(path: str) -> Labels:
    """A companion as it is in its file. Raises BadImage."""
    return Labels(load_values(path))


def check_sizes(paths: Sequence[str], others: Sequence[str], *, half: bool = False) -> None:
    """Raise UsageError where an image and what belongs to it differ in size, by the heads of their files.

    half: the images are twice as wide, as they hold a pair.
    """
    for path, other in zip(paths, others, strict=True):
        try:
            with Image.open(source(path)) as image, Image.open(source(other)) as companion:
                width, size = image.width // 2 if half else image.width, companion.size
                height = image.height
        except (OSError, ValueError, Image.DecompressionBombError):
            continue        # said when it is read
        if size != (width, height):
            raise UsageError(f"{other!r} measures {size[0]}x{size[1]} pixels, but {path!r} {width}x{height}: "
                             "what belongs together needs one size")
