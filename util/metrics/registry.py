"""The metrics that can follow a training, by name: --evaluation_metrics."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from util.metrics.fid import fit_gaussian, frechet_distance
from util.metrics.kid import kernel_distance
from util.metrics.psnr_ssim import psnr, ssim
from util.metrics.swd import patch_distance

Pixels = np.ndarray  # uint8 [H, W, C]
Extractor = Callable[[Iterable[Pixels]], np.ndarray]  # images to features [N, D]


class Side:
    """The images of one side by name, and, once asked for, their features."""

    def __init__(self, images: Mapping[str, Pixels], extractor: Extractor | None = None):
        self.images = images
        self._extractor = extractor

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def features(self) -> np.ndarray:
        return self._extractor(self.images.values())


def as_it_is(value: float) -> float:
    return value


class Metric(NamedTuple):
    """compute(fake, real) gives the figure; loss turns it so that lower is better, and 0 is best.

    needs: "features" of an extractor, "pairs" of one name, or nothing.
    """

    compute: Callable[[Side, Side], float]
    loss: Callable[[float], float] = as_it_is
    needs: str = ""


def of_pairs(metric: Callable[[Pixels, Pixels], float]) -> Callable[[Side, Side], float]:
    """The mean of a metric over the images of one name."""
    def mean(fake: Side, real: Side) -> float:
        return float(np.mean([metric(pixels, real.images[name]) for name, pixels in fake.images.items()]))
    return mean


def swd(fake: Side, real: Side) -> float:
    return patch_distance(fake.images.values(), real.images.values())


def fid(fake: Side, real: Side) -> float:
    return frechet_distance(fit_gaussian(fake.features), fit_gaussian(real.features))


def kid(fake: Side, real: Side) -> float:
    """Times 1000."""
    return 1000 * kernel_distance(fake.features, real.features).mean


METRICS: dict[str, Metric] = {
    "swd": Metric(swd),
    "fid": Metric(fid, needs="features"),
    "kid": Metric(kid, needs="features"),
    "psnr": Metric(of_pairs(psnr), loss=lambda decibels: 10 ** (-decibels / 20), needs="pairs"),
    "ssim": Metric(of_pairs(ssim), loss=lambda similarity: 1 - similarity, needs="pairs"),
}
