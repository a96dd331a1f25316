"""The reference's `util.util`, by its names, for files written for it: each function leads to ours."""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from util import flags
from util.console import say
from util.images import to_pixels


def str2bool(value: str | bool) -> bool:
    """The type of a flag that is true or false."""
    return value if isinstance(value, bool) else flags.str2bool(value)


def copyconf(default_opt: Namespace, **changes: Any) -> Namespace:
    """A copy of the options with some changed."""
    return Namespace(**vars(default_opt) | changes)


def tensor2im(input_image: Any, imtype: type = np.uint8) -> np.ndarray:
    """The first image of [B, C, H, W] in [-1, 1] as pixels [H, W, 3]; what is no tensor is handed back."""
    if not isinstance(input_image, Tensor):
        return input_image.astype(imtype) if isinstance(input_image, np.ndarray) else input_image
    pixels = to_pixels(input_image.data[0])
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(imtype)


def save_image(image_numpy: np.ndarray, image_path: str | Path, aspect_ratio: float | None = 1.0) -> None:
    """Write pixels [H, W, C] into an image file, stretched to an aspect ratio."""
    image = Image.fromarray(image_numpy)
    if aspect_ratio and aspect_ratio > 1:
        image = image.resize((image.height, round(image.width * aspect_ratio)), Image.Resampling.BICUBIC)
    elif aspect_ratio and aspect_ratio < 1:
        image = image.resize((round(image.height / aspect_ratio), image.width), Image.Resampling.BICUBIC)
    image.save(image_path)


def diagnose_network(net: nn.Module, name: str = "network") -> None:
    """Print the mean absolute gradient of a network's parameters."""
    gradients = [p.grad.abs().mean() for p in net.parameters() if p.grad is not None]
    say(f"{name}: mean |gradient| {float(torch.stack(gradients).mean()) if gradients else 0.0}")


def print_numpy(x: np.ndarray, val: bool = True, shp: bool = False) -> None:
    """Print an array's shape and its mean, least, largest and middle value, and std."""
    if shp:
        say(f"shape, {x.shape}")
    if val:
        x = x.astype(np.float64)
        say(f"mean = {x.mean():.3f}, min = {x.min():.3f}, max = {x.max():.3f}, "
            f"median = {np.median(x):.3f}, std={x.std():.3f}")


def mkdirs(paths: str | Sequence[str]) -> None:
    """Make folders that are not there."""
    for path in [paths] if isinstance(paths, str) else paths:
        mkdir(path)


def mkdir(path: str) -> None:
    """Make a folder that is not there."""
    os.makedirs(path, exist_ok=True)


def correct_resize_label(t: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels [B, 1, H, W] at (width, height), the nearest taken; int64 [B, height, width]."""
    return F.interpolate(t[:, :1].float(), size=size[::-1], mode="nearest")[:, 0].long()


def correct_resize(t: Tensor, size: tuple[int, int], mode: Any = Image.Resampling.BICUBIC) -> Tensor:
    """Images [B, C, H, W] in [-1, 1] at (width, height), resized as Pillow does, on 8 bits a channel."""
    images = [Image.fromarray(tensor2im(one[None])).resize(size, mode) for one in t]
    pixels = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(t.device).float().div(127.5).sub(1)
