"""Tensors to image files."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from util.atomic import atomic_file

Pixels = np.ndarray
QUALITY = 95
# Extension -> the format of 8 bits a channel that is written under it, by Pillow's name, and its settings.
# PNG: run lengths alone, as photographs come out as small as with all of zlib, in a third of the time.
SAVED: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_type": zlib.Z_RLE}),
    ".jpg": ("JPEG", {}), ".jpeg": ("JPEG", {}), ".webp": ("WEBP", {}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ".bmp": ("BMP", {}), ".ppm": ("PPM", {}),
}
LOSSY = ("JPEG", "WEBP")
ROWS = 512      # of an image that become levels at a time


def to_pixels(image: Tensor) -> Pixels:
    """image: [C, H, W] in [-1, 1], C 1 or 3, on any device. Returns uint8 [H, W, C].

    Rounds to the nearest level, so an image that was read and not changed is written back exactly. (The
    reference cuts off instead: its levels are the same or one lower.) Values outside are clamped, NaN is
    black.
    Raises ValueError for other shapes.
    """
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"an image is [1 or 3, height, width], not {list(image.shape)}")
    pixels = np.empty((*image.shape[1:], image.shape[0]), np.uint8)
    for top in range(0, image.shape[1], ROWS):      # a large image in float32 fills memory by itself
        part = image[:, top:top + ROWS].detach().float()
        levels = torch.nan_to_num(part, nan=-1.0).clamp(-1, 1).add(1).mul(127.5).round()
        pixels[top:top + ROWS] = levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels


def to_levels(image: Tensor) -> Pixels:
    """`to_pixels` without rounding: float32 [H, W, C] from 0 to 255."""
    levels = torch.nan_to_num(image.detach().float(), nan=-1.0).clamp(-1, 1).add(1).mul(127.5)
    return levels.permute(1, 2, 0).cpu().numpy()


def viewable(images: Tensor) -> Tensor:
    """Images [B, C, H, W] of any channels as grey or colour: the first of two, or the first three."""
    channels = images.shape[1]
    return images if channels in (1, 3) else images[:, :1 if channels == 2 else 3]


def side_by_side(images: Tensor) -> Pixels:
    """images: [B, C, H, W] in [-1, 1]. Returns what is viewable of them in one row, uint8 [H, B * W, C]."""
    images = viewable(images)
    batch, channels, height, width = images.shape
    row = images.permute(1, 2, 0, 3)                                # C, H, B, W
    return to_pixels(row.reshape(channels, height, batch * width))


def grid(images: list[Pixels], columns: int, gap: int = 4) -> Pixels:
    """Images of any sizes in rows of `columns` on white; uint8 [H, W, 3]."""
    height = max(p.shape[0] for p in images) + gap
    width = max(p.shape[1] for p in images) + gap
    rows = -(-len(images) // columns)
    canvas = np.full((rows * height - gap, columns * width - gap, 3), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * height, i % columns * width
        # One channel spreads to three.
        canvas[top:top + image.shape[0], left:left + image.shape[1]] = image
    return canvas


def save_image(path: Path, pixels: Pixels, extension: str = ".png", quality: int = QUALITY) -> None:
    """Write uint8 [H, W, 1 or 3], or 2 or 4 with alpha; `path` never holds half an image.

    extension: one of SAVED, which decides the format whatever the name ends in. quality: of formats that lose
    something, 1 to 100.
    """
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    name, settings = SAVED[extension]
    lossy = {"quality": quality} if name in LOSSY else {}
    with atomic_file(path) as stream:
        image.save(stream, format=name, **settings, **lossy)
