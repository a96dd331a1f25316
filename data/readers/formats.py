"""Files of images with more than 8 bits a channel: what is in them, and how it is written back."""

import importlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from data.image_folder import EXTENSIONS, decode, source
from util.atomic import atomic_file
from util.errors import UsageError

BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339   # tags of TIFF
UNSIGNED, FLOAT = 1, 3                      # values of the second
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}     # PNG's, by channels; 2 and 4 are with alpha
Content = np.ndarray | Image.Image


class Format(NamedTuple):
    """read: a path -> numbers [H, W] or [H, W, C], or a PIL image where it has 8 bits a channel. Errors of
    every kind mean that it cannot be read. write: numbers [H, W] or [H, W, C] into an open file.
    """

    read: Callable[[str], Content]
    write: Callable[[BinaryIO, np.ndarray], None]


def package(name: str, path: str) -> ModuleType:
    """An optional package, imported now. Raises UsageError where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"{path} needs the package {name}: pip install -r requirements-formats.txt "
                         "(or leave such files out)") from None


def read_png(path: str) -> Content:
    """Pillow cuts 16-bit colour to 8 bits without a word, so that is left to imagecodecs."""
    content = source(path)
    with open(content, "rb") if isinstance(content, str) else content as stream:
        head = stream.read(26)
        if head[12:16] == b"IHDR" and head[24] == 16 and head[25] != 0:
            return package("imagecodecs", path).png_decode(head + stream.read())
    return read_pillow(path)


def read_pillow(path: str) -> Content:
    return content_of(decode(path))


def content_of(image: Image.Image) -> Content:
    """Its numbers, where it has more than 8 bits a channel."""
    if image.mode == "I":       # some Pillows read 16 bits into 32
        values = np.asarray(image)
        return values.astype(np.uint16) if 0 <= values.min() and values.max() < 2 ** 16 else values
    return np.asarray(image) if image.mode == "F" or image.mode.startswith("I;16") else image


def read_tiff(path: str, page: int = 0) -> Content:
    """A page. Pillow reads those of 8 bits, and grey ones of 16 bits and of float32. Others it knows not, or
    changes without a word, such as 16-bit colour to 8 bits: they are left to tifffile.
    """
    try:
        with Image.open(source(path)) as image:
            image.seek(page)
            bits = max(image.tag_v2.get(BITS_PER_SAMPLE, (8,)))
            grey = len(image.getbands()) == 1 and (bits, image.tag_v2.get(SAMPLE_FORMAT, (1,))[0])
    except UnidentifiedImageError:
        bits, grey = 0, None
    if 0 < bits <= 8 or grey in ((16, UNSIGNED), (32, FLOAT)):
        return content_of(decode(path, page))
    return package("tifffile", path).imread(source(path), key=page)


def read_npy(path: str) -> Content:
    return np.load(source(path), allow_pickle=False)


def read_npz(path: str) -> Content:
    """The one array in it."""
    with np.load(source(path), allow_pickle=False) as arrays:
        if len(arrays.files) != 1:
            raise ValueError(f"it holds {len(arrays.files)} arrays, not one")
        return arrays[arrays.files[0]]


def write_png(stream: BinaryIO, values: np.ndarray) -> None:
    """uint16. Written by hand, because Pillow writes no 16-bit colour: PNG specification, 3rd edition."""
    height, width, channels = (*values.shape, 1)[:3]
    lines = values.astype(">u2").reshape(height, -1).view(np.uint8)
    # Filter 1 (Sub): each byte less the one a pixel before it.
    step = 2 * channels
    less = lines.copy()
    less[:, step:] -= lines[:, :-step]
    rows = np.concatenate([np.ones((height, 1), np.uint8), less], axis=1)
    stream.write(b"\x89PNG\r\n\x1a\n")
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)),
                       (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")):
        stream.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def write_tiff(stream: BinaryIO, values: np.ndarray) -> None:
    if values.ndim == 2 and values.dtype in (np.uint16, np.float32):
        Image.fromarray(values).save(stream, format="TIFF", compression="tiff_adobe_deflate")
    else:
        package("tifffile", "a TIFF of this depth").imwrite(
            stream, values, photometric="rgb" if values.ndim == 3 and values.shape[2] > 2 else "minisblack",
            extrasamples=["unassalpha"] if values.ndim == 3 and values.shape[2] in (2, 4) else None,
            planarconfig="contig" if values.ndim == 3 else None)


def write_npy(stream: BinaryIO, values: np.ndarray) -> None:
    np.save(stream, values, allow_pickle=False)


def write_npz(stream: BinaryIO, values: np.ndarray) -> None:
    np.savez_compressed(stream, values)


# One more: two functions above and a line here.
FORMATS: dict[str, Format] = {
    ".png": Format(read_png, write_png),
    ".tif": Format(read_tiff, write_tiff),
    ".tiff": Format(read_tiff, write_tiff),
    ".npy": Format(read_npy, write_npy),
    ".npz": Format(read_npz, write_npz),
}

IMAGES = tuple(dict.fromkeys((*EXTENSIONS, *FORMATS)))      # extensions of files that hold an image each


def write(path: Path, values: np.ndarray) -> None:
    """Write numbers in the format of the name; `path` never holds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        FORMATS[path.suffix.lower()].write(stream, values)
