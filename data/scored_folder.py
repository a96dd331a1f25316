"""The images of a folder by name, as they are or at one size, for scores."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from data.image_folder import BadImage, find_images, load_image
from util.errors import RunError, UsageError
from util.metrics.features import resized

Size = tuple[int, int]  # width, height in pixels


class ImageFolder:
    """paths: name -> file, a name being the path below the folder without its extension, sorted."""

    def __init__(self, flag: str, folder: Path, *, size: Size | None = None, resize: str = "bicubic"):
        """size: what every image is resized to, by the named filter; None: left as it is.

        Raises UsageError, naming the flag, for no images and for two of one name.
        """
        self.folder, self._size, self._resize = folder, size, resize
        if not folder.is_dir():
            raise UsageError(f"{flag} is {str(folder)!r}, which is no folder; give one of images")
        paths = [Path(path) for path in find_images(str(folder))]
        if not paths:
            raise UsageError(f"{flag} is {str(folder)!r}, which holds no images; give the folder that does")
        self.paths = {str(path.relative_to(folder).with_suffix("")): path for path in paths}
        if len(self.paths) < len(paths):
            raise UsageError(f"{flag} {folder} holds images that differ in their extension alone; "
                             "keep one of each name")

    def __len__(self) -> int:
        return len(self.paths)

    def sizes(self) -> set[Size]:
        """The sizes of the images as `read` gives them. Raises RunError for one that cannot be read."""
        if self._size:
            return {self._size}
        sizes = set()
        for path in self.paths.values():
            try:
                with Image.open(path) as image:
                    sizes.add(image.size)
            except OSError as error:
                raise RunError(f"{path} cannot be read ({error}); repair or remove it") from error
        return sizes

    def read(self, name: str, channels: int = 3) -> np.ndarray:
        """One image, uint8 [H, W, C]. Raises RunError for a bad one: leaving it out would mislead."""
        try:
            image = np.asarray(load_image(str(self.paths[name]), channels))
        except BadImage as error:
            raise RunError(f"{error}; repair or remove it") from error
        return resized(image.reshape(*image.shape[:2], channels), self._size, self._resize)

    def images(self, channels: int = 3) -> Iterator[np.ndarray]:
        """All of them, one after another."""
        return (self.read(name, channels) for name in self.paths)

    def describe(self) -> str:
        sizes = sorted(self.sizes())
        shown = "{} x {}".format(*sizes[0]) if len(sizes) == 1 else f"{len(sizes)} sizes"
        return f"{len(self)} images of {shown} in {self.folder}"
