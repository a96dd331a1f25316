"""An uploaded file as an image: what is none, or is too large, is refused before its pixels are decoded."""

import io
import warnings
from http import HTTPStatus
from typing import NamedTuple

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")     # which browsers show


class Refused(Exception):
    """A request that is not answered with an image: one line for the visitor, and the status."""

    def __init__(self, status: HTTPStatus, message: str):
        super().__init__(message)
        self.status = status


class Limits(NamedTuple):
    """Of an upload. size: bytes of the file; pixels: width x height of the image in it."""

    size: int
    pixels: int


def read_upload(data: bytes, limits: Limits) -> Image.Image:
    """The image in a file, upright as its EXIF tells, the first of several. Raises Refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # Pillow's own limit is looser, or else the same error
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        check_pixels(image.size, limits)
        return ImageOps.exif_transpose(image)   # decodes
    except Image.DecompressionBombError:
        raise too_many_pixels("The image", limits) from None
    except Refused:
        raise
    except Exception as error:      # decoders answer damaged bytes with errors of every kind
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This file is no image that can be read: give "
                      "PNG, JPEG, WebP, GIF, BMP or AVIF.") from error


def check_pixels(size: tuple[int, int], limits: Limits) -> None:
    if size[0] * size[1] > limits.pixels:
        raise too_many_pixels(f"The image has {size[0]:,} × {size[1]:,} pixels, which", limits)


def too_many_pixels(what: str, limits: Limits) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                   f"{what} is more than the {limits.pixels / 1e6:g} megapixels that are taken here: make it "
                   "smaller, or start the page with a larger --max_megapixels.")


def check_size(size: int, limits: Limits) -> None:
    if size > limits.size:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                      f"The file has {size / 1e6:.1f} MB, more than the {limits.size / 1e6:g} MB that are "
                      "taken here: make it smaller, or start the page with a larger --max_megabytes.")
    if size == 0:
        raise Refused(HTTPStatus.BAD_REQUEST, "The file is empty.")
