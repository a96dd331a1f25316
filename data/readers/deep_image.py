"""An image of more than 8 bits a channel, as the words of --preprocess take it."""

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling, Transpose
from torch import Tensor


class DeepImage:
    """An image in float32, black -1 and white 1, that offers what the words use of a PIL image.

    bands: its channels, PIL images of mode F. depth: the dtype in its file, as NumPy names it. bounds: the
    numbers of the file that are black and white.
    """

    def __init__(self, bands: tuple[Image.Image, ...], depth: str, bounds: tuple[float, float]):
        self.bands, self.depth, self.bounds = bands, depth, bounds

    @staticmethod
    def of(values: np.ndarray, depth: str, bounds: tuple[float, float] = (-1, 1)) -> "DeepImage":
        """values: float32 [C, H, W] in [-1, 1]."""
        return DeepImage(tuple(Image.fromarray(np.ascontiguousarray(band)) for band in values), depth, bounds)

    @property
    def size(self) -> tuple[int, int]:
        return self.bands[0].size

    @property
    def width(self) -> int:
        return self.bands[0].width

    @property
    def height(self) -> int:
        return self.bands[0].height

    def resize(self, size: tuple[int, int], resample: Resampling) -> "DeepImage":
        """As PIL does; what bicubic carries beyond black and white is cut off, as in 8 bits."""
        resized = [np.asarray(band.resize(size, resample)).clip(-1, 1) for band in self.bands]
        return DeepImage.of(np.stack(resized), self.depth, self.bounds)

    def crop(self, box: tuple[int, int, int, int]) -> "DeepImage":
        return DeepImage(tuple(band.crop(box) for band in self.bands), self.depth, self.bounds)

    def transpose(self, method: Transpose) -> "DeepImage":
        return DeepImage(tuple(band.transpose(method) for band in self.bands), self.depth, self.bounds)

    def to_tensor(self) -> Tensor:
        """float32 [C, H, W] in [-1, 1]."""
        return torch.from_numpy(np.stack([np.asarray(band) for band in self.bands]))
