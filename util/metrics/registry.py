"""The table of metrics: name -> how to compute it, what it needs, and how it is shown.

The evaluation during training, scripts/evaluate.py and scripts/reports/demo_report.py go through it. A new
metric is one function of two sets of images and one line in METRICS. One that needs nothing, or pairs, then
appears in all three; any other wherever there is what it needs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from util.metrics.fid import fit_gaussian, frechet_distance
from util.metrics.kid import Estimate, kernel_distance
from util.metrics.psnr_ssim import psnr, ssim
from util.metrics.swd import patch_distance

Pixels = np.ndarray  # [H, W, C], uint8 or float32 from 0 to 255
Extractor = Callable[[Iterable[Pixels]], np.ndarray]  # images to features [N, D]
Distance = Callable[[Pixels, Pixels], float]  # of two images of one shape
NEEDS = ("", "features", "pairs", "lpips", "inception")  # what a metric may need, see Metric


class ImageSet:
    """Images by name, with the networks that some metrics need.

    images: may read an image only when it is asked for, so that few are in memory at a time.
    extractor: finds `features`. inception: gives the scores of (fake, real) that torch-fidelity computes in
    one call. lpips: the distance of two images. Each may be missing where no metric needs it.
    """

    def __init__(self, images: Mapping[str, Pixels], extractor: Extractor | None = None, *,
                 inception: "Callable[[ImageSet, ImageSet], Mapping[str, Estimate]] | None" = None,
                 lpips: Distance | None = None):
        self.images = images
        self.inception, self.lpips = inception, lpips
        self._extractor = extractor

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def features(self) -> np.ndarray:
        """Float [N, D], computed once, of 8 bits a channel."""
        return self._extractor(map(in_8_bits, self.images.values()))


def in_8_bits(pixels: Pixels) -> Pixels:
    """Rounded to uint8, which networks that judge images were trained on."""
    return pixels if pixels.dtype == np.uint8 else pixels.round().astype(np.uint8)


Measure = Callable[[ImageSet, ImageSet], float | Estimate]


def as_it_is(value: float) -> float:
    return value


@dataclass(frozen=True)
class Metric:
    """A score of a set of fake images against a set of real ones.

    measure: (fake, real) to the score, or to an Estimate that has a spread; raises ValueError for images that
    it cannot take.
    title: its name in tables and in metrics.json; "": the name of its line in METRICS. long_title: the same
    in full, where there is room. better: "lower" or "higher". digits: how many to show after the point.
    needs: one of NEEDS. "pairs": a real image of the same name for every fake; "features", "inception",
    "lpips": sets that are given this network, for "lpips" with pairs.
    loss: turns the score so that lower is better and 0 is best; has to be given where higher is better.
    """

    measure: Measure
    title: str = ""
    long_title: str = ""
    better: str = "lower"
    digits: int = 2
    needs: str = ""
    loss: Callable[[float], float] = as_it_is

    def __post_init__(self):
        assert self.better == "lower" or self.loss is not as_it_is, "where higher is better, give a loss"
        assert self.needs in NEEDS, f"needs is {self.needs!r}, which is none of {NEEDS}"

    def estimate(self, fake: ImageSet, real: ImageSet) -> Estimate:
        """The score, with its spread where it has one."""
        found = self.measure(fake, real)
        return found if isinstance(found, Estimate) else Estimate(found)

    def compute(self, fake: ImageSet, real: ImageSet) -> float:
        """The score alone."""
        return self.estimate(fake, real).mean


def swd(fake: ImageSet, real: ImageSet) -> float:
    return patch_distance(fake.images.values(), real.images.values())


def fid(fake: ImageSet, real: ImageSet) -> float:
    return frechet_distance(fit_gaussian(real.features), fit_gaussian(fake.features))


def kid(fake: ImageSet, real: ImageSet) -> Estimate:
    return kernel_distance(real.features, fake.features).times(1000)


def mean_of_pairs(distance: Distance) -> Measure:
    """The mean of a distance, or likeness, over the pairs of images of one name."""
    def mean(fake: ImageSet, real: ImageSet) -> float:
        return float(np.mean([distance(pixels, real.images[name]) for name, pixels in fake.images.items()]))
    return mean


def lpips(fake: ImageSet, real: ImageSet) -> float:
    return mean_of_pairs(fake.lpips)(fake, real)


def by_inception(key: str, factor: float = 1) -> Measure:
    """One of the scores that ImageSet.inception gives, times a factor."""
    def measure(fake: ImageSet, real: ImageSet) -> Estimate:
        return fake.inception(fake, real)[key].times(factor)
    return measure


def one_minus(value: float) -> float:
    return 1 - value


METRICS: dict[str, Metric] = {
    "swd": Metric(swd, "SWD x 1000", "sliced Wasserstein distance x 1000", digits=1),
    "fid": Metric(fid, "Frechet distance", needs="features"),
    "kid": Metric(kid, "kernel distance x 1000", needs="features"),
    "psnr": Metric(mean_of_pairs(psnr), "PSNR, dB", better="higher", needs="pairs",
                   loss=lambda decibels: 10 ** (-decibels / 20)),
    "ssim": Metric(mean_of_pairs(ssim), "SSIM", better="higher", digits=3, needs="pairs", loss=one_minus),
    "lpips": Metric(lpips, "LPIPS", digits=3, needs="lpips"),
    "inception_fid": Metric(by_inception("fid"), "FID", needs="inception"),
    "inception_kid": Metric(by_inception("kid", 1000), "KID x 1000", needs="inception"),
    "inception_score": Metric(by_inception("score"), "Inception score", better="higher", needs="inception",
                              loss=lambda score: 1 / score),
    "precision": Metric(by_inception("precision"), "precision", better="higher", digits=3, needs="inception",
                        loss=one_minus),
    "recall": Metric(by_inception("recall"), "recall", better="higher", digits=3, needs="inception",
                     loss=one_minus),
}


def metrics_needing(*needs: str) -> dict[str, Metric]:
    """The metrics whose need is one of these, by name, in the order of the needs given."""
    return {name: metric for need in needs for name, metric in METRICS.items() if metric.needs == need}


def training_metrics() -> dict[str, Metric]:
    """The metrics that --evaluation_metrics can name."""
    return metrics_needing("", "features", "pairs")
