"""Kernel distance between two sets of features: KID, where the features are Inception's."""

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A mean score over parts of the images, and the std among the parts; None: there are no parts."""

    mean: float
    spread: float | None = None

    def times(self, factor: float) -> "Estimate":
        return Estimate(factor * self.mean, None if self.spread is None else factor * self.spread)


def cubic_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x: [N, D], y: [M, D]. Returns (x.y / D + 1)^3, [N, M]; Binkowski et al. 2018, section 3."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy.

    Its mean is 0 for two samples of one distribution, so it is sometimes negative.
    x: [N, D], y: [M, D], N and M at least 2. Gretton et al. 2012, eq. 3.
    """
    def mean_of_pairs(kernel: np.ndarray) -> float:             # a feature with itself is no pair
        n = len(kernel)
        return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))

    within = mean_of_pairs(cubic_kernel(x, x)) + mean_of_pairs(cubic_kernel(y, y))
    return float(within - 2 * cubic_kernel(x, y).mean())


def subset_size(n: int, m: int) -> int:
    """Features that a subset takes from each set: 1000, as published, but at most half of the smaller set.

    More would make the subsets alike, and their spread meaningless. The mean is unbiased at any size.
    """
    return min(1000, n // 2, m // 2)


def kernel_distance(a: np.ndarray, b: np.ndarray, *, subsets: int = 100, seed: int = 0) -> Estimate:
    """Mean and std of the squared MMD over random subsets, drawn without repetition; often printed x 1000.

    a: [N, D], b: [M, D], N and M at least 4, else ValueError. The same seed draws the same subsets.
    """
    size = subset_size(len(a), len(b))
    if size < 2:
        raise ValueError(f"KID needs at least 4 images in each set, not {len(a)} and {len(b)}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    generator = np.random.default_rng(seed)
    values = [squared_mmd(generator.choice(a, size, replace=False), generator.choice(b, size, replace=False))
              for _ in range(subsets)]
    return Estimate(float(np.mean(values)), float(np.std(values)))
