"""A folder of images to be scored, read one image at a time."""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from data.image_folder import EXTENSIONS, BadImage, find_images, load_image
from data.readers import ValueRange, hint, read_image, readable, sliced
from data.readers.place import Place
from data.transforms import to_tensor
from util.errors import RunError, UsageError
from util.images import to_levels
from util.metrics.features import resized

Size = tuple[int, int]  # width, height in pixels


class ScoringFolder(Mapping[str, np.ndarray]):
    """Name -> image, uint8 [H, W, 3], read from its file each time; with a range float32, from 0 to 255.

    A name is the path below the folder without its extension; names are sorted. An image that cannot be read
    raises RunError, because scores without it would mislead.
    paths: name -> file, or slice of a volume.
    """

    def __init__(self, flag: str, folder: Path, *, size: Size | None = None, resize: str = "bicubic",
                 scale: ValueRange | None = None, axis: int | None = None):
        """size: what every image is resized to, by the named filter; None: left as it is. scale: which
        numbers are black and white, where files of more than 8 bits are to be read with all of them. axis:
        along which volumes are sliced then.

        Raises UsageError, naming the flag, for no images and for two of one name. With a scale, a PNG beside
        a file of its name does not count: test.py writes one to be looked at.
        """
        self.folder, self._size, self._resize = folder, size, resize
        self._scale, self._axis = scale, axis
        if not folder.is_dir():
            raise UsageError(f"{flag} is {str(folder)!r}, which is no folder; give one of images")
        paths = self._found()
        if not paths:
            raise UsageError(f"{flag} is {str(folder)!r}, which holds no images; give the folder that does"
                             + ("" if scale else hint(str(folder), EXTENSIONS)))
        self.paths = {os.path.relpath(Place.of(str(path)).name, folder): path for path in paths}
        if len(self.paths) < len(paths):
            raise UsageError(f"{flag} {folder} holds images that differ in their extension alone; "
                             "keep one of each name")

    def _found(self) -> list[Path]:
        if self._scale is None:
            return [Path(path) for path in find_images(str(self.folder))]
        paths, _ = sliced(find_images(str(self.folder), extensions=readable("auto")), self._axis, math.inf)
        exact = {Place.of(path).name for path in paths if not path.lower().endswith(".png")}
        return [Path(path) for path in paths
                if not path.lower().endswith(".png") or Place.of(path).name not in exact]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __contains__(self, name: object) -> bool:       # Mapping's own would read the image
        return name in self.paths

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            pixels = self._read(str(self.paths[name]))
        except BadImage as error:
            raise RunError(f"{error}; repair or remove it") from error
        return resized(pixels, self._size, self._resize)

    def _read(self, path: str) -> np.ndarray:
        """Raises BadImage."""
        if self._scale is None:
            return np.asarray(load_image(path, channels=3))
        return to_levels(to_tensor(read_image(path, 3, self._scale, self._axis)))

    def size_of(self, name: str) -> Size:
        """The size of an image as it is given, from the head of its file. Raises RunError."""
        if self._size:
            return self._size
        if self._scale:
            height, width, _ = self[name].shape
            return width, height
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
