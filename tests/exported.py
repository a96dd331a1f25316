"""Tiny networks in exported files, and folders of small images, for the tests of scores."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


class ColourMoments(nn.Module):
    """images: [B, 3, H, W]. Returns [B, 6]: each channel's mean and mean square, features known by hand."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images.mean((2, 3)), images.square().mean((2, 3))], dim=1)


class Threshold(nn.Module):
    """photos: [B, 3, H, W]. Returns scores [B, 11, H, W]: class 3 where red is above a half, else class 0."""

    def forward(self, photos: Tensor) -> Tensor:
        red = photos[:, :1]
        none = torch.zeros_like(red)
        return torch.cat([1 - red, none, none, red, *[none] * 7], dim=1)


@cache
def exported(kind: type[nn.Module] = ColourMoments, batch: int | None = None, side: int = 16) -> Path:
    """A .pt2 of the network for images of side x side, written once; batch None: of any number."""
    path = Path(tempfile.mkdtemp()) / f"{kind.__name__}.pt2"
    shapes = None if batch else ({0: torch.export.Dim("batch")},)
    program = torch.export.export(kind(), (torch.zeros(batch or 2, 3, side, side),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def write_images(folder: Path, count: int, *, seed: int = 0, size: tuple[int, int] = (16, 16),
                   names: str = "{:02}.png") -> list[np.ndarray]:
    """Random colour images of (width, height), lossless. Returns them, uint8 [H, W, 3]."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    images = [generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)]
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / names.format(i))
    return images
