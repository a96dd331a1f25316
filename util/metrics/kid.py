"""The distance between two sets of features by a polynomial kernel: KID, where they are Inception's."""

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A mean over random subsets, and the standard deviation among them."""

    mean: float
    spread: float


def cubic_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x: [N, D], y: [M, D]. Returns (x.y / D + 1)^3, [N, M]; Binkowski et al. 2018, section 3."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy: 0 on average for one distribution, so
    sometimes negative.

    x: [N, D], y: [M, D], N and M at least 2. Gretton et al. 2012, eq. 3.
    """
    def mean_of_pairs(kernel: np.ndarray) -> float:             # a feature with itself is no pair
        n = len(kernel)
        return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))

    within = mean_of_pairs(cubic_kernel(x, x)) + mean_of_pairs(cubic_kernel(y, y))
    return float(within - 2 * cubic_kernel(x, y).mean())


def subset_size(n: int, m: int) -> int:
    """Features a side in a subset: 1000, as published, but at most half of the smaller set.

    More would make the subsets alike, and their spread say nothing. The mean is unbiased at any size.
    """
    return min(1000, n // 2, m // 2)


def kernel_distance(a: np.ndarray, b: np.ndarray, *, subsets: int = 100, seed: int = 0) -> Estimate:
    """Squared MMD of random subsets, drawn without repetition; it is often printed times 1000.

    a: [N, D], b: [M, D], N and M at least 4, else ValueError. The same seed draws the same subsets.
    """
    size = subset_size(len(a), len(b))
    if size < 2:
        raise ValueError(f"KID needs at least 4 images a side, not {len(a)} and {len(b)}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    generator = np.random.default_rng(seed)
    values = [squared_mmd(generator.choice(a, size, replace=False), generator.choice(b, size, replace=False))
              for _ in range(subsets)]
    return Estimate(float(np.mean(values)), float(np.std(values)))
