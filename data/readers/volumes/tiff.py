"""TIFF of several pages: a stack of images."""

import io
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from data.readers.formats import Content, package, read_tiff
from data.readers.place import Place
from data.readers.stack import Stack

BY_PILLOW = (("uint8", 3), ("uint16", 3), ("float32", 3), ("uint8", 4))     # dtype and axes of stacks
LARGEST = 2 ** 31   # bytes that Pillow is given to write: a TIFF of its kind ends at 4 GB


def open_stack(place: Place, axis: int | None) -> Stack | None:
    """Its pages; None for a file of one page, or of pages that differ in size or type, such as a preview."""
    pages = _pages(place.file)
    if len(pages) < 2 or len(set(pages)) > 1:
        return None

    def read(number: int | None) -> np.ndarray:
        if number is None:
            return np.stack([_numbers(read_tiff(place.file, page)) for page in range(len(pages))])
        return _numbers(read_tiff(place.file, number))
    first = read(0)
    return Stack(len(pages), (len(pages), *first.shape), first.dtype, read)


def _pages(path: str) -> list[tuple]:
    """Of each page what has to be equal: its size and its type."""
    try:
        with Image.open(path) as image:
            if not isinstance(image, TiffImageFile):
                return []
            return [(image.seek(page), image.size, image.mode) for page in range(image.n_frames)]
    except UnidentifiedImageError:      # of types that Pillow does not know
        with package("tifffile", path).TiffFile(path) as file:
            return [(page.shape, page.dtype) for page in file.pages]


def _numbers(found: Content) -> np.ndarray:
    if isinstance(found, np.ndarray):
        return found
    return np.asarray(found.convert("L" if found.mode in ("1", "L", "LA") else "RGB"))


def save(stream: BinaryIO, values: np.ndarray, place: Place, axis: int | None, results: str) -> None:
    if (values.dtype.name, values.ndim) in BY_PILLOW and values.nbytes < LARGEST:
        first, *others = map(Image.fromarray, values)
        buffer = io.BytesIO()       # Pillow reads what it has written, and the stream is for writing alone
        first.save(buffer, format="TIFF", compression="tiff_adobe_deflate", save_all=True,
                   append_images=others)
        stream.write(buffer.getbuffer())
    else:
        package("tifffile", place.file).imwrite(stream, values,
                                                photometric="rgb" if values.ndim == 4 else "minisblack")
