"""Image files: those in a folder, and one decoded, or the reason in one line why it cannot be."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from PIL import Image

from data.shards.packed import PackedBytes, PackedFile
from util.errors import RunError, UsageError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB"}  # PIL's name for an image of that many channels


class BadImage(Exception):
    """An image that cannot be read; the message is one line: path and reason."""


def find_images(folder: str, limit: float = float("inf"),
                extensions: tuple[str, ...] = EXTENSIONS) -> list[str]:
    """Paths of the images in a folder and its sub-folders, sorted, the first `limit` of them.

    Linked folders are followed, each folder once, so that links in a circle end. Names that begin with a dot
    are left out: they are files of an operating system or an editor. Raises UsageError where a folder cannot
    be listed.
    """
    paths: list[str] = []
    waiting, seen = [os.fspath(folder)], set()
    while waiting:
        here = waiting.pop(0)
        try:
            identity = os.stat(here)
            entries = [entry for entry in os.scandir(here) if not entry.name.startswith(".")]
        except OSError as error:
            raise UsageError(f"the folder {here!r} cannot be listed: {error.strerror}") from error
        if (identity.st_dev, identity.st_ino) in seen:
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders = {entry.path for entry in entries if _is_folder(entry)}
        waiting += sorted(folders)
        paths += [entry.path for entry in entries
                  if entry.name.lower().endswith(extensions) and entry.path not in folders]
    paths.sort()
    return paths if limit >= len(paths) else paths[:int(limit)]


def images_at(path: str, limit: float, extensions: tuple[str, ...]) -> tuple[str, list[str]]:
    """The folder and the first `limit` images of a folder or a pattern. Raises UsageError."""
    if os.path.isdir(path):
        return path, find_images(path, limit, extensions)
    return match_images(path, limit, extensions)


def is_pattern(path: str) -> bool:
    """Whether it is a pattern such as photos/**/*.jpg, and no file or folder of that very name."""
    return glob.has_magic(path) and not os.path.exists(path)


def match_images(pattern: str, limit: float = float("inf"),
                 extensions: tuple[str, ...] = EXTENSIONS) -> tuple[str, list[str]]:
    """The folder in front of a pattern's first wildcard, and the images below it that match, sorted.

    ** stands for sub-folders of any depth, linked ones left out. Names that begin with a dot are left out.
    Raises UsageError where nothing matches.
    """
    parts = Path(pattern).parts
    fixed = list(takewhile(lambda part: not glob.has_magic(part), parts))
    folder, rest = Path(*fixed), [*parts[len(fixed):], *(["*"] if parts[-1] == "**" else [])]
    try:
        found = {str(path) for path in folder.glob("/".join(rest))
                 if path.name.lower().endswith(extensions) and path.is_file()
                 and not any(part.startswith(".") for part in path.relative_to(folder).parts)}
    except (OSError, ValueError) as error:
        raise UsageError(f"the pattern {pattern!r} cannot be used: {error}") from error
    if not found:
        raise UsageError(f"no image ({' '.join(extensions)}) matches the pattern {pattern!r}; see "
                         "--dataroot, and quote it, so that the shell leaves it as it is")
    paths = sorted(found)
    return str(folder), paths if limit >= len(paths) else paths[:int(limit)]


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether it is a folder or a link to one; a link to itself is neither."""
    return entry.is_dir(follow_symlinks=False) or entry.is_symlink() and os.path.isdir(entry.path)


def load_image(path: str, channels: int) -> Image.Image:
    """The decoded image, as "L" (1 channel) or "RGB" (3), 8 bits a channel. Raises BadImage.

    As in the reference, transparency is dropped, so that hidden colours show, and an EXIF rotation is not
    applied. 16-bit gray is scaled to 8 bits.
    """
    return as_channels(decode(path), channels, path)


def as_channels(image: Image.Image, channels: int, name: str) -> Image.Image:
    """An image of any mode as `load_image` gives it; the image given may change. Raises BadImage.

    name: of the image, for the message.
    """
    if image.mode == "F" or image.mode == "I" and not _fits_16_bits(image):
        raise BadImage(_one_line(name, f"pixels of mode {image.mode} have no known range; "
                                       "--value_range gives them one"))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8))
    image.info.pop("transparency", None)  # else PIL warns that convert will drop it
    return image.convert(MODES[channels])


def load_values(path: str) -> Image.Image:
    """The image with the numbers that are in its file, of a palette its indices. Raises BadImage."""
    image = decode(path)
    if image.mode in ("1", "P"):
        return Image.fromarray(np.asarray(image).astype(np.uint8))
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.asarray(image).astype(np.int32))
    return image


def decode(path: str, page: int = 0) -> Image.Image:
    """The image in a file, or on one of its pages, in the mode that it has there. Raises BadImage."""
    try:
        with Image.open(source(path)) as image:
            if page:
                image.seek(page)
            image.load()
    except RunError:    # a shard cannot be fetched: no other image of it can be read either
        raise
    except Exception as error:  # decoders answer damaged bytes with errors of every kind
        raise BadImage(_one_line(path, str(error) or type(error).__name__)) from error
    return image


def source(path: str) -> str | PackedBytes:
    """What a decoder opens: the path of a file, or the bytes of an image in a shard. Raises OSError."""
    if isinstance(path, PackedFile):
        return PackedBytes(path)
    if not os.path.isfile(path):  # opening a pipe would wait forever
        raise OSError("not a file, or a link to nothing")
    return path


def _fits_16_bits(image: Image.Image) -> bool:
    low, high = image.getextrema()
    return low >= 0 and high < 2 ** 16


def _one_line(path: str, reason: str) -> str:
    return " ".join(f"{path}: {reason.replace(repr(path), '').strip(' :')}".split())


def tolerated_bad(images: int) -> int:
    """How many bad images a data set of that many may hold before the run ends: 1 %, but at least three."""
    return max(3, images // 100)


@dataclass(frozen=True)
class Domain:
    """The images of a domain (A or B): their folder, their paths, and the channels they are read with."""

    folder: str
    paths: Sequence[str]
    channels: int

    def __len__(self) -> int:
        return len(self.paths)
