"""A folder of images to be scored, read one image at a time."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from data.image_folder import BadImage, find_images, load_image
from util.errors import RunError, UsageError
from util.metrics.features import resized

Size = tuple[int, int]  # width, height in pixels


class ScoringFolder(Mapping[str, np.ndarray]):
    """Name -> image, uint8 [H, W, 3], read from its file each time.

    A name is the path below the folder without its extension; names are sorted. An image that cannot be read
    raises RunError, because scores without it would mislead.
    paths: name -> file.
    """

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

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __contains__(self, name: object) -> bool:       # Mapping's own would read the image
        return name in self.paths

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            image = load_image(str(self.paths[name]), channels=3)
        except BadImage as error:
            raise RunError(f"{error}; repair or remove it") from error
        return resized(np.asarray(image), self._size, self._resize)

    def size_of(self, name: str) -> Size:
        """The size of an image as it is given, from the head of its file. Raises RunError."""
        if self._size:
            return self._size
        path = self.paths[name]
        try:
            with Image.open(path) as image:
                return image.size
        except OSError as error:
            raise RunError(f"{path} cannot be read ({error}); repair or remove it") from error

    def sizes(self) -> set[Size]:
        """The sizes of all images. Raises RunError."""
        return {self.size_of(name) for name in self}

    def describe(self) -> str:
        sizes = sorted(self.sizes())
        shown = "{} x {}".format(*sizes[0]) if len(sizes) == 1 else f"{len(sizes)} sizes"
        return f"{len(self)} images of {shown} in {self.folder}"
