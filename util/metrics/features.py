"""Features of images, by an exported network."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from util.errors import UsageError
from util.metrics.exported import ExportedNetwork

# Pillow's filters: all average over the pixels that a smaller image covers (anti-aliasing).
RESIZE_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR,
                  "box": Image.Resampling.BOX, "lanczos": Image.Resampling.LANCZOS}


def resized(pixels: np.ndarray, size: tuple[int, int] | None, resize: str = "bicubic") -> np.ndarray:
    """An image [H, W, C], uint8 of C 1 or 3, or float32 from 0 to 255, resized to `size` (width, height);
    None: left as it is.
    """
    height, width, channels = pixels.shape
    if size in (None, (width, height)):
        return pixels
    if pixels.dtype != np.uint8:
        bands = [Image.fromarray(band).resize(size, RESIZE_FILTERS[resize])
                 for band in np.ascontiguousarray(pixels.transpose(2, 0, 1))]
        return np.stack(bands, axis=-1).clip(0, 255)
    image = Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels)
    return np.asarray(image.resize(size, RESIZE_FILTERS[resize])).reshape(size[1], size[0], channels)


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """An image, uint8 [H, W, C], C 1 or 3, as gray (1 channel, ITU-R 601 luma) or colour (3)."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def to_unit_tensor(images: list[np.ndarray]) -> Tensor:
    """Images of one size, uint8 [H, W, C], as float32 [B, C, H, W] in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div(255)


def batches(images: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Lists of up to `size` neighbouring images of one shape."""
    batch: list[np.ndarray] = []
    for image in images:
        if batch and (len(batch) == size or image.shape != batch[0].shape):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def extract_features(network: ExportedNetwork, images: Iterable[np.ndarray], *, resize: str = "bicubic",
                     batch_size: int = 32) -> np.ndarray:
    """Features of every image, float64 [N, D].

    images: uint8 [H, W, C]; converted to the network's channels, and resized to its size by the named filter.
    An output [B, D, ...] of more than two axes is averaged to [B, D]. Raises UsageError.
    """
    shown = (resized(with_channels(p, network.channels), network.size, resize) for p in images)
    found = []
    for batch in batches(shown, batch_size):
        output = network(to_unit_tensor(batch))
        if output.ndim < 2 or len(output) != len(batch):
            raise UsageError(f"{network.path} gives {list(output.shape)} for {len(batch)} images; "
                             "its first output has to be [batch, features]")
        found.append(output.double().flatten(2).mean(2) if output.ndim > 2 else output.double())
    if not found:
        raise ValueError("there are no images to take features of")
    return torch.cat(found).numpy()
