"""The reference's `data.image_folder` by its names."""

import os

from PIL import Image

from data.image_folder import EXTENSIONS, find_images
from util.errors import UsageError

IMG_EXTENSIONS = [*EXTENSIONS, *map(str.upper, EXTENSIONS)]


def is_image_file(filename: str) -> bool:
    """Whether a name ends as an image's does."""
    return filename.lower().endswith(EXTENSIONS)


def make_dataset(dir: str, max_dataset_size: float = float("inf")) -> list[str]:
    """The paths of the first images of a folder and its sub-folders. Raises UsageError for no folder."""
    if not os.path.isdir(dir):
        raise UsageError(f"the folder {dir!r} is missing; see --dataroot and --phase")
    return find_images(dir, max_dataset_size)


def default_loader(path: str) -> Image.Image:
    """An image file in colour."""
    return Image.open(path).convert("RGB")
