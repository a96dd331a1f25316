"""The transparency of an image file, which networks do not see, put back on its translation."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from data.image_folder import EXTENSIONS
from data.readers.formats import FORMATS, Content, package, read_pillow, write
from data.readers.place import Place
from data.readers.ranges import ValueRange, numbers
from data.readers.stack import Stack
from util.images import save_image, to_pixels, viewable

RGB, ALPHA = 2, (1, 2)      # in TIFF: a photometric interpretation; kinds of extra samples


def split(found: Content, path: str) -> tuple[Content, np.ndarray | None]:
    """An image and its alpha [H, W]; None where it has none, or is fully opaque by its mode."""
    if isinstance(found, Image.Image):
        if not found.has_transparency_data:
            return found, None
        return found, np.asarray(found.convert("RGBA").getchannel("A"))
    if found.ndim != 3 or found.shape[2] not in (2, 4) or not _has_alpha(path):
        return found, None
    return found[..., :-1], found[..., -1]


def _has_alpha(path: str) -> bool:
    """Whether the last of 2 or 4 channels of a deep image is alpha: in PNG it is, in TIFF the header says."""
    extension = Place.of(path).extension
    if extension in (".tif", ".tiff"):
        with package("tifffile", path).TiffFile(path) as file:
            page = file.pages[0]
            return page.photometric in (RGB, 1) and bool(set(page.extrasamples) & set(ALPHA))
    return extension == ".png"


def write_with_alpha(path: Path, image: Tensor, *, source: str, depth: str = "uint8",
                     scale: ValueRange | None = None) -> None:
    """Write a translation [C, H, W] in [-1, 1] with the alpha of the file that it was made of, if it has one.

    scale: for numbers of a dtype, black and white among them; None: levels of 8 bits, as a page's PNG. Alpha
    is resized where the translation has another size.
    """
    if scale is None:
        pixels = to_pixels(viewable(image[None])[0])
    else:
        pixels = Stack.of(np.empty(0, depth)).stored(numbers(image, scale.of(np.dtype(depth))))
    alpha = alpha_of(source, pixels.shape[1::-1])
    if alpha is not None:
        pixels = np.dstack([pixels, alpha.astype(pixels.dtype)])
    if scale is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(path, pixels)
    else:
        write(path, pixels)


def alpha_of(path: str, size: tuple[int, int]) -> np.ndarray | None:
    """The alpha [H, W] of an image file at a size (width, height); None where it has none."""
    extension = Place.of(path).extension
    if extension not in EXTENSIONS:
        return None
    known = FORMATS.get(extension)
    _, alpha = split(known.read(path) if known else read_pillow(path), path)
    if alpha is None or alpha.shape[::-1] == size:
        return alpha
    resized = Image.fromarray(alpha.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    resized = np.asarray(resized)
    return (resized.round() if alpha.dtype.kind in "iu" else resized).astype(alpha.dtype)
